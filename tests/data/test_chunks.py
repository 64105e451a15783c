"""Chunks come back from their files, and hold what the recipe says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from molvae.chem.molecules import Standardiser
from molvae.core.tables import Row
from molvae.data.chunks import Chunk, Dropped, Recipe, make_chunk
from molvae.data.splits import ColumnSplit, SingleSplit
from molvae.tokens.tokenizer import default_constraints
from tests.data.molecules import made_molecules

RECIPE = Recipe(Standardiser(), default_constraints(), SingleSplit(), 80, None, 1, None, ())


def rows(*cells: tuple[str, ...]) -> list[tuple[int, Row]]:
    return [(0, Row(number, row)) for number, row in enumerate(cells, start=1)]


def test_saved_chunk_is_the_same(tmp_path: Path) -> None:
    recipe = replace(RECIPE, properties=("x",), split=ColumnSplit())
    made = [(s, "train" if i % 3 else "test", str(i)) for i, s in enumerate(made_molecules(40))]
    chunk = make_chunk(recipe, rows(*made, ('C(\n"', "train", "1"), ("C", "", "")))
    chunk.save(tmp_path / "chunk.npz")
    loaded = Chunk.load(tmp_path / "chunk.npz")
    for name in Chunk.ARRAYS:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(chunk, name))
        assert getattr(loaded, name).dtype == getattr(chunk, name).dtype
    assert (loaded.smiles, loaded.splits, loaded.alphabet) == (chunk.smiles, chunk.splits, chunk.alphabet)
    assert loaded.dropped == chunk.dropped
    assert [row.reason for row in loaded.dropped] == ["not a valid SMILES", "no split given"]
    assert len(loaded) == 40


def test_chunk_of_nothing_but_bad_rows(tmp_path: Path) -> None:
    chunk = make_chunk(RECIPE, rows(("C(", ""), ("", "")))
    chunk.save(tmp_path / "chunk.npz")
    loaded = Chunk.load(tmp_path / "chunk.npz")
    assert len(loaded) == 0
    assert len(loaded.dropped) == 2
    assert loaded.key.shape == (0, 2)


def test_equal_molecules_have_equal_keys() -> None:
    chunk = make_chunk(RECIPE, rows(("OCC", ""), ("CCO", ""), ("CCN", "")))
    assert (chunk.key[0] == chunk.key[1]).all()
    assert (chunk.key[0] != chunk.key[2]).any()


def test_refused_rows_are_not_touched() -> None:
    chunk = make_chunk(RECIPE, rows(("CCO", ""), ("CCN", "")), refused={1: "takes too long"})
    assert chunk.dropped == [Dropped(0, 2, "CCN", "takes too long")]
    assert chunk.smiles == ["CCO"]


@pytest.mark.parametrize("cell", ["inf", "-inf", "1e400", "high"])
def test_property_has_to_be_a_finite_number(cell: str) -> None:
    recipe = replace(RECIPE, properties=("x",))
    assert make_chunk(recipe, rows(("CCO", "", cell))).dropped[0].reason == "property x is not a finite number"


def test_float32_overflow_is_refused() -> None:
    recipe = replace(RECIPE, properties=("x",))
    assert make_chunk(recipe, rows(("CCO", "", "1e39"))).dropped


@pytest.mark.parametrize("smiles", ["[H][H]", "[2H][2H]", "[H+]"])
def test_hydrogen_alone_is_no_molecule(smiles: str) -> None:
    assert make_chunk(RECIPE, rows((smiles, ""))).dropped[0].reason == "fewer than 1 heavy atoms"


def test_hydrogen_written_out_for_stereo_is_kept() -> None:
    assert make_chunk(RECIPE, rows(("[H]/N=C(\\C)CC", ""))).smiles == ["[H]/N=C(\\C)CC"]
