"""Duplicates found by partitions on disk are those that a dictionary finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molvae.data import deduplicate
from molvae.data.deduplicate import DUPLICATE, DUPLICATE_ACROSS_SPLITS, FIRST, mark_duplicates


@pytest.mark.parametrize("per_partition", [10, 1000, 10**6])
def test_marks_equal_those_of_a_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_partition: int) -> None:
    monkeypatch.setattr(deduplicate, "ENTRIES_PER_PARTITION", per_partition)
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 30, (3000, 2)).astype(np.uint64) * np.uint64(2**59 + 7)  # 900 distinct; halves collide often
    splits = rng.integers(0, 3, 3000).astype(np.uint16)
    seen: dict[tuple[int, int], int] = {}
    expected = []
    for (a, b), split in zip(keys.tolist(), splits.tolist(), strict=True):
        first = seen.get((a, b))
        expected.append(FIRST if first is None else DUPLICATE if first == split else DUPLICATE_ACROSS_SPLITS)
        seen.setdefault((a, b), split)
    parts = [(keys[i : i + 70], splits[i : i + 70]) for i in range(0, 3000, 70)]
    marks = mark_duplicates(iter(parts), 5000, tmp_path)
    assert np.frombuffer(marks.read_bytes(), dtype=np.uint8).tolist() == expected
    assert list(tmp_path.iterdir()) == [marks]


def test_partitions_left_by_a_killed_run_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "partition-0").write_bytes(b"\0" * 26 * 5)
    keys = np.arange(8, dtype=np.uint64).reshape(4, 2)
    marks = mark_duplicates(iter([(keys, np.zeros(4, np.uint16))]), 4, tmp_path)
    assert marks.read_bytes() == b"\0" * 4


def test_nothing_at_all(tmp_path: Path) -> None:
    assert mark_duplicates(iter([]), 0, tmp_path).read_bytes() == b""
