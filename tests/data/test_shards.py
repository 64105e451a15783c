"""What a ShardWriter writes, TokenShards reads; nothing half-written is ever seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from molvae.core.errors import DataError
from molvae.core.files import write_json
from molvae.data.shards import ShardWriter, TokenShards, read_manifest
from molvae.tokens.vocabulary import EOS


def rows(n: int, size: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.append(rng.integers(3, size, rng.integers(0, 30)), EOS) for _ in range(n)]


@pytest.mark.parametrize(("size", "dtype"), [(256, np.uint8), (257, np.uint16), (5000, np.uint16)])
@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_round_trip(tmp_path: Path, size: int, dtype: type, at_once: int) -> None:
    molecules = rows(100, size)
    with ShardWriter(tmp_path, "train", size) as writer:
        for i in range(0, 100, at_once):
            some = molecules[i : i + at_once]
            writer.extend(np.concatenate(some), [len(row) for row in some])
    shards = TokenShards.open(tmp_path, "train")
    assert len(shards) == writer.n_molecules == 100
    assert shards.tokens.dtype == dtype
    assert len(shards.tokens) == writer.n_tokens
    for i, row in enumerate(molecules):
        np.testing.assert_array_equal(shards[i], row)
    np.testing.assert_array_equal(shards.lengths, [len(row) for row in molecules])


def test_files_are_plain_numpy(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 10, n_properties=2) as writer:
        writer.append(np.array([5, EOS]), np.array([1.5, 2.0]))
        writer.append(np.array([EOS]), np.array([np.nan, 3.0]))
    assert np.load(tmp_path / "train.tokens.npy").tolist() == [5, EOS, EOS]
    assert np.load(tmp_path / "train.offsets.npy").tolist() == [0, 2, 3]
    np.testing.assert_array_equal(np.load(tmp_path / "train.properties.npy"), np.array([[1.5, 2], [np.nan, 3]], "f4"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "train.offsets.npy",
        "train.properties.npy",
        "train.tokens.npy",
    ]


def test_empty_split(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "test", 10):
        pass
    shards = TokenShards.open(tmp_path, "test")
    assert len(shards) == 0
    assert shards.padded([]).shape == (0, 0)


def test_padded(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 10) as writer:
        for row in ([3, 4, EOS], [EOS], [5, EOS]):
            writer.append(np.array(row))
    padded = TokenShards.open(tmp_path, "train").padded([2, 0])
    assert padded.dtype == np.int64
    assert padded.tolist() == [[5, EOS, 0], [3, 4, EOS]]


def test_exception_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), ShardWriter(tmp_path, "train", 10) as writer:  # noqa: PT012
        writer.append(np.array([3, EOS]))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ids", "lengths", "properties"),
    [([3, 4], [2], None), ([3, EOS], [1], None), ([3, EOS], [2, 1], None), ([3, EOS], [2], np.zeros((1, 1)))],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, ids: list[int], lengths: list[int], properties: np.ndarray | None
) -> None:
    with pytest.raises(DataError), ShardWriter(tmp_path, "train", 10) as writer:
        writer.extend(np.array(ids), lengths, properties)


def test_missing_split_names_those_there_are(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 10) as writer:
        writer.append(np.array([EOS]))
    with pytest.raises(DataError, match=r"no prepared split 'valid' .found: train.; run `molvae prepare`"):
        TokenShards.open(tmp_path, "valid")


def test_offsets_of_another_file_are_noticed(tmp_path: Path) -> None:
    for split, n in (("train", 3), ("test", 2)):
        with ShardWriter(tmp_path, split, 10) as writer:
            for _ in range(n):
                writer.append(np.array([EOS]))
    (tmp_path / "test.offsets.npy").replace(tmp_path / "train.offsets.npy")
    with pytest.raises(DataError, match="offsets and tokens disagree"):
        TokenShards.open(tmp_path, "train")


def test_truncated_file_is_noticed(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train", 10) as writer:
        for row in rows(50, 10):
            writer.append(row)
    path = tmp_path / "train.tokens.npy"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="no prepared split 'train'"):
        TokenShards.open(tmp_path, "train")


def test_damaged_properties_are_noticed(tmp_path: Path) -> None:
    for split, n in (("train", 40), ("test", 2)):
        with ShardWriter(tmp_path, split, 10, n_properties=1) as writer:
            for i in range(n):
                writer.append(np.array([EOS]), np.array([i]))
    path = tmp_path / "train.properties.npy"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="no prepared split 'train'"):
        TokenShards.open(tmp_path, "train")
    (tmp_path / "test.properties.npy").replace(path)
    with pytest.raises(DataError, match="offsets and properties disagree"):
        TokenShards.open(tmp_path, "train")


def test_manifest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `molvae prepare` first"):
        read_manifest(tmp_path)
    write_json(tmp_path / "manifest.json", {"splits": {"train": 1}})
    assert read_manifest(tmp_path)["splits"] == {"train": 1}
