"""Acquisition functions over several objectives, and whole searches with several objectives and learnt constraints."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
from botorch.utils.multi_objective.box_decompositions import FastNondominatedPartitioning
from optuna.storages.journal import JournalFileBackend
from rdkit import Chem
from search_molecules import MOLECULES

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError, DataError, OracleError
from molvae.core.files import read_json
from molvae.oracles import Oracle, Stacked, oracle
from molvae.search import optimise
from molvae.search.ask_tell import Search
from molvae.search.bayesian import InnerSpec
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import Constraints
from molvae.search.evolution import crowding_distance, survivors
from molvae.search.feasibility import log_feasibility
from molvae.search.features import CountFingerprint
from molvae.search.joint_model import JointModel
from molvae.search.ledger import STUDY, Ledger
from molvae.search.loop import run_search
from molvae.search.methods import BayesianSpec, EvolutionSpec, OptunaSpec, Setting, TurboSpec
from molvae.search.multiobjective import Chebyshev, HypervolumeImprovement, furthest_apart
from molvae.search.outcomes import Outcomes, OutcomesGP, Window
from molvae.search.pareto import front_mask
from molvae.search.run import run
from molvae.search.specs import ChebyshevSpec, GraphCrossoverSpec, GraphMutationSpec, QLogNEHVISpec, UCBSpec

FINGERPRINTS = CountFingerprint()([Chem.MolFromSmiles(s) for s in MOLECULES])
STRUCTURAL = (GraphMutationSpec(), GraphCrossoverSpec())
METHOD = BayesianSpec(inner=InnerSpec(generations=2, candidates=8), proposers=STRUCTURAL)
NEHVI = METHOD.model_copy(update={"acquisition": QLogNEHVISpec(candidates=20, known=8, samples=8)})
QED_AND_LOGP = Stacked([oracle("qed"), oracle("logp")], names=["druglike", "fat"])


def belief_of(outcomes: Outcomes, n: int = 6) -> Any:
    """What a process told of the first `n` molecules believes of all."""
    gp = OutcomesGP(outcomes)
    gp.append(FINGERPRINTS[:n], np.random.default_rng(3).random((n, outcomes.n_outcomes)))
    return gp.posterior(FINGERPRINTS)


def test_chebyshev_is_the_formula_with_new_weights_for_each_draw() -> None:
    belief = belief_of(Outcomes(2))
    draw = Chebyshev((0.0, 0.0), rho=0.05).draw(0.0, np.random.default_rng(7))
    rng = np.random.default_rng(7)
    rng.uniform()
    w = np.random.default_rng(int(rng.integers(2**63))).dirichlet([1.0, 1.0])
    upper = belief.mean + belief.std[:, None]
    expected = [1 - max(w * (1 - u)) - 0.05 * sum(w * (1 - u)) for u in upper]
    np.testing.assert_allclose(draw(belief), expected)
    np.testing.assert_array_equal(draw(belief), draw(belief))
    picks = {int(Chebyshev().draw(0.0, np.random.default_rng(i))(belief).argmax()) for i in range(30)}
    assert len(picks) > 1


def test_hypervolume_improvement_agrees_with_the_closed_form() -> None:
    """With a known front and one new molecule, qLogNEHVI approaches the logarithm of BoTorch's analytic EHVI."""
    outcomes = Outcomes(2, reference=(0.0, 0.0))
    belief = belief_of(outcomes)
    part = belief.rows(np.arange(len(MOLECULES)))
    function = HypervolumeImprovement(outcomes, Chebyshev(), samples=2048)._function(part, 6, None, 1)
    ours = function(torch.arange(6.0, 12.0, dtype=torch.double)[:, None, None]).detach().exp()
    reference = belief.standard((0.0, 0.0)).tolist()
    partition = FastNondominatedPartitioning(torch.tensor(reference, dtype=torch.double), torch.tensor(belief.mean[:6]))
    closed = ExpectedHypervolumeImprovement(JointModel(part), reference, partition)
    expected = closed(torch.arange(6.0, 12.0, dtype=torch.double)[:, None, None])
    np.testing.assert_allclose(ours, expected, rtol=0.1, atol=0.003)
    assert expected.max() > 0.02


def test_hypervolume_improvement_shuns_what_is_surely_infeasible() -> None:
    outcomes = Outcomes(2, (Window(low=0.5),))
    belief = belief_of(outcomes)
    known, pool = belief.rows(np.arange(6)), belief.rows(np.arange(6, 12))
    mean = pool.mean.copy()
    mean[[0, 2, 4]] = [5.0, 5.0, -50.0]  # better than all, and far outside the window
    mean[[1, 3, 5]] = [[1.2, 1.6, 9.0], [1.4, 1.4, 9.0], [1.6, 1.2, 9.0]]  # better than all that is known, and inside
    pool = replace(pool, mean=mean)
    chosen = HypervolumeImprovement(outcomes, Chebyshev()).choose(known, pool, np.zeros(6), 3, np.random.default_rng(0))
    assert sorted(chosen) == [1, 3, 5]
    assert (log_feasibility(pool, outcomes)[[0, 2, 4]] < -100).all()


