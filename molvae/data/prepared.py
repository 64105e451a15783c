"""The molecules of a prepared directory, read back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from molvae.core.errors import DataError
from molvae.core.files import VOCABULARY
from molvae.data.shards import TokenShards, read_manifest
from molvae.tokens.tokenizer import Tokenizer


def prepared_smiles(directory: Path, split: str | None) -> Iterator[str]:
    """The molecules of a split in their order, as canonical SMILES.

    Raises:
        DataError: the directory is not prepared, or damaged; no split is named, or there is no such split.
    """
    splits = read_manifest(directory)["splits"]
    if split is None or split not in splits:
        got = "none was named" if split is None else f"{split!r} is none"
        raise DataError(f"{directory}: expected one of the prepared splits ({', '.join(splits)}), {got}; use --split")
    shards, tokenizer = TokenShards.open(directory, split), Tokenizer.load(directory / VOCABULARY)
    for i in range(len(shards)):
        smiles = tokenizer.decode(shards[i].tolist())
        if smiles is None:
            raise DataError(f"{directory}: molecule {i} of split {split!r} is damaged; run `molvae prepare` again")
        yield smiles
