"""Edits to train on: valid, new, of the train split only, and the same for the same seed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.core.errors import DataError
from pipelines.edit_molecules import edited, main

SAMPLE = Path(__file__).parents[2] / "data" / "sample.smi"


def written(path: Path) -> list[tuple[str, str]]:
    """The rows of a table with the columns smiles and split."""
    with open(path, newline="", encoding="utf-8") as handle:
        return [(row["smiles"], row["split"]) for row in csv.DictReader(handle)]


def test_the_file_holds_the_molecules_and_new_ones_to_train_on(tmp_path: Path) -> None:
    molecules = [line.split()[0] for line in SAMPLE.read_text(encoding="utf-8").splitlines()[:60]]
    rows = [(s, "test" if i % 5 == 0 else "train") for i, s in enumerate(molecules)]
    source = tmp_path / "some.csv"
    source.write_text("smiles,split\n" + "".join(f"{s},{split}\n" for s, split in rows), encoding="utf-8")
    for name in ("a.csv", "b.csv"):
        main([str(source), "--n", "80", "--seed", "3", "--out", str(tmp_path / name)])
    found = written(tmp_path / "a.csv")
    assert found == written(tmp_path / "b.csv")
    assert found[: len(rows)] == rows
    edits = [s for s, _ in found[len(rows) :]]
    assert {split for _, split in found[len(rows) :]} == {"train"}
    assert len(set(edits)) == 80
    assert not set(edits) & {canonical(s) for s in molecules}
    assert all(canonical(s) == s for s in edits)


def test_chains_wander_away_from_their_beginning() -> None:
    rng, start = np.random.default_rng(0), Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O")
    source = edited([Chem.MolToSmiles(start)], rng)
    sizes = [Chem.MolFromSmiles(next(source)).GetNumHeavyAtoms() for _ in range(60)]
    assert max(sizes) > start.GetNumHeavyAtoms() > min(sizes)


def test_a_file_with_nothing_to_train_on_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles,split\nCCO,test\n", encoding="utf-8")
    with pytest.raises(DataError, match="no row has 'train'"):
        main([str(tmp_path / "in.csv"), "--out", str(tmp_path / "out.csv")])