def test_the_furthest_apart_hold_the_best_of_each_objective() -> None:
    points = np.array([[0.0, 1.0], [0.01, 0.99], [0.5, 0.5], [0.99, 0.01], [1.0, 0.0]])
    assert sorted(furthest_apart(points, 3)) == [0, 2, 4]
    assert furthest_apart(points, 9) == [0, 1, 2, 3, 4]


def test_survivors_are_chosen_front_by_front_and_spread_out() -> None:
    y = np.array([[0.0, 4.0], [1.0, 3.0], [1.1, 2.9], [4.0, 0.0], [0.5, 0.5], [0.0, 0.0], [3.0, 1.5]])
    crowding = crowding_distance(y[[0, 1, 2, 3, 6]])
    np.testing.assert_allclose(crowding[[1, 2, 4]], [1.1 / 4 + 1.1 / 4, 2.0 / 4 + 1.5 / 4, 2.9 / 4 + 2.9 / 4])
    assert survivors(y, 7) == [0, 3, 6, 2, 1, 4, 5]
    assert survivors(y[:, :1], 2) == [3, 6]


def play(search: Search, batches: int) -> list[str]:
    """Ask and tell with two objectives; returns what was asked for."""
    asked: list[str] = []
    for _ in range(batches):
        found = [c.smiles for c in search.ask(3)]
        search.tell(found, QED_AND_LOGP(found))
        asked += found
    return asked


METHODS = {
    "chebyshev": METHOD,
    "qlog_nehvi": NEHVI,
    "nsga2": OptunaSpec(sampler="nsga2"),
    "tpe": OptunaSpec(),
    "evolution": EvolutionSpec(population=6),
}


@pytest.mark.parametrize("kind", METHODS)
def test_a_search_is_a_function_of_what_it_was_told(kind: str, model: Any) -> None:
    def make() -> Search:
        return METHODS[kind].build(Setting(model, start=MOLECULES[:6], outcomes=Outcomes(2)))

    search = make()
    first = play(search, 4)
    assert len(set(first)) == len(first) == 12
    again = make()
    again.load_state_dict(json.loads(json.dumps(search.state_dict())))
    assert play(again, 1) == play(search, 1)


def test_what_does_not_fit_the_number_of_objectives_is_refused(model: Any) -> None:
    def build(method: Any, outcomes: Outcomes) -> None:
        method.build(Setting(model, outcomes=outcomes))

    for method in (BayesianSpec(acquisition=UCBSpec()), TurboSpec(), OptunaSpec(sampler="cmaes")):
        with pytest.raises(ConfigError, match="objective|one score"):
            build(method, Outcomes(2))
    with pytest.raises(ConfigError, match="expected ucb"):
        build(BayesianSpec(acquisition=ChebyshevSpec()), Outcomes(1))
    with pytest.raises(ConfigError, match="knows no constraints"):
        build(OptunaSpec(), Outcomes(1, (Window(low=0.0),)))
    with pytest.raises(ConfigError, match="expected 2 values, one for each objective; got 3"):
        optimise(QED_AND_LOGP, 9, start=MOLECULES, method=METHOD, reference=(0.0, 0.0, 0.0))


def test_front_and_hypervolume_of_a_result() -> None:
    result = optimise(QED_AND_LOGP, 25, start=MOLECULES[:8], method=METHOD, batch_size=3)
    values = QED_AND_LOGP(result.smiles)
    np.testing.assert_array_equal(result.values, values)
    front = result.pareto()
    assert {s for s, _ in front} == {s for s, yes in zip(result.smiles, front_mask(values), strict=True) if yes}
    assert [v[0] for _, v in front] == sorted((v[0] for _, v in front), reverse=True)
    corners = sorted(v for _, v in front if v[1] > -5)
    by_hand, left = 0.0, 0.0
    for x, y in corners:
        by_hand += (x - left) * (y + 5)
        left = x
    assert result.hypervolume((0.0, -5.0)) == pytest.approx(by_hand)
    assert result.hypervolume() > 0
    with pytest.raises(ConfigError, match="reference point of 2 values"):
        result.hypervolume((0.0,))


