"""A prepared directory, read back: what was reported of it, and its molecules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from molvae.core.arrays import AnyArray
from molvae.core.errors import DataError
from molvae.core.files import VOCABULARY
from molvae.data.shards import TokenShards, read_manifest
from molvae.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class PrepareReport:
    """What came out.

    Attributes:
        output: the prepared directory.
        n_rows: rows read.
        splits: molecules in each split.
        dropped: rows left out, by reason; n_rows = sum of splits + sum of dropped.
        unknown_tokens: molecules left out because of each token that the vocabulary lacks.
        vocabulary_size: tokens, the special ones included.
        max_length: longest sequence allowed, the end token included.
        seconds: wall time, over all parts of a resumed run.
    """

    output: Path
    n_rows: int
    splits: dict[str, int]
    dropped: dict[str, int]
    unknown_tokens: dict[str, int]
    vocabulary_size: int
    max_length: int
    seconds: float

    def __str__(self) -> str:
        kept = sum(self.splits.values())
        lines = [f"{self.output}: {kept:,} of {self.n_rows:,} rows kept, {self.vocabulary_size} tokens"]
        lines += [f"  {name:<12}{n:>12,} molecules" for name, n in self.splits.items()]
        lines += [f"  dropped {n:>16,} {reason}" for reason, n in self.dropped.items()]
        if self.dropped:
            lines.append(f"  every row that was left out: {self.output / 'dropped.csv'}")
        return "\n".join(lines)


def read_report(directory: str | Path) -> PrepareReport:
    """What was reported when a directory was prepared.

    Raises:
        DataError: it is not wholly prepared.
    """
    manifest = read_manifest(directory)
    names = [field.name for field in fields(PrepareReport) if field.name != "output"]
    if missing := [name for name in names if name not in manifest]:
        raise DataError(f"{directory}: its manifest has no {missing[0]!r}; run `molvae prepare` again")
    return PrepareReport(Path(directory), **{name: manifest[name] for name in names})


def prepared_smiles(directory: Path, split: str | None) -> Iterator[str]:
    """The molecules of a split in their order, as canonical SMILES.

    Raises:
        DataError: the directory is not prepared, or damaged; no split is named, or there is no such split.
    """
    manifest, shards = _opened(directory, split)
    tokenizer = Tokenizer.load(directory / VOCABULARY)
    if tokenizer.vocabulary.sha256 != manifest.get("vocabulary_sha256", tokenizer.vocabulary.sha256):
        raise DataError(f"{directory}: its vocabulary is another than that it was prepared with; prepare it again")
    for i in range(len(shards)):
        smiles = tokenizer.decode(shards[i].tolist())
        if smiles is None:
            raise DataError(f"{directory}: molecule {i} of split {split!r} is damaged; run `molvae prepare` again")
        yield smiles


def prepared_properties(directory: Path, split: str | None, names: Sequence[str]) -> AnyArray:
    """Properties (N, P) of the molecules of a split in their order, in their own units.

    Raises:
        DataError: see `prepared_smiles`; or the data were prepared without one of them.
    """
    manifest, shards = _opened(directory, split)
    held: list[str] = manifest.get("properties", [])
    if missing := [name for name in names if name not in held]:
        there = ", ".join(held) or "none"
        raise DataError(
            f"{directory}: expected the property {missing[0]} of each molecule, got those prepared: {there}; "
            f"prepare the data with --property {missing[0]}"
        )
    if shards.properties is None:
        raise DataError(f"{directory}: the properties of the split {split!r} are missing; run `molvae prepare` again")
    return np.asarray(shards.properties)[:, [held.index(name) for name in names]]


def _opened(directory: Path, split: str | None) -> tuple[dict[str, Any], TokenShards]:
    manifest = read_manifest(directory)
    if "splits" not in manifest:
        kind = manifest.get("kind", "something else")
        raise DataError(f"{directory}: expected a prepared directory, got that of {kind}; a model is given by --model")
    splits = manifest["splits"]
    if split is None or split not in splits:
        got = "none was named" if split is None else f"{split!r} is none"
        raise DataError(f"{directory}: expected one of the prepared splits ({', '.join(splits)}), {got}; use --split")
    return manifest, TokenShards.open(directory, split)
