"""Arguments and options that several verbs share."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

SplitKind = StrEnum("SplitKind", ["random", "scaffold", "single", "column"])


def known_device(name: str | None) -> str | None:
    """The name of a device, checked without loading torch; whether it is there turns out where it is used."""
    if name is not None and not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d+)?", name):
        raise typer.BadParameter(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N")
    return name


Config = Annotated[Path, typer.Argument(help="a TOML file, for instance configs/quickstart.toml")]
Sets = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="override one setting; repeat")]
RunDir = Annotated[Path | None, typer.Option(help="where the run is kept  [default: runs/NAME of the config file]")]
Fresh = Annotated[bool, typer.Option("--fresh/--resume", help="start again, or go on from what is there")]
Model = Annotated[str, typer.Option(help="name of shipped weights, or a model directory")]
Column = Annotated[str | None, typer.Option(help="column of the SMILES  [default: smiles, in any case]")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N", callback=known_device)]
Seed = Annotated[int, typer.Option(help="seed of all randomness", min=0)]

# where a config has a value, too
OtherDevice = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N", callback=known_device)]
OtherSeed = Annotated[int | None, typer.Option("--seed", help="seed  [default: that of the config]", min=0)]
