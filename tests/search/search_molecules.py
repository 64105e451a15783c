"""A handful of molecules, as canonical SMILES, and a method that needs no model and little time."""

from molvae.chem.molecules import canonical
from molvae.search.methods import BayesianSpec, InnerSpec
from molvae.search.specs import GraphCrossoverSpec, GraphMutationSpec

MOLECULES = [
    canonical(s) or ""
    for s in (
        "CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CC(C)Cc1ccc(C(C)C(=O)O)cc1",
        "CN1CCCC1c1cccnc1", "NCCc1ccc(O)c(O)c1", "O=C(O)c1ccccc1O", "CCN(CC)CCNC(=O)c1ccc(N)cc1", "Cc1ccccc1NC(=O)CN",
        "OC1CCCCC1N", "CC(N)Cc1ccccc1", "COc1ccc2[nH]cc(CCN)c2c1",
    )
]  # fmt: skip
METHOD = BayesianSpec(
    inner=InnerSpec(generations=2, candidates=8, reserve=20), proposers=(GraphMutationSpec(), GraphCrossoverSpec())
)
