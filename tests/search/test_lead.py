"""Lead optimisation: molecules of one's own to begin with, a scaffold and a similarity that stay, latent neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from search_molecules import MOLECULES

from molvae.chem.filters import SimilarityFilter
from molvae.chem.molecules import canonical
from molvae.core.config import load_config, parse_config
from molvae.core.errors import ConfigError
from molvae.search.bayesian import InnerSpec
from molvae.search.build import build_search
from molvae.search.config import OptimiseConfig, SearchSpec
from molvae.search.constraints import NONE, SimilaritySpec
from molvae.search.lead import ScaffoldSpec, neighbourhood
from molvae.search.methods import BayesianSpec
from molvae.search.outcomes import Outcomes
from molvae.search.run import run
from molvae.search.specs import GraphCrossoverSpec, GraphMutationSpec

LEAD = "CCN(CC)CCNC(=O)c1ccc(N)cc1"  # procainamide
METHOD = BayesianSpec(
    inner=InnerSpec(generations=3, candidates=15), proposers=(GraphMutationSpec(), GraphCrossoverSpec())
)


def config(start: Any = None, constraints: Any = None, method: Any = METHOD) -> OptimiseConfig:
    return parse_config(
        {
            "oracle": {"kind": "named", "name": "qed"},
            "search": {
                "budget": 15,
                "start": start or {"smiles": [LEAD]},
                "constraints": constraints or [{"kind": "scaffold"}, {"kind": "similarity", "low": 0.4, "high": 0.9}],
            },
            "method": method.model_dump(mode="json"),
        },
        OptimiseConfig,
    )


def test_constraints_refer_to_the_start_where_they_name_no_molecule() -> None:
    scaffold, similarity = config().search.constraints
    assert isinstance(scaffold, ScaffoldSpec)
    assert isinstance(similarity, SimilaritySpec)
    assert scaffold.targets == similarity.targets == (LEAD,)
    named, smarts = config(
        constraints=[{"kind": "similarity", "target": "CCO"}, {"kind": "scaffold", "scaffold": "c1ccccc1"}]
    ).search.constraints
    assert named.build() == SimilarityFilter(("CCO",))
    assert smarts.build()(Chem.MolFromSmiles("Cc1ccccc1"))


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"constraints": [{"kind": "scaffold"}]}, "names no molecule; set its `target`, or search.start.smiles"),
        ({"start": {"smiles": ["C"], "file": "x.smi"}}, "got both"),
        (
            {"start": {"smiles": [LEAD]}, "constraints": [{"kind": "scaffold", "scaffold": "c1ccncc1"}]},
            "'scaffold': none of search.start.smiles has c1ccncc1",
        ),
    ],
)
def test_mistakes_in_a_config(search: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({"oracle": {"kind": "named", "name": "qed"}, "search": search}, OptimiseConfig)


def test_an_invalid_lead_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search\.start\.smiles\.1: 'c1cc' is not a valid SMILES"):
        run(config(start={"smiles": [LEAD, "c1cc"]}, constraints=[{"kind": "similarity", "target": LEAD}]), tmp_path)


def test_what_is_found_keeps_scaffold_and_similarity(tmp_path: Path) -> None:
    result = run(config(), tmp_path)
    lead, *found = result.records
    assert lead.smiles == canonical(LEAD)
    assert not lead.feasible  # more similar to itself than 0.9
    window = SimilarityFilter(LEAD)
    benzene = Chem.MolFromSmarts("c1ccccc1")
    mols = [Chem.MolFromSmiles(r.smiles) for r in found]
    assert all(mol.HasSubstructMatch(benzene) and 0.4 <= window.similarity(mol) <= 0.9 for mol in mols)
    assert all(r.feasible for r in found)
    table = pd.read_parquet(tmp_path / "molecules.parquet")
    np.testing.assert_allclose(table["similarity:similarity"], [1.0, *map(window.similarity, mols)])
    assert load_config(tmp_path / "config.resolved.toml", OptimiseConfig) == config()


def test_neighbours_are_distinct_and_follow_the_generator(model: Any) -> None:
    found = neighbourhood(model, MOLECULES[:3], 12, np.random.default_rng(0))
    assert 0 < len(found) == len(set(found)) <= 12
    assert not set(found) & set(MOLECULES[:3])
    assert [canonical(s) for s in found] == found
    assert neighbourhood(model, MOLECULES[:3], 12, np.random.default_rng(0)) == found
    assert neighbourhood(model, ["[Fe]"], 5, np.random.default_rng(0)) == []


def test_neighbours_are_candidates_of_the_first_batch(model: Any) -> None:
    spec = SearchSpec(start={"smiles": MOLECULES[:3], "neighbours": 12})  # type: ignore[arg-type]
    method = METHOD.model_copy(update={"inner": InnerSpec(generations=1, candidates=1)})
    search = build_search(method, spec, NONE, Outcomes(), model, 0, MOLECULES[:3])
    search.tell([c.smiles for c in search.ask(3)], [1.0, 2.0, 3.0])
    asked = search.ask(50)
    assert {c.smiles for c in asked if c.origin == "neighbour"}
    search.tell([c.smiles for c in asked], [1.0] * len(asked))
    assert not {c.smiles for c in search.ask(5) if c.origin == "neighbour"}


def test_a_run_with_neighbours_is_resumed_as_it_was(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("molvae.search.plan.load_model", lambda weights, device: model)
    spec = config(start={"smiles": [LEAD], "neighbours": 10}, constraints=[{"kind": "similarity", "low": 0.2}])
    whole = run(spec, tmp_path / "whole")
    for budget in (1, 5, 9):  # whole batches
        run(spec.model_copy(update={"search": spec.search.model_copy(update={"budget": budget})}), tmp_path / "parts")
    assert run(spec, tmp_path / "parts").smiles == whole.smiles
