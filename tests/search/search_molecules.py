"""A handful of molecules, as canonical SMILES, a method that needs no model and little time, and a search of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from molvae.chem.molecules import canonical
from molvae.core.config import parse_config
from molvae.oracles.oracle import Oracle
from molvae.search.bayesian import InnerSpec
from molvae.search.config import OptimiseConfig
from molvae.search.methods import BayesianSpec
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


class Counting(Oracle):
    """Scores by a rule and remembers all calls."""

    name = "counting"

    def __init__(self, rule: Any) -> None:
        self.rule, self.seen = rule, list[str]()

    def __call__(self, smiles: Sequence[str]) -> np.ndarray:
        self.seen += smiles
        return np.array([self.rule(s) for s in smiles])


def config(tmp_path: Path, **search: Any) -> OptimiseConfig:
    """A structural search from a file of a few molecules."""
    (tmp_path / "start.smi").write_text("\n".join(MOLECULES))
    return parse_config(
        {
            "oracle": {"kind": "named", "name": "qed"},
            "search": {"budget": 30, "batch_size": 5, "start": {"file": str(tmp_path / "start.smi"), "n": 8}, **search},
            "method": METHOD.model_dump(mode="json"),
        },
        OptimiseConfig,
    )
