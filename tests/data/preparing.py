"""Short words for the tests of prepare: run it, look at what came out."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molvae.core.files import read_json
from molvae.data.prepare import PrepareConfig, prepare
from molvae.data.prepared import PrepareReport
from molvae.data.shards import TokenShards
from molvae.tokens.tokenizer import Tokenizer


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = ("smiles", "split")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerows([header, *rows])
    return path


def run(inputs: Path | Sequence[Path], output: Path, **options: Any) -> PrepareReport:
    paths = (inputs,) if isinstance(inputs, Path) else tuple(inputs)
    return prepare(PrepareConfig(inputs=paths, output=output, **({"workers": 0} | options)))


def molecules(directory: Path, split: str) -> list[str | None]:
    tokenizer, shards = Tokenizer.load(directory / "vocabulary.json"), TokenShards.open(directory, split)
    return [tokenizer.decode(shards[i]) for i in range(len(shards))]


def dropped(directory: Path) -> list[tuple[str, ...]]:
    with open(directory / "dropped.csv", newline="", encoding="utf-8") as handle:
        return [tuple(row) for row in csv.reader(handle)][1:]


def contents(directory: Path) -> dict[str, Any]:
    """Everything but when, how long and where."""
    elsewhere = ("manifest.json", "config.resolved.toml")
    files: dict[str, Any] = {path.name: path.read_bytes() for path in directory.iterdir() if path.name not in elsewhere}
    volatile = ("finished", "seconds", "command", "inputs")
    files["manifest"] = {k: v for k, v in read_json(directory / "manifest.json").items() if k not in volatile}
    return files
