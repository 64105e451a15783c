"""Splits depend on the molecule alone and meet their fractions."""

from __future__ import annotations

import pytest

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError, MoleculeError
from molvae.data.prepare import PrepareConfig
from molvae.data.splits import ColumnSplit, RandomSplit, ScaffoldSplit, SingleSplit, assign, scaffold, uniform
from tests.data.molecules import made_molecules


def test_random_fractions_are_met_on_average() -> None:
    split = RandomSplit(valid_fraction=0.1, test_fraction=0.2, seed=3)
    names = [assign(split, f"molecule {i}", "") for i in range(20_000)]
    assert names.count("test") / 20_000 == pytest.approx(0.2, abs=0.01)
    assert names.count("valid") / 20_000 == pytest.approx(0.1, abs=0.01)


def test_seed_decides() -> None:
    first, second = ([assign(RandomSplit(test_fraction=0.5, seed=s), str(i), "") for i in range(200)] for s in (0, 1))
    assert first != second


def test_uniform_is_pinned() -> None:
    assert uniform("CCO", 0) == pytest.approx(0.63842, abs=1e-5)  # another value would move molecules between splits


def test_molecules_of_one_scaffold_stay_together() -> None:
    split = ScaffoldSplit(valid_fraction=0.3, test_fraction=0.3)
    by_scaffold: dict[str, set[str]] = {}
    for smiles in made_molecules(378):
        by_scaffold.setdefault(scaffold(smiles), set()).add(assign(split, smiles, ""))
    assert all(len(names) == 1 for names in by_scaffold.values())
    assert len({name for names in by_scaffold.values() for name in names}) > 1


def test_acyclic_molecules_do_not_share_a_scaffold() -> None:
    assert scaffold("CCO") == "CCO"
    assert scaffold("C[C@H](N)c1ccccc1") == "c1ccccc1"


@pytest.mark.parametrize(
    ("cell", "name"),
    [("train", "train"), (" Val ", "valid"), ("dev", "valid"), ("TEST_SCAFFOLDS", "test_scaffolds")],
)
def test_column_names_are_taken_as_they_are_meant(cell: str, name: str) -> None:
    assert assign(ColumnSplit(), "C", cell) == name


@pytest.mark.parametrize(("cell", "reason"), [("", "no split given"), ("../../etc", "not a name for a split")])
def test_rows_without_a_split_are_dropped(cell: str, reason: str) -> None:
    with pytest.raises(MoleculeError, match=reason):
        assign(ColumnSplit(), "C", cell)


def test_valid_can_be_taken_from_train() -> None:
    split = ColumnSplit(valid_fraction=0.1)
    names = [assign(split, str(i), "train") for i in range(5000)]
    assert names.count("valid") / 5000 == pytest.approx(0.1, abs=0.02)
    assert assign(split, "C", "test") == "test"


def test_single() -> None:
    assert assign(SingleSplit(name="test"), "C", "") == "test"


def test_mistakes_in_the_config_are_named() -> None:
    data = {"inputs": ["a.smi"], "output": "out", "split": {"kind": "scafold"}}
    with pytest.raises(ConfigError, match="did you mean 'scaffold'"):
        parse_config(data, PrepareConfig)
    with pytest.raises(ConfigError, match="below 1"):
        parse_config(data | {"split": {"kind": "random", "valid_fraction": 0.5, "test_fraction": 0.5}}, PrepareConfig)
