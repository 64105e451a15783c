"""Selections and batches whose members differ."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem
from search_molecules import MOLECULES

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError
from molvae.oracles import oracle as make_oracle
from molvae.search import optimise
from molvae.search.bayesian import InnerSpec
from molvae.search.build import build_search
from molvae.search.config import OptimiseConfig, SearchSpec
from molvae.search.constraints import NONE
from molvae.search.diversity import Spread
from molvae.search.ledger import Ledger, Record
from molvae.search.loop import run_search
from molvae.search.methods import BayesianSpec, PriorSpec
from molvae.search.outcomes import Outcomes
from molvae.search.result import Reason, SearchResult
from molvae.search.run import run
from molvae.search.specs import GraphCrossoverSpec, GraphMutationSpec

METHOD = BayesianSpec(
    inner=InnerSpec(generations=2, candidates=8), proposers=(GraphMutationSpec(), GraphCrossoverSpec())
)


def distance(a: str, b: str) -> float:
    """Tanimoto distance of two molecules by another interface of RDKit."""
    bits = [AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(s), 2, nBits=2048) for s in (a, b)]
    return 1 - DataStructs.TanimotoSimilarity(*bits)


def result_of(scores: dict[str, float], broken: frozenset[str] = frozenset()) -> SearchResult:
    records = [
        Record(i, s, v, "start", 0, 1, 1, 0.0, {"rule": float(s in broken)})
        for i, (s, v) in enumerate(scores.items(), start=1)
    ]
    return SearchResult(tuple(records), Reason.BUDGET)


def test_a_selection_is_greedy_feasible_and_apart() -> None:
    scores = {s: float(len(s)) for s in MOLECULES} | {"CCO": np.nan}
    best = max(MOLECULES, key=len)
    result = result_of(scores, frozenset({best}))
    ranked = [s for s, _ in result.best(100)]
    for least in (0.0, 0.5, 0.8, 0.95):
        chosen = [s for s, _ in result.diverse(6, least)]
        assert best not in chosen
        expected: list[str] = []
        for s in ranked:
            if len(expected) < 6 and all(distance(s, other) >= least for other in expected):
                expected.append(s)
        assert chosen == expected
    assert result.diverse(3, 0.0) == result.best(3)
    assert len(result.diverse(100, 1.0)) >= 1


def test_a_distance_just_met_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spread, "nearest", lambda self, smiles: 1.0 - 0.8)
    assert Spread(0.2).admits("C")
    assert not Spread(0.2001).admits("C")


def test_batches_are_apart() -> None:
    spec = SearchSpec(budget=40, batch_size=6, min_distance=0.5)
    oracle = make_oracle(lambda smiles: float(len(smiles)), isolate=False)

    def batches(least: float) -> list[list[str]]:
        search = build_search(
            METHOD, spec.model_copy(update={"min_distance": least}), NONE, Outcomes(), None, 0, MOLECULES[:6]
        )
        ledger = Ledger()
        run_search(search, oracle, ledger, budget=40, batch_size=6)
        return [[r.smiles for r in records] for records in ledger.batches()][1:]

    apart = batches(0.5)
    assert all(distance(a, b) >= 0.5 for batch in apart for a, b in combinations(batch, 2))
    assert sum(map(len, apart)) == 34
    assert any(distance(a, b) < 0.5 for batch in batches(0.0) for a, b in combinations(batch, 2))


def test_what_is_proposed_is_far_from_what_is_being_scored() -> None:
    spec = SearchSpec(min_distance=0.6)
    search = build_search(METHOD, spec, NONE, Outcomes(), None, 0, MOLECULES[:6])
    search.tell([c.smiles for c in search.ask(6)], [float(len(s)) for s in MOLECULES[:6]])
    pending: list[str] = []
    for _ in range(4):
        pending += [c.smiles for c in search.ask(1, pending)]
    assert len(pending) == 4
    assert all(distance(a, b) >= 0.6 for a, b in combinations(pending, 2))


def test_a_method_that_cannot_keep_its_batches_apart_says_so(model: Any) -> None:
    with pytest.raises(ConfigError, match="need the method 'bayesian'"):
        build_search(PriorSpec(), SearchSpec(min_distance=0.5), NONE, Outcomes(), model, 0, ())


def test_a_run_writes_its_selection(tmp_path: Path) -> None:
    def config(**search: Any) -> OptimiseConfig:
        start = {"smiles": MOLECULES[:6]}
        return parse_config(
            {
                "oracle": {"kind": "named", "name": "qed"},
                "search": {"budget": 20, "start": start, **search},
                "method": METHOD.model_dump(mode="json"),
            },
            OptimiseConfig,
        )

    result = run(config(select={"k": 4, "distance": 0.6}), tmp_path)
    table = pd.read_csv(tmp_path / "diverse.csv")
    assert list(zip(table["smiles"], table["value"], strict=True)) == result.diverse(4, 0.6)
    for row in table.itertuples():
        others = [s for s in table["smiles"] if s != row.smiles]
        assert row.nearest == pytest.approx(min(distance(row.smiles, s) for s in others))
    run(config(), tmp_path)  # another selection is no other search
    assert not (tmp_path / "diverse.csv").exists()


def test_the_python_interface_selects(model: Any) -> None:
    result = optimise("qed", 10, start=MOLECULES, method=METHOD)
    assert result.diverse(2, 0.3)[0] == result.best(1)[0]
