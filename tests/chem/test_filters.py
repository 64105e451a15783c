"""Filters: what passes, what does not, and why."""

from __future__ import annotations

import pytest
from rdkit import Chem

from molvae.chem.filters import CATALOGUES, AllOf, CatalogueFilter, PropertyWindow, SubstructureFilter
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


def test_substructures() -> None:
    both = AllOf([SubstructureFilter(required=("[OX2H]",)), SubstructureFilter(forbidden=("C=O", "[N+]"))])
    assert both(ETHANOL)
    assert both.reasons(AZIDE) == ["lacks [OX2H]", "has [N+]"]
    assert not both(AZIDE)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CatalogueFilter(("PAIN",)), "did you mean 'PAINS'"),
        (lambda: PropertyWindow("logP", 0, 1), "did you mean 'logp'"),
        (lambda: PropertyWindow("mw"), "low, high or both"),
        (lambda: PropertyWindow("mw", 5, 1), "above"),
        (lambda: SubstructureFilter(required=("[C",)), "SMARTS"),
        (lambda: SubstructureFilter(forbidden=("",)), "SMARTS"),
    ],
)
def test_mistakes(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=message):
        make()
