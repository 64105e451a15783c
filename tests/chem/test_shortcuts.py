"""Faster ways to RDKit's own numbers: equal to RDKit, whatever the molecule and whatever came before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import QED, Crippen, rdMolDescriptors

from molvae.chem import crippen, qed
from molvae.chem.descriptors import DESCRIPTORS
from molvae.chem.environments import EnvironmentTable, environments
from molvae.chem.fingerprints import fingerprint
from molvae.chem.molecules import parse
from molvae.oracles.parsed import ParsedMolecule, parse_without_stereo

UNUSUAL = [
    "[2H]C([2H])([2H])O",
    "[H][H]",
    "[H]O[H]",
    "[NH3]->[Zn]Cl",
    "C[Si](C)(C)[O-].[Na+]",
    "[Cu+2].[O-]C(=O)C.[O-]C(=O)C",
    "c1ccc2c(c1)ccc(=O)o2",
    "[13CH4]",
    "*C(=O)O",
    "O=[N+]([O-])c1ccc(cc1)N=[N+]=[N-]",
    "C1=CC2=C(C=C1)C1=CC=CC=C1C1=CC=CC=C21",
    "C12C3C4C1C5C2C3C45",
    "S=C=S",
    "F[P-](F)(F)(F)(F)F",
    "O=Cl(=O)(=O)O",
    "c1cc2ccc3cccc4ccc(c1)c2c34",
    "C[N+](C)(C)CC(=O)[O-]",
    "[O-][n+]1ccccc1",
    "CS(=O)(=O)OC#CC(=O)Cl",
    "C#CC(=O)OC1CCCCCCC1",
    "CC[Rf]",
    "[Og]",
]


@pytest.fixture(scope="module")
def smiles(root: Path) -> list[str]:
    golden = pd.read_csv(root / "data" / "golden_oracles.csv").smiles.tolist()
    alerts = [Chem.MolToSmiles(Chem.MolFromSmarts(smarts)) for smarts in QED.StructuralAlertSmarts]
    return [each for each in (*golden, *UNUSUAL, *alerts) if parse(each) is not None]


def fresh(smiles: list[str]) -> list[Chem.Mol]:
    return [Chem.MolFromSmiles(each) for each in smiles]  # RDKit keeps what it has computed on the molecule


def test_logp_equals_rdkit_first_and_again(smiles: list[str]) -> None:
    expected = [Crippen.MolLogP(mol) for mol in fresh(smiles)]  # type: ignore[attr-defined]
    for _ in range(2):
        np.testing.assert_allclose([crippen.logp(mol) for mol in fresh(smiles)], expected, rtol=0, atol=1e-12)


def test_logp_does_not_depend_on_what_came_before(smiles: list[str]) -> None:
    expected = [crippen.logp(mol) for mol in fresh(smiles)]
    crippen._TABLE._known.clear()
    assert [crippen.logp(mol) for mol in reversed(fresh(smiles))] == expected[::-1]


def test_qed_equals_rdkit(smiles: list[str]) -> None:
    for each, mol, again in zip(smiles, fresh(smiles), fresh(smiles), strict=True):
        assert qed.qed(mol) == pytest.approx(QED.qed(again), abs=1e-12), each
        parts = QED.properties(again)
        without_hydrogens = Chem.RemoveHs(mol)
        assert qed.count_alerts(without_hydrogens) == parts.ALERTS, each
        assert qed.count_aromatic_rings(without_hydrogens) == parts.AROM, each


def test_an_alert_is_never_skipped_where_it_matches(smiles: list[str]) -> None:
    """What an alert is said to need, every molecule that it matches must have."""
    pairs = list(zip(QED.StructuralAlertSmarts, QED.StructuralAlerts, strict=True))
    needed = {smarts: qed._needs(smarts, pattern) for smarts, pattern in pairs}
    assert sum(bool(needs.elements or needs.features) for needs in needed.values()) > 90  # it does save something
    matched = set()
    for mol in fresh(smiles):
        elements = frozenset(atom.GetAtomicNum() for atom in mol.GetAtoms())
        features = {name: mol.HasSubstructMatch(query) for name, query in qed._feature_queries().items()}
        for smarts, pattern in pairs:
            if mol.HasSubstructMatch(pattern):
                matched.add(smarts)
                assert needed[smarts].met(elements, features), smarts
    assert len(matched) > 60


@pytest.mark.parametrize(
    ("smarts", "elements", "features"),
    [
        ("[S,C](=[O,S])[F,Br,Cl,I]", [{8, 16}, {9, 17, 35, 53}], []),
        ("[N+](=O)[O-]", [{7}, {8}], ["charge", "neighbours"]),
        ("[18O]", [{8}], ["isotope"]),
        ("[N,O,S]C#N", [{7, 8, 16}, {7}], ["triple"]),
        ("[C;!R]=[N;!R]", [{7}], ["imine"]),
        ("C=C=C", [], ["alkene"]),
        ("[$([CH]),$(CC)]#CC(=O)[#6]", [{8}], ["triple"]),
        ("[CR0]=[CR0][CR0]=[CR0]", [], ["alkene"]),
        ("[N+0X3R0,nX3R0]Cl", [{7}, {17}], []),
        ("*1[O,S,N]*1", [{7, 8, 16}], []),
    ],
)
def test_needs_are_read_off_the_smarts(smarts: str, elements: list[set[int]], features: list[str]) -> None:
    needs = qed._needs(smarts, Chem.MolFromSmarts(smarts))
    assert needs.elements == {frozenset(each) for each in elements}
    assert needs.features == set(features)


def test_environment_tables_give_what_they_were_given(smiles: list[str]) -> None:
    def classes(mol: Chem.Mol) -> list[int]:
        return list(rdMolDescriptors.GetFeatureInvariants(mol))

    table = EnvironmentTable(classes, far=frozenset({7, 8, 16}))
    for _ in range(2):
        for mol in fresh(smiles):
            assert list(table.values(mol)) == classes(mol)


def test_keys_do_not_depend_on_the_order_of_atoms() -> None:
    mol = Chem.MolFromSmiles("CC(=O)Nc1ccc(OC(F)(F)C#N)cc1[N+](=O)[O-]")
    keys = environments(mol)
    assert keys is not None
    order = np.random.default_rng(0).permutation(mol.GetNumAtoms()).tolist()
    shuffled = environments(Chem.RenumberAtoms(mol, order))
    assert shuffled is not None
    assert [keys.near[i] for i in order] == shuffled.near
    assert [keys.far[i] for i in order] == shuffled.far
    assert environments(Chem.MolFromSmiles("[NH3]->[Zn]Cl")) is None


def test_far_keys_know_who_is_whose_neighbour() -> None:
    """Two ethers whose second neighbours are the same four atoms, differently shared out."""
    one, other = Chem.MolFromSmiles("NC(F)OC(N)F"), Chem.MolFromSmiles("NC(N)OC(F)F")
    oxygens = [environments(mol).far[mol.GetSubstructMatch(Chem.MolFromSmarts("O"))[0]] for mol in (one, other)]  # type: ignore[union-attr]
    assert oxygens[0] != oxygens[1]


def test_rdkit_s_invariants_do_not_collide() -> None:
    """Element, degree, hydrogens and charge of every plausible atom: each combination has its own number."""
    seen: dict[int, tuple[int, ...]] = {}
    for number in (5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 19, 20, 30, 33, 34, 35, 53):
        for degree in range(7):
            mol = Chem.RWMol()
            mol.AddAtom(Chem.Atom(number))
            for neighbour in range(1, degree + 1):
                mol.AddAtom(Chem.Atom(0))
                mol.AddBond(0, neighbour, Chem.BondType.SINGLE)
            centre = mol.GetAtomWithIdx(0)
            centre.SetNoImplicit(True)
            for hydrogens in range(5):
                for charge in range(-3, 4):
                    centre.SetNumExplicitHs(hydrogens)
                    centre.SetFormalCharge(charge)
                    mol.UpdatePropertyCache(strict=False)
                    invariant = rdMolDescriptors.GetConnectivityInvariants(mol, includeRingMembership=False)[0]
                    combination = (number, degree, hydrogens, charge)
                    assert seen.setdefault(invariant, combination) == combination
    assert len(seen) == 18 * 7 * 5 * 7


STRANGE = [
    "",
    " ",
    "C C",
    "CCO ethanol",
    "CCO |$a;b;c$|",
    "c1ccc",
    "C(C)(C)(C)(C)C",
    "[H]C([H])([H])[H]",
    "[2H]O[2H]",
    "CC\n",
]
STRANGE += [
    "F/C=C/F",
    "F/C=C\\F",
    "N[C@@H](C)C(=O)O",
    "C[C@H](C)C",
    "c1cccc1",
    "[nH]1cccc1",
    "C%10CCCCC%10",
    "C1CC",
    "[CH5]",
]
STRANGE += [
    "[Fe]",
    "*",
    "[R]",
    "CC>>CC",
    "C~C",
    "C$C",
    "N->B",
    "O=C1C=CC(=O)C=C1",
    "[H+]",
    "[H]",
    "C" * 5001,
    "()",
    "C()",
]


def test_parsing_without_stereo_gives_the_same_molecules(smiles: list[str]) -> None:
    rng = np.random.default_rng(0)
    broken = []  # what a generator of strings might produce
    for each in smiles:
        for _ in range(6):
            characters = list(each)
            position = int(rng.integers(len(characters)))
            characters[position : position + int(rng.integers(0, 3))] = rng.choice(
                list("CNO()[]=#123c+-@/"), 1
            ).tolist()
            broken.append("".join(characters))
    n_valid = 0
    for each in (*smiles, *STRANGE, *broken):
        full, quick = parse(each), parse_without_stereo(each)
        assert (full is None) == (quick is None), each
        if full is not None and quick is not None:
            n_valid += 1
            assert fingerprint(quick, "ECFP6") == fingerprint(full, "ECFP6"), each
            assert rdMolDescriptors.CalcMolFormula(quick) == rdMolDescriptors.CalcMolFormula(full), each
            scored = ParsedMolecule(each, parse_without_stereo(each)).descriptor("sa")  # perceives it itself
            np.testing.assert_equal(scored, DESCRIPTORS["sa"](parse(each)), each)
            Chem.AssignStereochemistry(quick, cleanIt=True, force=True)
            assert Chem.MolToSmiles(quick) == Chem.MolToSmiles(full), each
    assert n_valid > 200


def test_not_a_string_is_not_a_molecule() -> None:
    assert parse_without_stereo(None) is None  # type: ignore[arg-type]
    assert parse_without_stereo(float("nan")) is None  # type: ignore[arg-type]
