"""Unary code against sums of minima and maxima, and descriptors against RDKit."""

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen, rdFingerprintGenerator, rdMolDescriptors
from search_molecules import MOLECULES

from molvae.search.features import ELEMENTS, MOST, N_DESCRIBED, CountFingerprint, described
from molvae.search.kernel import Weighting, tanimoto

MOLS = [Chem.MolFromSmiles(s) for s in MOLECULES]


FULL = CountFingerprint()


@pytest.mark.parametrize("roles", [False, True])
@pytest.mark.parametrize("descriptors", [False, True])
def test_unary_code_gives_the_minmax_kernel(descriptors: bool, roles: bool) -> None:
    fingerprint = CountFingerprint(2, 1024, 4, roles, descriptors)
    counts = np.minimum(fingerprint.counts(MOLS).toarray(), fingerprint.most)
    least, largest = (f(counts[:, None], counts).sum(axis=2) for f in (np.minimum, np.maximum))
    code = fingerprint(MOLS)
    assert code.shape == (len(MOLS), int(fingerprint.most.sum()))
    np.testing.assert_allclose(tanimoto(code, code), least / largest, atol=1e-12)


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_blocks_are_rdkits_fingerprints(radius: int) -> None:
    fingerprint = CountFingerprint(radius, 2048)
    counts = fingerprint.counts(MOLS).toarray()
    inner, outer, roles, pairs = (counts[:, 2048 * i : 2048 * (i + 1)] for i in range(4))
    invariants = rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
    for block, generator in (
        (inner + outer, rdFingerprintGenerator.GetMorganGenerator(radius)),
        (roles, rdFingerprintGenerator.GetMorganGenerator(radius, atomInvariantsGenerator=invariants)),
        (pairs, rdFingerprintGenerator.GetAtomPairGenerator()),
    ):
        np.testing.assert_array_equal(block, [generator.GetCountFingerprintAsNumPy(mol) for mol in MOLS])
    smaller = [np.zeros(2048)] * len(MOLS)
    if radius:
        generator = rdFingerprintGenerator.GetMorganGenerator(radius - 1)
        smaller = [generator.GetCountFingerprintAsNumPy(mol) for mol in MOLS]
    np.testing.assert_array_equal(inner, smaller)
    np.testing.assert_array_equal(counts[:, 4 * 2048 :], described(MOLS))


def test_columns_of_a_block_end_where_the_next_begins() -> None:
    code, counts = FULL(MOLS), np.minimum(FULL.counts(MOLS).toarray(), FULL.most)
    widths = [4096] * 4 + [N_DESCRIBED]
    in_code = np.split(code.toarray(), FULL.ends[:-1], axis=1)
    in_counts = np.split(counts, np.cumsum(widths)[:-1], axis=1)
    assert FULL.ends[-1] == code.shape[1]
    for ones, numbers in zip(in_code, in_counts, strict=True):
        np.testing.assert_array_equal(ones.sum(axis=1), numbers.sum(axis=1))


@pytest.mark.parametrize("weights", [*FULL.weights(), (0.0, 0.0, 1.0, 0.0, 0.0)])
def test_blocks_without_weight_are_not_counted(weights: tuple[float, ...]) -> None:
    weighting = Weighting(FULL.ends, (weights,))
    needed = FULL(MOLS, weights)
    assert needed.shape == FULL(MOLS).shape
    for weight, block in zip(weights, np.split(needed.toarray(), FULL.ends[:-1], axis=1), strict=True):
        assert bool(block.any()) == bool(weight)
    whole, part = (weighting.applied(code, weights) for code in (FULL(MOLS), needed))
    np.testing.assert_array_equal(whole.toarray(), part.toarray())


def test_weights_are_for_the_blocks_that_are_there() -> None:
    assert FULL.weights((0.0, 4.0)) == (
        (1.0, 0.5, 0.0, 0.0, 0.0),
        (1.0, 0.5, 0.0, 0.0, 4.0),
        (0.0, 0.0, 1.0, 0.3, 0.0),
        (0.0, 0.0, 1.0, 0.3, 4.0),
    )
    assert CountFingerprint(roles=False).weights((2.0,)) == ((1.0, 0.5, 2.0),)
    assert CountFingerprint(roles=False, descriptors=False).weights() == ((1.0, 0.5),)
    assert CountFingerprint(descriptors=False).weights() == ((1.0, 0.5, 0.0, 0.0), (0.0, 0.0, 1.0, 0.3))


def test_descriptors_are_rdkits_in_their_steps() -> None:
    for mol, row in zip(MOLS, described(MOLS), strict=True):
        elements = dict(zip((*ELEMENTS, "H"), row, strict=False))
        assert elements["C"] == sum(a.GetSymbol() == "C" for a in mol.GetAtoms())
        assert elements["H"] == sum(a.GetTotalNumHs() for a in mol.GetAtoms()) // 2
        lipophilicity, surface = row[len(ELEMENTS) + 1 : len(ELEMENTS) + 3] / (2.0, 0.1)
        assert lipophilicity - 5 == pytest.approx(Crippen.MolLogP(mol), abs=0.251)
        assert surface == pytest.approx(rdMolDescriptors.CalcTPSA(mol), abs=5.01)


def test_the_order_of_atoms_does_not_decide_at_half_a_count() -> None:
    mol = Chem.MolFromSmiles("C=C(c1nocc1-c1cc(NC(=O)CC(=CN)N(CCN(C)CC)NN)ccn1)c1nc2ccc(=O)oc2nc1NNNN")
    assert Crippen.MolLogP(mol) == pytest.approx(-0.25, abs=1e-9), "9.5 counts above -5"
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(mol.GetNumAtoms()), (50, 1)), axis=1)
    renumbered = [Chem.RenumberAtoms(mol, order.tolist()) for order in orders]
    assert len(np.unique(described([mol, *renumbered]), axis=0)) == 1


def test_what_is_out_of_range_is_cut() -> None:
    heavy = Chem.MolFromSmiles("C" * 200)  # logP 78, 402 hydrogens
    assert described([heavy]).max() == MOST
    polar = Chem.MolFromSmiles("OCC(O)C(O)C(O)C(O)C(O)C(O)C(O)C(O)C(O)CO")  # logP below -5
    assert described([polar]).min() == 0
    assert described([]).shape == (0, N_DESCRIBED)


def test_stacked_columns_are_the_code() -> None:
    code = FULL(MOLS)
    rows = [code[i].indices for i in (3, 1, 1)]
    assert (FULL.stacked(rows) != code[[3, 1, 1]]).nnz == 0
    assert FULL.stacked([]).shape == (0, code.shape[1])
    assert FULL([]).shape == (0, code.shape[1])
