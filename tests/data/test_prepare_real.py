"""Prepare on real molecules: drug-like ones all come back, strange ones come back or are refused."""

from __future__ import annotations

import csv
import gzip
from itertools import islice
from pathlib import Path

import pytest

from molvae.chem.molecules import canonical
from molvae.data.splits import ColumnSplit, SingleSplit
from tests.data.preparing import dropped, molecules, run, write_csv

pytestmark = pytest.mark.integration


def some_rows(path: Path, step: int, n: int) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as handle:
        return list(islice(csv.DictReader(handle), 0, step * n, step))


def test_zinc_comes_back_whole(tmp_path: Path, shared: Path) -> None:
    rows = some_rows(shared / "data" / "zinc250k.csv.gz", 60, 1500)
    path = write_csv(tmp_path / "in.csv", [(row["smiles"], row["split"]) for row in rows])
    report = run(path, tmp_path / "out", split=ColumnSplit())
    lost = {canonical(row[2]) for row in dropped(tmp_path / "out")}
    for split in ("train", "valid", "test"):
        expected = [row["canonical_smiles"] for row in rows if row["split"] == split]
        assert molecules(tmp_path / "out", split) == [smiles for smiles in expected if smiles not in lost]
    assert set(report.dropped) <= {"unknown token"}
    assert report.dropped.get("unknown token", 0) < 15


def test_strange_molecules_come_back_or_are_refused(tmp_path: Path, shared: Path) -> None:
    """Salts, metals, macrocycles, peptides, B, Si, Se: each row is kept as it is or listed with a reason."""
    rows = some_rows(shared / "data" / "sets" / "ood.csv.gz", 40, 1000)
    path = write_csv(tmp_path / "in.csv", [(row["smiles"],) for row in rows], header=("smiles",))
    report = run(path, tmp_path / "out", split=SingleSplit(), max_length=150)
    kept = molecules(tmp_path / "out", "train")
    left_out = {int(row[1]) for row in dropped(tmp_path / "out")}
    expected = [canonical(row["smiles"]) for i, row in enumerate(rows, start=1) if i not in left_out]
    assert kept == expected
    assert len(kept) + len(left_out) == report.n_rows == len(rows)
    assert len(kept) > len(rows) / 2
