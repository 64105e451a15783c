"""Chunks in, a prepared directory out: duplicates, vocabulary, shards and the list of what was left out."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molvae.core.arrays import AnyArray
from molvae.core.errors import DataError
from molvae.core.files import VOCABULARY, atomic_path
from molvae.data.chunks import Chunk, Dropped
from molvae.data.deduplicate import DUPLICATE, DUPLICATE_ACROSS_SPLITS, FIRST, mark_duplicates
from molvae.data.shards import ShardWriter
from molvae.tokens.tokenizer import Tokenizer
from molvae.tokens.vocabulary import EOS, Vocabulary

MOST_SPLITS = 20  # more names than that, and the column is no split column
NO_SMILES = ("not a valid SMILES", "no SMILES in the row")  # reasons for which a wrong column is the likeliest cause
REASONS = {DUPLICATE: "duplicate", DUPLICATE_ACROSS_SPLITS: "duplicate of a molecule in another split"}


@dataclass(frozen=True)
class Assembled:
    """What was written.

    Attributes:
        tokenizer: saved as `vocabulary.json`.
        n_rows: rows of all inputs.
        splits: molecules by split.
        tokens: ids by split, end tokens included.
        longest: ids of the longest molecule, end token included.
        dropped: rows left out by reason, the most frequent first.
        unknown_tokens: molecules left out because of each unknown token (its first one).
    """

    tokenizer: Tokenizer
    n_rows: int
    splits: dict[str, int]
    tokens: dict[str, int]
    longest: int
    dropped: dict[str, int]
    unknown_tokens: dict[str, int]


def assemble(
    chunks: Callable[[], Iterator[Chunk]],
    *,
    at_most: int,
    work: Path,
    output: Path,
    sources: Sequence[str],
    tokenizer: Tokenizer | Callable[[Vocabulary], Tokenizer],
    n_properties: int,
    smiles_column: str = "smiles",
) -> Assembled:
    """Write shards, `vocabulary.json` and `dropped.csv`.

    Args:
        chunks: gives all chunks in order, as often as it is called.
        at_most: bound on the number of molecules.
        work: directory for working files.
        output: the prepared directory.
        sources: names of the input files.
        tokenizer: a given one, or how to make one from the vocabulary of the train split.
        n_properties: numbers that come with each molecule.
        smiles_column: the column to name where nothing in it is SMILES.

    Raises:
        DataError: there is nothing to make a vocabulary from, nothing is left, or the split column is none.
    """
    splits: dict[str, int] = {}
    n_rows = 0

    def keys() -> Iterator[tuple[AnyArray, AnyArray]]:
        nonlocal n_rows
        for chunk in chunks():
            n_rows += len(chunk) + len(chunk.dropped)
            yield chunk.key, _numbered(chunk, splits)

    marks = mark_duplicates(keys(), at_most, work)
    if not isinstance(tokenizer, Tokenizer):
        tokenizer = tokenizer(_train_vocabulary(chunks, marks, splits))
    writer = _Writer(output, sources, tokenizer, sorted(splits), n_properties)
    with writer, open(marks, "rb") as handle:
        for chunk in chunks():
            writer.add(chunk, np.frombuffer(handle.read(len(chunk)), dtype=np.uint8))
    result = writer.result(n_rows, smiles_column)
    tokenizer.save(output / VOCABULARY)
    return result


def _numbered(chunk: Chunk, splits: dict[str, int]) -> AnyArray:
    """Split numbers that mean the same in all chunks, (M,)."""
    for name in chunk.splits:
        splits.setdefault(name, len(splits))
    if len(splits) > MOST_SPLITS:
        some = ", ".join(list(splits)[:5])
        raise DataError(f"more than {MOST_SPLITS} splits ({some}, ...): the split column does not hold names of splits")
    return np.array([splits[name] for name in chunk.splits], dtype=np.uint16)[chunk.split]


def _train_vocabulary(chunks: Callable[[], Iterator[Chunk]], marks: Path, splits: dict[str, int]) -> Vocabulary:
    symbols: set[str] = set()
    with open(marks, "rb") as handle:
        for chunk in chunks():
            mark = np.frombuffer(handle.read(len(chunk)), dtype=np.uint8)
            if "train" in chunk.splits:
                used = (chunk.split == chunk.splits.index("train")) & (mark == FIRST)
                symbols.update(chunk.alphabet[i] for i in np.unique(chunk.symbols[np.repeat(used, chunk.lengths)]))
    if not symbols and splits:  # without any split every row was dropped, which `_Writer` lists and tells
        found = ", ".join(sorted(splits))
        raise DataError(f"no molecule in the split 'train' to make a vocabulary from (splits found: {found})")
    return Vocabulary.from_symbols(symbols)


class _Writer:
    """Writes the chunks' molecules to the shards of their splits and everything else to `dropped.csv`."""

    def __init__(
        self, output: Path, sources: Sequence[str], tokenizer: Tokenizer, splits: Sequence[str], n_properties: int
    ) -> None:
        self.output, self.sources, self.tokenizer = output, sources, tokenizer
        size = len(tokenizer.vocabulary)
        self.shards = {name: ShardWriter(output, name, size, n_properties) for name in splits}
        self.dropped: Counter[str] = Counter()
        self.unknown_tokens: Counter[str] = Counter()
        self.longest = 0

    def __enter__(self) -> _Writer:
        with ExitStack() as stack:
            for shard in self.shards.values():
                stack.enter_context(shard)
            temporary = stack.enter_context(atomic_path(self.output / "dropped.csv"))
            handle = stack.enter_context(open(temporary, "w", encoding="utf-8", newline=""))
            self._csv = csv.writer(handle)
            self._csv.writerow(["file", "row", "smiles", "reason"])
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.__exit__(*exc)

    def add(self, chunk: Chunk, marks: AnyArray) -> None:
        """Write one chunk; `marks` (M,) are those of its molecules."""
        ids = np.array([self.tokenizer.vocabulary.ids.get(symbol, -1) for symbol in chunk.alphabet], dtype=np.int64)
        ids = ids[chunk.symbols]
        ends = np.cumsum(chunk.lengths, dtype=np.int64)
        unknown = np.add.reduceat(ids < 0, ends - chunk.lengths) > 0 if len(chunk) else np.zeros(0, dtype=bool)
        self._drop(chunk, marks, unknown)
        keep = (marks == FIRST) & ~unknown
        ids = np.insert(ids, ends, EOS)
        lengths = chunk.lengths.astype(np.int64) + 1
        self.longest = max(self.longest, int(lengths[keep].max(initial=0)))
        for number, name in enumerate(chunk.splits):
            here = keep & (chunk.split == number)
            properties = chunk.properties[here] if chunk.properties.shape[1] else None
            self.shards[name].extend(ids[np.repeat(here, lengths)], lengths[here], properties)

    def _drop(self, chunk: Chunk, marks: AnyArray, unknown: AnyArray) -> None:
        dropped = list(chunk.dropped)
        starts = np.cumsum(chunk.lengths, dtype=np.int64) - chunk.lengths
        for i in np.flatnonzero((marks != FIRST) | unknown):
            reason = REASONS.get(int(marks[i])) or self._unknown(chunk, int(starts[i]), int(chunk.lengths[i]))
            dropped.append(Dropped(int(chunk.source[i]), int(chunk.row[i]), chunk.smiles[i], reason))
        for source, row, smiles, reason in sorted(dropped):
            self.dropped[reason.split(":")[0]] += 1
            self._csv.writerow([self.sources[source], row, smiles, reason])

    def _unknown(self, chunk: Chunk, start: int, length: int) -> str:
        symbols = (chunk.alphabet[i] for i in chunk.symbols[start : start + length])
        token = next(symbol for symbol in symbols if symbol not in self.tokenizer.vocabulary.ids)
        self.unknown_tokens[token] += 1
        return f"unknown token: {token}"

    def result(self, n_rows: int, smiles_column: str) -> Assembled:
        """What was written, after the end."""
        if not any(shard.n_molecules for shard in self.shards.values()):
            most = self.dropped.most_common(5)
            reasons = ", ".join(f"{n:,} {reason}" for reason, n in most)
            hint = f"; does the column {smiles_column!r} hold SMILES?" if most[0][0] in NO_SMILES else ""
            raise DataError(
                f"no molecule is left of {n_rows:,} rows ({reasons}); see {self.output / 'dropped.csv'}{hint}"
            )
        return Assembled(
            tokenizer=self.tokenizer,
            n_rows=n_rows,
            splits={name: shard.n_molecules for name, shard in self.shards.items()},
            tokens={name: shard.n_tokens for name, shard in self.shards.items()},
            longest=self.longest,
            dropped=_by_count(self.dropped),
            unknown_tokens=_by_count(self.unknown_tokens),
        )


def _by_count(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
