"""Arguments and options that several verbs share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from molvae.core.devices import known_device

SplitKind = StrEnum("SplitKind", ["random", "scaffold", "single", "column"])


def device_name(name: str | None) -> str | None:
    """The value of an option --device, where one is given."""
    try:
        return None if name is None else known_device(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Config = Annotated[Path, typer.Argument(help="a TOML file, for instance configs/quickstart.toml")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override one setting; repeat")]
RunDir = Annotated[Path | None, typer.Option(help="where the run is kept  [default: runs/NAME of the config file]")]
Fresh = Annotated[bool, typer.Option("--fresh/--resume", help="start again, or go on from what is there")]
Model = Annotated[str, typer.Option(help="name of shipped weights, or a model directory")]
Describe = Annotated[
    list[str] | None, typer.Option("--describe", metavar="NAME", help="property to compute, such as logp; repeat")
]
Given = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="property that a conditional model decodes to; repeat")
]
Column = Annotated[str | None, typer.Option(help="column of the SMILES  [default: smiles, in any case]")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N", callback=device_name)]
Seed = Annotated[int, typer.Option(help="seed of all randomness", min=0)]

# where a config has a value, too
OtherDevice = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N", callback=device_name)]
OtherSeed = Annotated[int | None, typer.Option("--seed", help="seed  [default: that of the config]", min=0)]
