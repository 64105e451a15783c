"""Descriptors against RDKit, its Contrib scripts and networkx."""

from __future__ import annotations

import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from rdkit import Chem, RDConfig
from rdkit.Chem import QED, Descriptors

from molvae.chem import descriptors
from molvae.chem.descriptors import DESCRIPTORS, PENALISED_LOGP, PenalisedLogP
from molvae.core.errors import DataError

SMILES = [
    "CCO",
    "CC(=O)Oc1ccccc1C(=O)O",
    "C1C2CC3CC1CC(C2)C3",  # adamantane
    "C1CC2CCC1CC2",
    "C1CCCCCCCCCCC1",
    "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",  # morphine
    "c1cc2ccc3cccc4ccc(c1)c2c34",
    "C12C3C4C1C5C2C3C45",  # cubane
    "[Na+].CC(=O)[O-]",
    "[2H]C([2H])([2H])O",
    "O=C(O)[C@@H](N)Cc1c[nH]c2ccccc12",
    "FC(F)(F)c1ccc(Cl)cc1Br",
    "B(O)(O)c1ccccc1",
    "C[Si](C)(C)C#Cc1ccncc1",
    "O=S(=O)(N)c1ccc(cc1)P(=O)(O)O",
    "C1CC11CC1.C1CC1",
]
MOLS = [Chem.MolFromSmiles(smiles) for smiles in SMILES]


@pytest.mark.parametrize(("folder", "module", "name"), [("SA_Score", "sascorer", "sa"), ("NP_Score", "npscorer", "np")])
def test_equals_contrib(folder: str, module: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(RDConfig.RDContribDir) / folder))
    contrib = __import__(module)
    if module == "npscorer":
        model = contrib.readNPModel()
        expected = [contrib.scoreMol(mol, model) for mol in MOLS]
    else:
        expected = [contrib.calculateScore(mol) for mol in MOLS]
    np.testing.assert_allclose([DESCRIPTORS[name](mol) for mol in MOLS], expected, rtol=0, atol=1e-12)
    sys.modules.pop(module)


def test_equals_rdkit() -> None:
    pairs = {"qed": QED.qed, "logp": Descriptors.MolLogP, "tpsa": Descriptors.TPSA, "bertz": Descriptors.BertzCT}
    pairs |= {"mw": Descriptors.MolWt, "mr": Descriptors.MolMR, "hba": Descriptors.NumHAcceptors}
    pairs |= {"hba_lipinski": Descriptors.NOCount, "hbd_lipinski": Descriptors.NHOHCount}
    for name, reference in pairs.items():
        fresh = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
        expected = [reference(mol) for mol in MOLS]
        np.testing.assert_allclose([DESCRIPTORS[name](mol) for mol in fresh], expected, atol=1e-10, err_msg=name)


def test_cycle_equals_networkx_for_any_atom_order() -> None:
    rng = np.random.default_rng(0)
    for mol in MOLS:
        for _ in range(8):
            shuffled = Chem.RenumberAtoms(mol, rng.permutation(mol.GetNumAtoms()).tolist())
            cycles = nx.cycle_basis(nx.Graph(Chem.GetAdjacencyMatrix(shuffled)))
            assert descriptors.longest_basis_cycle(shuffled) == max(map(len, cycles), default=0)


def test_sssr_penalty_does_not_depend_on_the_order() -> None:
    assert [descriptors.sssr_penalty(Chem.MolFromSmiles(s)) for s in ("CCC", "C1CCCCC1", "C1CCCCCCCCCCC1")] == [0, 0, 6]
    assert descriptors.sssr_penalty(MOLS[2]) == 0  # adamantane's rings are six-membered
    assert descriptors.cycle_penalty(MOLS[2]) > 0  # a spanning-tree cycle is longer


def test_penalised_logp_by_hand() -> None:
    mol = Chem.MolFromSmiles("CCCCC1CCCCCCC1")
    logp, sa = Descriptors.MolLogP(mol), DESCRIPTORS["sa"](mol)
    assert PENALISED_LOGP["plogp_unnorm_nx"](mol) == pytest.approx(logp - sa - 2)
    assert PENALISED_LOGP["plogp_unnorm_moldqn_sssr"](mol) == pytest.approx(logp - sa - 2)
    assert PENALISED_LOGP["logp_sa"](mol) == pytest.approx(logp - sa)
    gcpn = (logp - 2.4570953396190123) / 1.434324401111988 + (-sa + 3.0525811293166134) / 0.8335207024513095
    gcpn += (-2 + 0.0485696876403053) / 0.2860212110245455
    assert PENALISED_LOGP["plogp_norm_gcpn"](mol) == pytest.approx(gcpn)


def test_constants_of_a_training_set() -> None:
    fitted = PenalisedLogP.fitted(MOLS)
    scores = [fitted(mol) for mol in MOLS]
    assert np.mean(scores) == pytest.approx(0, abs=1e-12)
    with pytest.raises(DataError):
        PenalisedLogP.fitted([])


def test_element_counts() -> None:
    assert descriptors.element_counts(MOLS[8]) == {"Na": 1, "C": 2, "O": 2, "H": 3}
    assert descriptors.element_counts(MOLS[9]) == {"C": 1, "O": 1, "H": 4}  # deuterium is hydrogen
    for mol in MOLS:
        with_hydrogens = Chem.AddHs(mol)
        assert descriptors.element_counts(mol).total() == with_hydrogens.GetNumAtoms()


def test_published_labels_of_jtvae(shared: Path) -> None:
    """L - SA without a ring term reproduces the labels of the 800-molecule benchmark."""
    path = next((shared / "data").rglob("jtvae_opt_logP_SA.csv.gz"), None)
    if path is None:
        pytest.skip("jtvae_opt_logP_SA.csv.gz is not there")
    import pandas as pd

    table = pd.read_csv(path).head(200)
    values = [PENALISED_LOGP["logp_sa"](Chem.MolFromSmiles(each)) for each in table.smiles]
    assert (np.abs(np.array(values) - table.published_logP_minus_SA) < 1e-9).mean() > 0.99
