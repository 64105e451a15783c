"""Parsing, canonical form and standardisation."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from molvae.chem.molecules import MAX_SMILES_CHARACTERS, Standardiser, canonical, parse
from molvae.core.errors import MoleculeError


@pytest.mark.parametrize(
    "smiles", ["", "  ", "C(", "c1ccccc", "CN(C)(C)C", "not a molecule", "[Xx]", "C" * (MAX_SMILES_CHARACTERS + 1)]
)
def test_invalid_is_none(smiles: str) -> None:
    assert parse(smiles) is None
    assert canonical(smiles) is None


def test_what_is_too_long_is_said_to_be() -> None:
    with pytest.raises(MoleculeError, match="longer than 5,000 characters"):
        Standardiser()("C" * (MAX_SMILES_CHARACTERS + 1))


@pytest.mark.parametrize("value", [None, 1.5, float("nan"), b"C", ["C"]])
def test_what_is_no_text_is_none(value: object) -> None:
    assert parse(value) is None  # type: ignore[arg-type]  # a column of a table holds such things


def test_ring_closure_bond_of_two_kinds_is_refused_as_rdkit_does() -> None:
    """selfies.encoder takes this one, for another molecule (rdkit issues 5078 and 4969)."""
    assert parse("Cc1ccc2c(c1)-n1-c(=O)/c=c\\c(=O)-n-2-c2cc(C)ccc2-1") is None


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [("OCC", "CCO"), ("C1=CC=CC=C1", "c1ccccc1"), ("[H]C([H])([H])O", "CO"), ("N[C@@H](C)C(=O)O", "C[C@H](N)C(=O)O")],
)
def test_canonical(smiles: str, expected: str) -> None:
    assert canonical(smiles) == expected


MOLECULES = ["C[C@@H]1CC(Nc2cncc(-c3nncn3C)c2)C[C@@H](C)C1", "C/C=C\\c1ccc2[nH]ccc2c1", "O=C([O-])[C@@H]([NH3+])CS"]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(MOLECULES), st.randoms(use_true_random=False))
def test_canonical_does_not_depend_on_the_order_of_atoms(smiles: str, random: object) -> None:
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.shuffle(order)  # type: ignore[attr-defined]
    other = Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
    assert canonical(other) == canonical(smiles)


@pytest.mark.parametrize("smiles", MOLECULES)
def test_canonical_is_a_fixed_point(smiles: str) -> None:
    once = canonical(smiles)
    assert once is not None
    assert canonical(once) == once


def test_huge_input_is_answered_at_once() -> None:
    """rdkit issues 1281 and 1360: parses that never ended."""
    started = time.monotonic()
    parse("C1" * 2000)
    parse("C" * 100_000)
    parse("[" * 4000)
    parse("C(" * 2000 + ")" * 2000)
    assert time.monotonic() - started < 2


def test_failed_parses_say_nothing_on_stderr() -> None:
    code = "from molvae.chem.molecules import canonical; assert canonical('C(') is None"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


# --- standardisation ------------------------------------------------------------------------------------------------


def test_default_keeps_charges_and_stereo_and_refuses_mixtures() -> None:
    assert Standardiser()("[NH3+][C@@H](C)C(=O)[O-]") == "C[C@H]([NH3+])C(=O)[O-]"
    with pytest.raises(MoleculeError, match="several fragments"):
        Standardiser()("CC(=O)[O-].[Na+]")


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)[O-]", "CC(=O)O"),
        ("C[NH3+]", "CN"),
        ("C[N+](C)(C)C", "C[N+](C)(C)C"),  # nothing to take away
        ("C[N+](=O)[O-]", "C[N+](=O)[O-]"),  # a nitro group is neutral
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),
    ],
)
def test_neutralise(smiles: str, expected: str) -> None:
    assert Standardiser(charges="neutralise")(smiles) == expected


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("CC(=O)[O-].[Na+]", "CC(=O)[O-]"),
        ("Cl.CCN", "CCN"),
        ("CCO.CCN", "CCO"),
        ("CCN.CCO", "CCO"),
        ("C.CCCC.O", "CCCC"),
    ],
)
def test_largest_fragment_does_not_depend_on_order(smiles: str, expected: str) -> None:
    assert Standardiser(fragments="largest")(smiles) == expected


def test_what_becomes_no_molecule_is_refused() -> None:
    with pytest.raises(MoleculeError, match="no valid molecule after standardisation"):
        Standardiser(charges="neutralise", fragments="largest")("[CH-]1C=CC=C1.[Na+]")


def test_salt_is_stripped_then_neutralised() -> None:
    assert Standardiser(charges="neutralise", fragments="largest")("CC(=O)[O-].[Na+]") == "CC(=O)O"


def test_drop_stereo() -> None:
    assert Standardiser(stereo="drop")("C/C=C\\[C@H](N)C") == "CC=CC(C)N"


@pytest.mark.parametrize("charges", ["keep", "neutralise"])
@pytest.mark.parametrize("stereo", ["keep", "drop"])
@pytest.mark.parametrize("smiles", [*MOLECULES, "C[N+](C)(C)CC([O-])C[C@@H](F)Cl", "O=C1NC(=O)[C@]2(CC[C@H]2O)N1"])
def test_standardisation_is_idempotent(smiles: str, charges: str, stereo: str) -> None:
    standardise = Standardiser(charges=charges, stereo=stereo)  # type: ignore[arg-type]
    once = standardise(smiles)
    assert standardise(once) == once
    assert canonical(once) == once


def test_error_names_string_reason_and_index() -> None:
    with pytest.raises(MoleculeError) as caught:
        Standardiser()("C(")
    error = caught.value.at(7)
    assert (error.smiles, error.reason, error.index) == ("C(", "not a valid SMILES", 7)
    assert str(error) == "molecule at index 7 'C(': not a valid SMILES"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
