"""Duplicates among any number of molecules with bounded memory.

The 128-bit keys of the molecules are dealt out to partitions on disk by their low bits; equal keys meet in the same
partition, and one partition at a time is sorted in memory. The first occurrence in the input is the one that is kept.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from molvae.core.arrays import AnyArray

ENTRY = np.dtype([("key", "<u8", 2), ("position", "<i8"), ("split", "<u2")])
ENTRIES_PER_PARTITION = 100_000  # about 15 MB while it is sorted
FIRST, DUPLICATE, DUPLICATE_ACROSS_SPLITS = 0, 1, 2


def mark_duplicates(parts: Iterable[tuple[AnyArray, AnyArray]], at_most: int, directory: Path) -> Path:
    """Write a file of one byte for each molecule: FIRST, DUPLICATE or DUPLICATE_ACROSS_SPLITS.

    Args:
        parts: keys (M, 2) uint64 and split numbers (M,), in the order of the input.
        at_most: bound on the sum of all M, to choose the number of partitions by.
        directory: for the working files and the result.
    """
    n_partitions = max(1, -(-at_most // ENTRIES_PER_PARTITION))
    partitions = [directory / f"partition-{i}" for i in range(n_partitions)]
    for path in partitions:
        path.unlink(missing_ok=True)
    position = 0
    for keys, splits in parts:
        position += _deal(keys, splits, position, partitions)
    marks = directory / "duplicates"
    with open(marks, "wb", buffering=0) as handle:
        handle.truncate(position)
        for path in partitions:
            if path.exists():
                _mark(np.fromfile(path, dtype=ENTRY), handle)
                path.unlink()
    return marks


def _deal(keys: AnyArray, splits: AnyArray, position: int, partitions: list[Path]) -> int:
    entries = np.empty(len(keys), dtype=ENTRY)
    entries["key"], entries["split"] = keys, splits
    entries["position"] = np.arange(position, position + len(keys))
    place = keys[:, 0] % np.uint64(len(partitions))
    order = np.argsort(place, kind="stable")
    bounds = np.searchsorted(place[order], np.arange(len(partitions) + 1, dtype=np.uint64))
    for i in np.flatnonzero(np.diff(bounds)):
        with open(partitions[i], "ab") as handle:
            handle.write(entries[order[bounds[i] : bounds[i + 1]]].tobytes())
    return len(keys)


def _mark(entries: AnyArray, handle: io.FileIO) -> None:
    entries = entries[np.lexsort((entries["position"], entries["key"][:, 1], entries["key"][:, 0]))]
    repeats = np.zeros(len(entries), dtype=bool)
    repeats[1:] = np.all(entries["key"][1:] == entries["key"][:-1], axis=1)
    first_of_group = np.maximum.accumulate(np.where(repeats, 0, np.arange(len(entries))))
    across = entries["split"] != entries["split"][first_of_group]
    for position, other in zip(entries["position"][repeats].tolist(), across[repeats].tolist(), strict=True):
        handle.seek(position)
        handle.write(bytes([DUPLICATE_ACROSS_SPLITS if other else DUPLICATE]))