def test_several_objectives_have_no_one_best() -> None:
    found = optimise(Stacked([oracle("qed"), oracle("tpsa")]), 6, start=MOLECULES[:6], method=METHOD)
    for ask in (found.best, found.diverse):
        with pytest.raises(ConfigError, match=r"several objectives; use pareto\(\)"):
            ask()
    assert len(found.best_records(2)) == len(found.diverse_records(2, 0.1)) == 2


def test_a_molecule_that_fails_in_one_objective_is_a_failure_that_is_never_asked_again() -> None:
    odd = oracle(lambda s: math.inf if s in MOLECULES[:3] else 1.0, isolate=False)
    result = optimise(Stacked([oracle("qed"), odd]), 15, start=MOLECULES[:6], method=METHOD)
    assert [r.scored for r in result.records[:6]] == [False] * 3 + [True] * 3
    assert np.isnan(result.values[:3, 1]).all()
    assert np.isfinite(result.values[:3, 0]).all()
    assert not {s for s, _ in result.pareto()} & set(MOLECULES[:3])
    assert len(set(result.smiles)) == 15


@pytest.mark.parametrize("cut", [3, 9, 14])
@pytest.mark.parametrize("method", [METHOD, NEHVI], ids=["chebyshev", "qlog_nehvi"])
def test_a_resumed_search_equals_one_that_was_not(method: BayesianSpec, cut: int, tmp_path: Path) -> None:
    """Two objectives and a constraint that the oracle tells, over a journal that lost its end."""
    outcomes = Outcomes(2, (Window(high=200.0),))
    told = Stacked([QED_AND_LOGP, oracle("mw")], names=["a", "b", "c"])

    def go(ledger: Ledger, budget: int) -> Any:
        search = method.build(Setting(start=MOLECULES[:6], outcomes=outcomes))
        constraints = Constraints(windows={"light": outcomes.windows[0]})
        return run_search(search, told, ledger, budget=budget, batch_size=3, constraints=constraints)

    whole = go(Ledger(), 18)
    ledger = Ledger(tmp_path / "journal.log", objectives=("a", "b"))
    for record in whole.records[:cut]:
        ledger.add(record)
    resumed = go(Ledger(tmp_path / "journal.log", objectives=("a", "b")), 18)
    assert resumed.smiles == whole.smiles
    np.testing.assert_array_equal(resumed.values, whole.values)
    assert [r.outcomes for r in resumed.records] == [r.outcomes for r in whole.records]


def test_an_oracle_of_the_wrong_width_is_an_error() -> None:
    class Wide(Oracle):
        name, n_objectives = "wide", 2

        def __call__(self, smiles: Sequence[str]) -> Any:
            return np.ones((len(smiles), 3))

    with pytest.raises(OracleError, match=r"shape \(2, 3\), not \(2, 2\)"):
        optimise(Wide(), 9, start=MOLECULES, method=METHOD)


def config(tmp_path: Path, **changes: Any) -> OptimiseConfig:
    """Two objectives, one constraint known beforehand, and two that only an oracle tells."""
    (tmp_path / "start.smi").write_text("\n".join(MOLECULES))
    terms = [{"component": {"kind": "property", "name": "qed"}, "name": "beauty"}]
    data = {
        "oracle": {
            "kind": "stacked",
            "names": ["nice", "easy"],
            "oracles": [
                {"kind": "desirability", "terms": terms},
                {"kind": "named", "name": "sa", "direction": "minimise"},
            ],
        },
        "search": {
            "budget": 24,
            "batch_size": 4,
            "reference": [0.0, -8.0],
            "start": {"file": str(tmp_path / "start.smi"), "n": 8},
            "constraints": [
                {"kind": "window", "name": "mw", "high": 400.0},
                {"kind": "oracle", "name": "fat", "oracle": {"kind": "named", "name": "logp"}, "low": 0.5, "high": 3.0},
                {"kind": "oracle", "name": "pretty", "component": "desirability.beauty", "low": 0.4},
            ],
        },
        "method": METHOD.model_dump(mode="json", exclude_none=True),
    }
    return parse_config(data | changes, OptimiseConfig)


def test_a_run_with_objectives_and_constraints_leaves_all_it_should(tmp_path: Path) -> None:
    result = run(config(tmp_path), tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "molecules.parquet")
    np.testing.assert_allclose(table["objective:nice"], oracle("qed")(table["smiles"]))
    np.testing.assert_allclose(table["objective:easy"], -oracle("sa")(table["smiles"]))
    np.testing.assert_allclose(table["outcome:fat"], oracle("logp")(table["smiles"]))
    np.testing.assert_allclose(table["outcome:pretty"], table["objective:nice"])
    inside = table["outcome:fat"].between(0.5, 3.0) & (table["outcome:pretty"] >= 0.4)
    assert table["feasible"].tolist() == inside.tolist()
    assert 0 < inside.sum() < len(table)
    assert (table["constraint:fat"] > 0).tolist() == (~table["outcome:fat"].between(0.5, 3.0)).tolist()
    assert set(table["smiles"][table["front"]]) == {s for s, _ in result.pareto()}
    assert inside[table["front"]].all()
    metrics = read_json(tmp_path / "run" / "metrics.json")
    assert metrics["front"] == len(result.pareto())
    assert metrics["hypervolume"] == result.hypervolume((0.0, -8.0))
    assert metrics["reference"] == [0.0, -8.0]
    assert metrics["infeasible"] == int((~inside).sum())


