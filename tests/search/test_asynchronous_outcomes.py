"""Many workers, and several numbers for each molecule: objectives, and what only an oracle can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_molecules import METHOD, MOLECULES

from molvae.core.config import parse_config
from molvae.oracles import ParallelOracle, oracle
from molvae.oracles.command import CommandOracle
from molvae.oracles.config import NamedSpec
from molvae.oracles.isolated import isolated
from molvae.oracles.oracle import ComponentOf, Minimised, Stacked
from molvae.search import optimise
from molvae.search.asynchronous import run_with_crew
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import Constraints, OracleConstraintSpec
from molvae.search.ledger import Ledger
from molvae.search.methods import Setting
from molvae.search.outcomes import Outcomes, Window
from molvae.search.run import run
from molvae.search.specs import ChebyshevSpec, QLogNEHVISpec
from molvae.workers.local import LocalCrew

SEVERAL = Stacked([oracle("qed"), oracle("logp")], names=["druglike", "fat"])


@pytest.mark.parametrize("acquisition", [ChebyshevSpec(), QLogNEHVISpec(candidates=12, known=6, samples=4)])
def test_several_objectives_and_workers(acquisition: Any) -> None:
    method = METHOD.model_copy(update={"acquisition": acquisition})
    one = method.build(Setting(start=MOLECULES[:8], outcomes=Outcomes(2)))
    with LocalCrew(SEVERAL, 3) as crew:
        result = run_with_crew(one, crew, Ledger(objectives=SEVERAL.objectives), budget=24, batch_size=2)
    np.testing.assert_array_equal(result.values, SEVERAL(result.smiles))
    assert len(set(result.smiles)) == 24
    assert result.pareto()


def test_what_only_the_oracle_tells_is_demanded_with_workers_too() -> None:
    fat = Stacked([oracle("qed"), oracle("logp")], "qed", ["objective qed", "constraint fat"])
    constraints = Constraints(windows={"fat": Window(0.5, 2.5)})
    one = METHOD.build(Setting(start=MOLECULES[:8], outcomes=Outcomes(1, tuple(constraints.windows.values()))))
    with LocalCrew(fat, 3) as crew:
        result = run_with_crew(one, crew, Ledger(), budget=24, batch_size=2, constraints=constraints)
    logp = oracle("logp")(result.smiles)
    for record, value in zip(result.records, logp, strict=True):
        assert record.outcomes == {"fat": value}
        assert record.feasible == (0.5 <= value <= 2.5)
    proposed = [r.feasible for r in result.records if r.proposer != "start"]
    assert sum(proposed) > len(proposed) / 2
    assert all(0.5 <= logp[result.smiles.index(s)] <= 2.5 for s, _ in result.best(5))


def test_oracles_side_by_side_go_to_one_process_unless_one_has_its_own(tmp_path: Path) -> None:
    together = isolated(SEVERAL, 2, 5.0)
    assert isinstance(together, ParallelOracle)
    assert together.inner is SEVERAL
    program, qed = CommandOracle("true"), oracle("qed")
    apart = isolated(Stacked([program, Minimised(qed)], names=["a", "b"]), 2, 5.0)
    assert isinstance(apart, Stacked)
    assert apart.objectives == ("a", "b")
    assert apart.inner[0] is program
    assert isinstance(apart.inner[1], Minimised)
    assert isinstance(apart.inner[1].inner, ParallelOracle)


@pytest.mark.integration
def test_components_are_told_with_the_scores_and_not_computed_here(tmp_path: Path) -> None:
    own = ParallelOracle(oracle("osimertinib_mpo"), 1, 30.0)
    (name, *_) = own.components([])
    told = Stacked([own, ComponentOf(own, name)], "osimertinib_mpo", ["objective", "constraint"])
    smiles = MOLECULES[:4]
    expected = np.column_stack([own(smiles), own.components(smiles)[name]])
    with isolated(told, 2, 5.0) as alone:
        assert isinstance(alone, Stacked)
        np.testing.assert_array_equal(alone([*smiles, "no molecule"])[:4], expected)
        source = alone.inner[0]
        assert isinstance(source, ParallelOracle)
        assert source.timeout_seconds == 30.0
        source.close()  # its processes: what is known of a molecule is remembered
        np.testing.assert_array_equal(source.components(smiles)[name], expected[:, 1])
        assert np.isnan(source.components(["CCCCCCCC"])[name]).all()
    own.close()


@pytest.mark.integration
def test_several_objectives_with_a_learnt_constraint_from_python_and_config(tmp_path: Path) -> None:
    constraint = OracleConstraintSpec(name="size", oracle=NamedSpec(name="mw"), high=200.0)
    result = optimise(SEVERAL, 16, start=MOLECULES[:8], method=METHOD, workers=2, constraints=(constraint,))
    assert {record.outcomes["size"] <= 200 for record in result.records if record.feasible} == {True}
    np.testing.assert_allclose(result.values, SEVERAL(result.smiles))
    sides = [{"kind": "named", "name": name} for name in ("qed", "sa")]
    search = {
        "budget": 16,
        "workers": 2,
        "start": {"smiles": MOLECULES[:8]},
        "constraints": [{"kind": "oracle", "name": "druglike", "component": "qed.qed", "low": 0.4}],
    }
    method = METHOD.model_dump(mode="json", exclude_none=True)
    whole = {"oracle": {"kind": "stacked", "oracles": sides}, "search": search, "method": method}
    config = parse_config(whole, OptimiseConfig)
    found = run(config, tmp_path / "run")
    assert len(found.records) == 16
    for record in found.records:
        assert record.outcomes["druglike"] == record.objectives[0]
        assert record.feasible == (record.objectives[0] >= 0.4)
