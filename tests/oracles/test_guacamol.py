"""Benchmark tasks and properties against values of the original implementations, on every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molvae.oracles import PMO_TASKS, list_oracles, oracle
from molvae.oracles.guacamol import TARGETS, TASKS, TOP_K
from molvae.oracles.objective import MoleculeOracle, Objective
from molvae.oracles.parsed import ParsedMolecule
from molvae.oracles.properties import PROPERTIES

TOLERANCE = 1e-9
COLUMNS = {"sa": "misc_sa_rdkit_contrib", "np": "misc_np_score"}
NOT_IN_REFERENCE = {"fluorine_atoms", "formal_charge", "logp_sa"}


def column(name: str) -> str:
    if name in TASKS:
        return name if name.startswith("guacamol_") else f"tdc_{name}"
    return COLUMNS.get(name, f"misc_{name}")


@pytest.fixture(scope="module")
def reference(shared: Path) -> pd.DataFrame:
    return pd.read_csv(shared / "reference" / "oracle_reference.csv.gz")


@pytest.fixture(scope="module")
def molecules(reference: pd.DataFrame) -> list[ParsedMolecule]:
    """Parsed once for all tasks: what the oracles do with a SMILES is tested with the golden file."""
    parsed = [ParsedMolecule.from_smiles(smiles) for smiles in reference.smiles]
    assert all(parsed)
    return [molecule for molecule in parsed if molecule is not None]


@pytest.mark.parametrize("name", [*TASKS, *sorted(set(PROPERTIES) - set(TASKS) - NOT_IN_REFERENCE)])
def test_equals_the_original_implementation(
    name: str, reference: pd.DataFrame, molecules: list[ParsedMolecule]
) -> None:
    built = oracle(name)
    assert isinstance(built, MoleculeOracle)
    values = np.array([built.component.value(molecule) for molecule in molecules])
    np.testing.assert_allclose(values, reference[column(name)], rtol=0, atol=TOLERANCE)


def test_every_column_of_the_suite_is_an_oracle(reference: pd.DataFrame) -> None:
    known = {info.name for info in list_oracles()}
    suite = {name for name in reference.columns if name.startswith("guacamol_")}
    assert suite <= known
    assert {f"tdc_{name}" for name in PMO_TASKS} <= set(reference.columns)
    assert len(PMO_TASKS) == 20
    assert set(PMO_TASKS) <= known | {"qed"}


def test_golden_values(root: Path) -> None:
    """Our own well-known molecules, all names, from strings: always run, whatever else is at hand."""
    golden = pd.read_csv(root / "data" / "golden_oracles.csv")
    assert set(golden.columns) == {"name", "smiles", *TASKS, *PROPERTIES}
    for name in [*TASKS, *PROPERTIES]:
        values = oracle(name)(golden.smiles.tolist())
        np.testing.assert_allclose(values, golden[name], rtol=0, atol=TOLERANCE, err_msg=name)


@pytest.mark.parametrize(
    ("name", "target", "score"),
    [
        ("celecoxib_rediscovery", "celecoxib", 1.0),
        ("mestranol_similarity", "mestranol", 1.0),
        ("deco_hop", "hop start", 0.5),  # similarity 1, scaffold present, both decorations there: (1 + 0 + 0 + 1) / 4
        ("scaffold_hop", "hop start", 2 / 3),  # similarity 1, decoration there, scaffold not absent
        (
            "perindopril_mpo",
            "perindopril",
            np.exp(-0.5 * (2 / 0.5) ** 2) ** 0.5,
        ),  # no aromatic ring
        ("sitagliptin_mpo", "sitagliptin", np.exp(-0.5 * (1 / 0.1) ** 2) ** 0.25),  # all but the similarity are perfect
    ],
)
def test_targets_by_hand(name: str, target: str, score: float) -> None:
    assert oracle(name)([TARGETS[target]])[0] == pytest.approx(score, abs=1e-12)


def test_tasks_do_not_depend_on_how_the_smiles_is_written() -> None:
    smiles = [TARGETS[name] for name in ("osimertinib", "amlodipine", "mestranol")]
    rng = np.random.default_rng(0)
    shuffled = []
    for each in smiles:
        mol = Chem.MolFromSmiles(each)
        order = rng.permutation(mol.GetNumAtoms()).tolist()
        shuffled.append(Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False))
    assert shuffled != smiles
    for name in PMO_TASKS:
        np.testing.assert_allclose(oracle(name)(shuffled), oracle(name)(smiles), rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("name", PMO_TASKS)
def test_invalid_molecules_are_nan(name: str) -> None:
    values = oracle(name)(["", "c1ccc", "not a molecule", "C(C)(C)(C)(C)C", "CCO"])
    assert np.isnan(values[:4]).all()
    assert np.isfinite(values[4])


def test_components_explain_the_score() -> None:
    built = oracle("fexofenadine_mpo")
    smiles = [TARGETS["osimertinib"], "nonsense"]
    parts = built.components(smiles)
    assert parts["logp"][0] == pytest.approx(oracle("logp")(smiles)[0])
    desirabilities = [value[0] for name, value in parts.items() if name.endswith(": desirability")]
    assert np.prod(desirabilities) ** (1 / 3) == pytest.approx(built(smiles)[0])
    assert all(np.isnan(value[1]) for value in parts.values())


def test_tasks_survive_a_round_trip_through_plain_data() -> None:
    for name, build in TASKS.items():
        assert Objective.model_validate(build().model_dump(mode="json")) == build(), name


def test_every_task_says_how_many_of_the_best_count() -> None:
    assert set(TOP_K) == set(TASKS)
    others = {name: top for name, top in TOP_K.items() if top != (1, 10, 100)}
    assert others == {
        f"{prefix}{name}": (k,)
        for prefix, isomers, small in (("", "isomers_", "isomers_"), ("guacamol_", "", "trivial_"))
        for name, k in {
            "celecoxib_rediscovery": 1,
            "troglitazone_rediscovery": 1,
            "thiothixene_rediscovery": 1,
            f"{isomers}c11h24": 159,
            f"{small}c7h8n2o2": 100,
            f"{isomers}c9h10n2o2pf2cl": 250,
        }.items()
    }
