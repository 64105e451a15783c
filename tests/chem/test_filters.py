"""Filters: what passes, what does not, and why."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem, rdFingerprintGenerator, rdMolDescriptors

from molvae.chem.filters import (
    CATALOGUES,
    CatalogueFilter,
    PropertyWindow,
    SimilarityFilter,
    SubstructureFilter,
)
from molvae.core.errors import ConfigError

ETHANOL, AZIDE = Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("CCN=[N+]=[N-]")
RHODANINE = Chem.MolFromSmiles("O=C1NC(=S)SC1=Cc1ccccc1")  # a PAINS classic


def test_catalogues_know_their_alerts() -> None:
    assert {"PAINS", "BRENK", "NIH", "CHEMBL"} <= set(CATALOGUES)
    assert CatalogueFilter(("PAINS",)).reasons(RHODANINE)
    assert not CatalogueFilter(("PAINS",))(RHODANINE)
    assert any(reason == "Azido_group" for reason in CatalogueFilter(("BRENK", "PAINS")).reasons(AZIDE))
    for name in CATALOGUES:
        assert CatalogueFilter((name,))(ETHANOL) == (not CatalogueFilter((name,)).reasons(ETHANOL))
    assert CatalogueFilter(("PAINS", "BRENK", "NIH", "CHEMBL"))(ETHANOL)


def test_windows() -> None:
    assert PropertyWindow("mw", 40, 50)(ETHANOL)
    assert PropertyWindow("mw", low=50).reasons(ETHANOL) == ["mw 46.07 < 50"]
    assert PropertyWindow("mw", high=40).reasons(ETHANOL) == ["mw 46.07 > 40"]


def test_the_order_of_atoms_does_not_decide_at_a_bound() -> None:
    mol = Chem.MolFromSmiles("CCOc1ccc(OCC)c([C@H]2C(C#N)=C(N)N(c3ccccc3C(F)(F)F)C3=C2C(=O)CCC3)c1")  # from ZINC
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(mol.GetNumAtoms()), (20, 1)), axis=1)
    renumbered = [Chem.RenumberAtoms(mol, order.tolist()) for order in orders]
    surfaces = [rdMolDescriptors.CalcTPSA(one) for one in renumbered]
    assert min(surfaces) < 88.58 < max(surfaces), "sums end differently"
    assert all(PropertyWindow("tpsa", 88.58, 88.58)(one) for one in renumbered)


def test_substructures() -> None:
    both = SubstructureFilter(required=("[OX2H]",), forbidden=("C=O", "[N+]"))
    assert both(ETHANOL)
    assert both.reasons(AZIDE) == ["lacks [OX2H]", "has [N+]"]
    assert not both(AZIDE)


def test_similarity_is_that_of_rdkit_on_counts_or_bits() -> None:
    aspirin, acid = Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"), Chem.MolFromSmiles("O=C(O)c1ccccc1O")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2)
    for counts, make in ((True, generator.GetSparseCountFingerprint), (False, generator.GetSparseFingerprint)):
        value = DataStructs.TanimotoSimilarity(make(aspirin), make(acid))
        window = {"target": "OC(=O)c1ccccc1OC(C)=O", "counts": counts}
        assert SimilarityFilter(**window, low=value - 0.001, high=value + 0.001)(acid)
        assert SimilarityFilter(**window, low=value + 0.001).reasons(acid) == [
            f"similarity {value:.4g} < {value + 0.001:g}"
        ]
        assert not SimilarityFilter(**window, high=value - 0.001)(acid)
        assert SimilarityFilter(**window, low=1.0)(aspirin)
    same = SimilarityFilter("CC(=O)Oc1ccccc1C(=O)O", low=1.0, kind="PHCO", counts=False)
    assert same(aspirin)
    assert not same(acid)


def test_presence_of_atom_pairs_is_compared_without_their_counts() -> None:
    """By the sets of pairs that occur, unfolded; folded by RDKit's bits without count simulation."""
    hexane, dodecane = Chem.MolFromSmiles("CCCCCC"), Chem.MolFromSmiles("CCCCCCCCCCCC")
    generator = rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10, countSimulation=False)
    one, other = (set(generator.GetSparseCountFingerprint(m).GetNonzeroElements()) for m in (hexane, dodecane))
    presence = SimilarityFilter("CCCCCC", kind="AP", counts=False)
    assert presence.similarity(dodecane) == len(one & other) / len(one | other)
    bits = [generator.GetFingerprint(m) for m in (hexane, dodecane)]
    folded = SimilarityFilter("CCCCCC", kind="AP", counts=False, folded=True)
    assert folded.similarity(dodecane) == DataStructs.TanimotoSimilarity(*bits)


def test_similarity_to_the_nearest_of_some_molecules_in_folded_bits() -> None:
    mols = [Chem.MolFromSmiles(s) for s in ("CC(=O)Nc1ccc(O)cc1", "CC(=O)Nc1ccc(OC)cc1", "CCCCCCN", "c1ccncc1")]
    near = SimilarityFilter(("CC(=O)Nc1ccc(O)cc1", "CCCCCCCN"), low=0.3, high=0.9, counts=False, folded=True)
    make = partial(AllChem.GetMorganFingerprintAsBitVect, radius=2, nBits=2048)
    targets = [make(Chem.MolFromSmiles(s)) for s in near.targets]
    expected = [max(DataStructs.TanimotoSimilarity(make(mol), target) for target in targets) for mol in mols]
    assert [near.similarity(mol) for mol in mols] == expected
    assert [near(mol) for mol in mols] == [0.3 <= value <= 0.9 for value in expected]
    assert {near(mol) for mol in mols} == {True, False}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimilarityFilter(()), "got none"),
        (lambda: SimilarityFilter("CC", folded=True), "counts = false"),
        (lambda: CatalogueFilter(("PAIN",)), "did you mean 'PAINS'"),
        (lambda: PropertyWindow("logPP", 0, 1), "did you mean 'logp'"),
        (lambda: PropertyWindow("mw"), "low, high or both"),
        (lambda: PropertyWindow("mw", 5, 1), "above"),
        (lambda: SubstructureFilter(required=("[C",)), "SMARTS"),
        (lambda: SubstructureFilter(forbidden=("",)), "SMARTS"),
        (lambda: SimilarityFilter("broken("), "SMILES"),
        (lambda: SimilarityFilter("CCO", low=0.5, high=0.4), "low <= high"),
    ],
)
def test_mistakes(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_property_is_known_in_any_case() -> None:
    assert PropertyWindow("LogP", 0, 1) == PropertyWindow("logp", 0, 1)
