"""Scaffolds that must stay."""

from __future__ import annotations

from typing import Any

import pytest
from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.chem.scaffolds import ScaffoldFilter, murcko_scaffold
from molvae.core.errors import ConfigError

IMATINIB = "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1"


def mol(smiles: str) -> Chem.Mol:
    return Chem.MolFromSmiles(smiles)


def test_murcko_scaffold_of_a_drug() -> None:
    assert Chem.MolToSmiles(murcko_scaffold(IMATINIB)) == canonical(
        "O=C(Nc1cccc(Nc2nccc(-c3cccnc3)n2)c1)c1ccc(CN2CCNCC2)cc1"
    )


def test_substituents_come_and_go_but_the_scaffold_stays() -> None:
    keep = ScaffoldFilter("murcko", (IMATINIB,))
    assert keep(mol(IMATINIB))
    assert keep(mol(IMATINIB.replace("N(C)", "N(CCO)").replace("Cc1", "FC(F)(F)c1")))
    assert keep(mol("O=C(Nc1cccc(Nc2nccc(-c3cccnc3)n2)c1)c1ccc(CN2CCNCC2)c2ccccc12"))  # one ring more
    assert keep(mol("CN(C(=O)c1ccc(CN2CCNCC2)cc1)c1cccc(Nc2nccc(-c3cccnc3)n2)c1"))  # where the scaffold has a hydrogen
    assert not keep(mol(IMATINIB.replace("CN3CCN(C)CC3", "CN3CCOCC3")))
    assert keep.reasons(mol("CCO"))[0].startswith("lacks ")


def test_one_of_several_leads_is_enough_and_smarts_do_as_well() -> None:
    either = ScaffoldFilter("murcko", ("Cc1ccccc1", "OC1CCCCC1"))
    assert [either(mol(s)) for s in ("Nc1ccccc1", "NC1CCCCC1", "NC1CCCC1")] == [True, True, False]
    amide = ScaffoldFilter("[c]C(=O)[NX3]")
    assert [amide(mol(s)) for s in ("NC(=O)c1ccccc1", "CNC(=O)c1ccncc1", "O=C(O)c1ccccc1")] == [True, True, False]
    assert amide.reasons(mol("CCO")) == ["lacks [c]C(=O)[NX3]"]


def test_stereocentres_of_the_scaffold_stay_where_that_is_wanted() -> None:
    lead = "C[C@H]1CCCN1C[C@@H]1CCCO1"
    other = "C[C@H]1CCCN1C[C@H]1CCCO1"
    assert ScaffoldFilter("murcko", (lead,))(mol(other))
    strict = ScaffoldFilter("murcko", (lead,), stereo=True)
    assert strict(mol(lead.replace("C[C@H]1CCCN1", "CC[C@H]1CCCN1")))
    assert not strict(mol(other))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scaffold": "murcko"}, "needs the lead"),
        ({"scaffold": "murcko", "leads": ("CCO",)}, "has no ring"),
        ({"scaffold": "murcko", "leads": ("c1cc",)}, "not a valid SMILES"),
        ({"scaffold": "[c"}, "SMARTS"),
    ],
)
def test_mistakes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScaffoldFilter(**arguments)
