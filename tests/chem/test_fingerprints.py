"""Fingerprints against RDKit's own."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D

from molvae.chem.fingerprints import FingerprintKind, fingerprint, pharmacophore_bits, similarity_to
from molvae.oracles.guacamol import TARGETS

SMILES = [
    *TARGETS.values(),
    "C",
    "CC.CCO.[Na+].[Cl-]",
    "NCC(=O)NCC(=O)O",
    "OB(O)c1ccc(cc1)[Si](C)(C)CCN",
    "N#Cc1ccc(cc1)N=NC",
    "[2H]C([2H])([2H])OC",
    "O=C(O)CCCCCCCCCCCCCCC(=O)NCCCCCCCCN",
]
MOLS = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
PEPTIDE = "NCCCCC(N)C(=O)NC(CO)C(=O)NC(Cc1ccc(O)cc1)C(=O)NC(CC(=O)O)C(=O)NC(CCC(N)=O)C(=O)NC(CC(C)C)C(=O)O"


@pytest.mark.parametrize("mol", [*MOLS, Chem.MolFromSmiles(PEPTIDE)])
def test_pharmacophores_equal_rdkit_bit_by_bit(mol: Chem.Mol) -> None:
    expected = sorted(Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory).GetOnBits())
    assert pharmacophore_bits(mol).tolist() == expected


def test_many_features_take_the_frugal_path() -> None:
    """More than 64 points: same bits as the path for small molecules, checked on pieces that do not see each other."""
    piece = "OCCOCCOCCOCCOCCOCCN"
    one, many = Chem.MolFromSmiles(piece), Chem.MolFromSmiles(".".join([piece] * 12))
    assert pharmacophore_bits(many).tolist() == pharmacophore_bits(one).tolist()


@pytest.mark.parametrize("kind", [kind for kind in get_args(FingerprintKind) if kind != "PHCO"])
def test_similarities_equal_the_legacy_functions(kind: str) -> None:
    legacy = {
        "ECFP4": lambda mol: AllChem.GetMorganFingerprint(mol, 2),
        "ECFP6": lambda mol: AllChem.GetMorganFingerprint(mol, 3),
        "FCFP4": lambda mol: AllChem.GetMorganFingerprint(mol, 2, useFeatures=True),
        "AP": lambda mol: AllChem.GetAtomPairFingerprint(mol, maxLength=10),
    }[kind]
    for target in MOLS[:8]:
        score = similarity_to(target, kind)  # type: ignore[arg-type]
        values = [score(fingerprint(mol, kind)) for mol in MOLS]  # type: ignore[arg-type]
        expected = [DataStructs.TanimotoSimilarity(legacy(target), legacy(mol)) for mol in MOLS]
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-15)


def test_pharmacophore_similarity_equals_rdkit() -> None:
    def rdkit(mol: Chem.Mol) -> DataStructs.SparseBitVect:
        return Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)

    target, others = MOLS[10], MOLS[:8]
    expected = [DataStructs.TanimotoSimilarity(rdkit(target), rdkit(mol)) for mol in others]
    values = [similarity_to(target, "PHCO")(fingerprint(mol, "PHCO")) for mol in others]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-15)
    assert similarity_to(Chem.MolFromSmiles("C"), "PHCO")(pharmacophore_bits(Chem.MolFromSmiles("N"))) == 0  # no bits