def test_optuna_and_its_dashboard_know_objectives_and_what_is_infeasible(tmp_path: Path) -> None:
    result = run(config(tmp_path), tmp_path / "run")
    journal = tmp_path / "run" / "journal.log"
    study = optuna.load_study(
        study_name=STUDY, storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    )
    assert study.metric_names == ["nice", "easy"]
    assert {t.user_attrs["smiles"] for t in study.best_trials} == {s for s, _ in result.pareto()}
    for trial, record in zip(study.trials, result.records, strict=True):
        assert trial.values == record.objectives
        assert set(record.constraints) == {"mw", "fat", "pretty"}
        assert record.constraints.items() <= trial.constraints.items()
        assert trial.system_attrs["constraints"] == list(record.constraints.values())
        assert trial.user_attrs["feasible"] == record.feasible
    with pytest.raises(DataError, match="2 objectives, this one has 1"):
        Ledger(journal)


def test_a_journal_from_before_several_objectives_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    result = optimise("qed", 6, start=MOLECULES[:6], method=METHOD, ledger=path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for name in ("objectives", "outcomes"):
            line.get("user_attrs", {}).pop(name, None)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert '"objectives"' not in path.read_text()
    assert Ledger(path).records == list(result.records)


def test_learnt_constraints_are_met_more_often_than_without_the_model() -> None:
    """Larger molecules score higher, and only the oracle tells that those above 200 Da are of no use."""
    size = oracle(lambda s: float(len(s)), isolate=False, name="size")
    window = {"kind": "oracle", "name": "light", "oracle": {"kind": "named", "name": "mw"}, "high": 200.0}
    spec = parse_config(
        {"oracle": {"kind": "named", "name": "qed"}, "search": {"constraints": [window]}}, OptimiseConfig
    )
    rules = spec.search.constraints
    constrained = optimise(size, 44, start=MOLECULES, method=METHOD, batch_size=4, constraints=rules)
    free = optimise(size, 44, start=MOLECULES, method=METHOD, batch_size=4)
    n_start = len(MOLECULES)
    met = np.mean([r.feasible for r in constrained.records[n_start:]])
    by_chance = np.mean(oracle("mw")(free.smiles[n_start:]) <= 200.0)
    assert met > by_chance + 0.3
    assert all(oracle("mw")([s])[0] <= 200.0 for s, _ in constrained.best(5))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"kind": "oracle", "name": "x", "low": 1.0}, "either an oracle or the name of a component"),
        ({"kind": "oracle", "name": "x", "component": "qed"}, "low, high or both"),
        ({"kind": "similarity", "target": "CCO", "low": 2.0}, "less than or equal to 1"),
    ],
)
def test_constraints_that_make_no_sense_are_refused(tmp_path: Path, constraint: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(tmp_path, search={"constraints": [constraint]})


def test_equal_names_and_unknown_components_are_refused(tmp_path: Path) -> None:
    twice = [{"kind": "window", "name": "mw", "high": 400.0}, {"kind": "window", "name": "mw", "low": 100.0}]
    unknown = [{"kind": "oracle", "name": "x", "component": "desirability.beuaty", "low": 0.0}]
    start = {"file": str(tmp_path / "start.smi")}
    with pytest.raises(ConfigError, match="'mw' is used twice"):
        run(config(tmp_path, search={"constraints": twice, "start": start}), tmp_path / "a")
    with pytest.raises(ConfigError, match=r"no component 'desirability.beuaty'; did you mean 'desirability.beauty'"):
        run(config(tmp_path, search={"constraints": unknown, "start": start}), tmp_path / "b")


def test_a_list_of_oracles_is_a_list_of_objectives() -> None:
    ease = oracle("sa", direction="minimise")
    result = optimise(["QED", ease, lambda smiles: float(len(smiles))], 12, start=MOLECULES[:6], method=METHOD)
    assert result.objectives[:2] == ("qed", "sa")
    assert result.values.shape == (12, 3)
    np.testing.assert_allclose(result.values[:, 1], ease(result.smiles))
    assert result.pareto()
