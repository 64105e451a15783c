"""Unary code against sums of minima and maxima, and descriptors against RDKit."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, rdMolDescriptors
from search_molecules import MOLECULES

from molvae.search.features import ELEMENTS, MOST, N_DESCRIBED, CountFingerprint, described
from molvae.search.surrogate import tanimoto

MOLS = [Chem.MolFromSmiles(s) for s in MOLECULES]


@pytest.mark.parametrize("descriptors", [False, True])
def test_unary_code_gives_the_minmax_kernel(descriptors: bool) -> None:
    fingerprint = CountFingerprint(2, 1024, 4, descriptors)
    counts = np.minimum(fingerprint.counts(MOLS).toarray(), fingerprint.most)
    least, largest = (f(counts[:, None], counts).sum(axis=2) for f in (np.minimum, np.maximum))
    code = fingerprint(MOLS)
    assert code.shape == (len(MOLS), int(fingerprint.most.sum()))
    np.testing.assert_allclose(tanimoto(code, code), least / largest, atol=1e-12)


def test_descriptors_stand_behind_environments() -> None:
    plain, weighted = CountFingerprint(descriptors=False), CountFingerprint()
    both = weighted.counts(MOLS).toarray()
    np.testing.assert_array_equal(both[:, : plain.n_bits], plain.counts(MOLS).toarray())
    np.testing.assert_array_equal(both[:, plain.n_bits :], described(MOLS))


def test_descriptors_are_rdkits_in_their_steps() -> None:
    for mol, row in zip(MOLS, described(MOLS), strict=True):
        elements = dict(zip((*ELEMENTS, "H"), row, strict=False))
        assert elements["C"] == sum(a.GetSymbol() == "C" for a in mol.GetAtoms())
        assert elements["H"] == sum(a.GetTotalNumHs() for a in mol.GetAtoms()) // 2
        lipophilicity, surface = row[len(ELEMENTS) + 1 : len(ELEMENTS) + 3] / (2.0, 0.1)
        assert lipophilicity - 5 == pytest.approx(Crippen.MolLogP(mol), abs=0.251)
        assert surface == pytest.approx(rdMolDescriptors.CalcTPSA(mol), abs=5.01)


def test_what_is_out_of_range_is_cut() -> None:
    heavy = Chem.MolFromSmiles("C" * 200)  # logP 78, 402 hydrogens
    assert described([heavy]).max() == MOST
    polar = Chem.MolFromSmiles("OCC(O)C(O)C(O)C(O)C(O)C(O)C(O)C(O)C(O)CO")  # logP below -5
    assert described([polar]).min() == 0
    assert described([]).shape == (0, N_DESCRIBED)


def test_stacked_columns_are_the_code() -> None:
    code = CountFingerprint()(MOLS)
    rows = [code[i].indices for i in (3, 1, 1)]
    assert (CountFingerprint().stacked(rows) != code[[3, 1, 1]]).nnz == 0
    assert CountFingerprint().stacked([]).shape == (0, code.shape[1])
