"""The loop and whole runs: budget, failures, constraints, outputs, resuming, and kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from search_molecules import METHOD, MOLECULES, Counting, config

from molvae.chem.descriptors import sa_score
from molvae.core.config import load_config, parse_config
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import EVENTS, JOURNAL, append_event, exclusive, read_events, read_json
from molvae.search import optimise
from molvae.search.config import OptimiseConfig
from molvae.search.ledger import Ledger, Record
from molvae.search.loop import run_search
from molvae.search.methods import EvolutionSpec, Setting
from molvae.search.run import run, seconds_before


@pytest.mark.parametrize(("budget", "batch_size"), [(1, 5), (7, 3), (23, 5), (20, 40)])
def test_budget_is_met_and_never_exceeded(budget: int, batch_size: int) -> None:
    oracle = Counting(len)
    result = optimise(oracle, budget, start=MOLECULES[:6], batch_size=batch_size, method=METHOD)
    assert len(result.smiles) == len(oracle.seen) == len(set(oracle.seen)) == budget
    assert result.smiles == oracle.seen
    assert result.reason == "budget"
    assert result.values.tolist() == [len(s) for s in oracle.seen]


def test_result_ranks_what_was_found() -> None:
    result = optimise(Counting(len), 12, start=[*MOLECULES, *MOLECULES], method=METHOD)
    assert result.smiles == MOLECULES
    assert [v for _, v in result.best(3)] == sorted((len(s) for s in MOLECULES), reverse=True)[:3]
    assert 0 < result.auc_top(1) < max(len(s) for s in MOLECULES)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"budget": 0}, r"budget.*greater than or equal to 1"),
        ({"budget": "x"}, r"budget.*integer"),
        ({"batch_size": 0}, "batch_size"),
        ({"method": "bayesan"}, "did you mean 'bayesian'"),
        ({"method": {"kind": "bayesian", "iner": {}}}, "method.iner.*did you mean 'inner'"),
        ({"constraints": [{"kind": "windw"}]}, "did you mean 'window'"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        optimise("qed", **{"start": MOLECULES, "method": METHOD, **wrong})


def test_a_string_is_no_list_of_molecules() -> None:
    with pytest.raises(TypeError, match=r"write \[smiles\]"):
        optimise("qed", 5, start="CCO", method=METHOD)


def test_a_function_has_the_time_that_the_call_gives_it() -> None:
    def hangs(smiles: str) -> float:
        time.sleep(600 if smiles == MOLECULES[0] else 0)
        return 1.0

    began = time.monotonic()
    found = optimise(hangs, 2, start=MOLECULES[:2], method=METHOD, timeout_seconds=1)
    assert np.isnan(found.values).tolist() == [True, False]
    assert time.monotonic() - began < 50


def test_calls_beyond_a_budget_do_not_count() -> None:
    found = optimise("qed", 30, start=MOLECULES, method=METHOD)
    first = optimise("qed", 20, start=MOLECULES, method=METHOD)
    assert found.smiles[:20] == first.smiles
    assert found.auc_top(10, 20) == first.auc_top(10, 20)


def test_a_batch_cut_short_is_not_finished_beyond_a_lower_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(budget: int, name: str) -> Any:
        ledger = tmp_path / f"{name}.log"
        return optimise("qed", budget, start=MOLECULES, batch_size=10, method=METHOD, ledger=ledger)

    add = Ledger.add

    def killed(ledger: Ledger, record: Any) -> None:
        if len(ledger) == 13:
            raise RuntimeError("killed")
        add(ledger, record)

    monkeypatch.setattr(Ledger, "add", killed)
    with pytest.raises(RuntimeError, match="killed"):
        search(20, "cut")
    monkeypatch.undo()
    for budget in (11, 13, 15):
        assert (len((found := search(budget, "cut")).smiles), found.reason) == (max(13, budget), "budget")
    assert search(20, "cut").smiles == search(20, "whole").smiles


def test_a_ledger_goes_on_with_its_own_search_alone(tmp_path: Path) -> None:
    def search(oracle: str = "qed", budget: int = 12, seed: int = 0, data: Any = None, name: str = "journal") -> Any:
        ledger = tmp_path / f"{name}.log"
        return optimise(oracle, budget, start=MOLECULES, data=data, method=METHOD, seed=seed, ledger=ledger)

    assert search(budget=14).smiles[:12] == search().smiles[:12]
    assert search(data={"CCCCO": 0.5}, name="other").reason == "budget"
    with pytest.raises(DataError, match="records another search"):
        search(data={"CCCCO": 0.6}, name="other")
    for other in ({"oracle": "logp"}, {"seed": 1}):
        with pytest.raises(DataError, match="records another search"):
            search(**other)  # type: ignore[arg-type]
    with exclusive(tmp_path, ".journal.log.lock"), pytest.raises(ConfigError, match="in use"):
        search()


def test_function_names_and_models_are_taken(model: Any) -> None:
    assert len(optimise("qed", 8, weights=model, batch_size=4).smiles) == 8
    assert len(optimise(lambda smiles: float(len(smiles)), 5, start=MOLECULES, method=METHOD).smiles) == 5


def test_proposals_are_as_easy_to_make_as_asked_for(tmp_path: Path) -> None:
    free, capped = (run(config(tmp_path, hardest=h), tmp_path / f"run {h}").records for h in (10.0, 2.5))
    assert [r.smiles for r in free[:8]] == [r.smiles for r in capped[:8]], "start molecules are not filtered"
    hardest = [max(sa_score(Chem.MolFromSmiles(r.smiles)) for r in records[8:]) for records in (free, capped)]
    assert hardest[0] > 2.5 >= hardest[1]


def test_batches_grow_with_what_was_scored_and_resume_as_they_were(tmp_path: Path) -> None:
    grown = config(tmp_path, budget=40, batch_size=2, batch_growth=0.2)
    whole = run(grown, tmp_path / "whole")
    sizes = [size for _, size in sorted({(r.batch, r.size) for r in whole.records})]
    assert sizes == [2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4, 5, 6, 3]
    spec = grown.search.model_copy(update={"budget": 19})
    run(grown.model_copy(update={"search": spec}), tmp_path / "parts")
    assert run(grown, tmp_path / "parts").smiles[:19] == whole.smiles[:19]


def test_a_run_leaves_all_it_should(tmp_path: Path) -> None:
    spec = config(tmp_path, constraints=[{"kind": "window", "name": "mw", "high": 200.0}], pictures=2)
    result = run(spec, tmp_path / "run")
    table = pd.read_parquet(tmp_path / "run" / "molecules.parquet")
    assert table["call"].tolist() == list(range(1, 31))
    assert table["smiles"].tolist() == result.smiles
    assert {"value", "proposer", "seconds", "feasible", "batch", "constraint:mw"} <= set(table)
    assert pd.read_csv(tmp_path / "run" / "molecules.csv")["smiles"].tolist() == result.smiles
    metrics = read_json(tmp_path / "run" / "metrics.json")
    assert metrics["calls"] == 30
    assert metrics["best"] == result.best(1)[0][1]
    assert metrics["auc_top10"] == result.auc_top(10, 30)
    assert read_json(tmp_path / "run" / "manifest.json")["inputs"]["start"]["sha256"]
    assert read_events(tmp_path / "run" / EVENTS)[-1]["calls"] == 30
    assert (tmp_path / "run" / "artifacts" / f"{result.best_records(1)[0].call:08x}").exists()
    assert load_config(tmp_path / "run" / "config.resolved.toml", OptimiseConfig) == spec


def test_a_run_does_not_go_on_with_other_molecules_than_it_began_with(tmp_path: Path) -> None:
    file = tmp_path / "start.csv"
    file.write_text("smiles\n" + "\n".join(MOLECULES[:8]))
    spec = config(tmp_path, budget=5, start={"file": file})
    run(spec, tmp_path / "run")
    file.write_text("smiles\n" + "\n".join(MOLECULES[1:9]))
    with pytest.raises(DataError, match="contents of the files"):
        run(spec, tmp_path / "run")
    assert len(run(spec, tmp_path / "run", fresh=True).smiles) == 5


def test_a_budget_below_what_was_spent_changes_nothing(tmp_path: Path) -> None:
    run(config(tmp_path, budget=12), tmp_path / "run")
    outputs = [tmp_path / "run" / name for name in ("config.resolved.toml", "metrics.json", "molecules.csv", EVENTS)]
    before = [path.read_bytes() for path in outputs]
    with pytest.raises(ConfigError, match="holds 12 calls already; the budget of 10 is spent"):
        run(config(tmp_path, budget=10), tmp_path / "run")
    assert [path.read_bytes() for path in outputs] == before


def test_a_run_names_the_papers_of_its_method(tmp_path: Path) -> None:
    spec = config(tmp_path).model_copy(update={"method": EvolutionSpec(population=6)})
    run(spec, tmp_path / "run")
    assert "NSGA-II" in " ".join(read_json(tmp_path / "run" / "manifest.json")["citations"])


def test_a_run_with_a_model_maps_the_latent_space(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("molvae.search.plan.load_model", lambda weights, device: model)
    spec = parse_config(
        {"oracle": {"kind": "named", "name": "qed"}, "search": {"budget": 12, "start": {"n": 6}}}, OptimiseConfig
    )
    run(spec, tmp_path)
    table = pd.read_parquet(tmp_path / "latent.parquet")
    assert set(table) == {"call", "x", "y"}
    assert np.isfinite(table).all(axis=None)
    assert table["x"].std() >= table["y"].std() > 0


def test_a_finished_run_can_be_given_more_budget(tmp_path: Path) -> None:
    whole = run(config(tmp_path, budget=40), tmp_path / "whole")
    run(config(tmp_path, budget=28), tmp_path / "grown")  # a multiple of whole batches: 8 to start with, then 5 each
    grown = run(config(tmp_path, budget=40), tmp_path / "grown")
    assert grown.smiles == whole.smiles


def test_time_of_a_resumed_run_is_that_of_all_its_parts(tmp_path: Path) -> None:
    assert seconds_before(tmp_path) == 0
    for event in ({"event": "start"}, {"event": "batch", "seconds": 3.0}, {"event": "batch", "seconds": 5.0}):
        append_event(tmp_path / EVENTS, event)
    assert seconds_before(tmp_path) == 5
    append_event(tmp_path / EVENTS, {"event": "start"})
    append_event(tmp_path / EVENTS, {"event": "batch", "seconds": 2.0})
    assert seconds_before(tmp_path) == 7


def test_seconds_are_those_of_all_parts_of_a_run(tmp_path: Path) -> None:
    run(config(tmp_path, budget=10), tmp_path)
    append_event(tmp_path / EVENTS, {"event": "batch", "seconds": 1000.0})
    run(config(tmp_path, budget=12), tmp_path)
    for name in ("metrics.json", "manifest.json"):
        assert 1000 < read_json(tmp_path / name)["seconds"] < 1900
    run(config(tmp_path, budget=12), tmp_path, fresh=True)
    assert read_json(tmp_path / "metrics.json")["seconds"] < 1000


def test_another_config_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    run(config(tmp_path, budget=10), tmp_path / "run")
    with pytest.raises(ConfigError, match="differs in: search"):
        run(config(tmp_path, budget=10, batch_size=2), tmp_path / "run")
    assert len(run(config(tmp_path, budget=12, batch_size=2), tmp_path / "run", fresh=True).smiles) == 12


@pytest.mark.parametrize("cut", [1, 3, 9, 14])
def test_a_batch_that_was_cut_short_is_finished_without_scoring_twice(cut: int) -> None:
    def search() -> Any:
        return METHOD.build(Setting(start=MOLECULES[:6]))

    whole = run_search(search(), Counting(len), Ledger(), budget=25, batch_size=5)
    ledger = Ledger()
    ledger.records = list(whole.records[:cut])
    oracle = Counting(len)
    resumed = run_search(search(), oracle, ledger, budget=25, batch_size=5)
    assert resumed.smiles == whole.smiles
    assert oracle.seen == whole.smiles[cut:]


def test_records_that_this_search_would_not_make_are_kept() -> None:
    ledger = Ledger()
    ledger.add(Record(1, "CCCCO", 5.0, "start", 0, 5, 5, 0.0))
    result = run_search(METHOD.build(Setting(start=MOLECULES[:6])), Counting(len), ledger, budget=9, batch_size=5)
    assert result.smiles[0] == "CCCCO"
    assert len(result.smiles) == 9


SCRIPT = """
import sys
from pathlib import Path
from molvae.core.config import load_config
from molvae.search.config import OptimiseConfig
from molvae.search.run import run
run(load_config(Path(sys.argv[1]), OptimiseConfig), sys.argv[2])
"""


@pytest.mark.integration
def test_killed_again_and_again_and_resumed_equals_not_killed(tmp_path: Path) -> None:
    from molvae.core.config import dump_config

    spec = config(tmp_path, budget=60, batch_size=4)
    dump_config(spec, tmp_path / "config.toml")
    whole = run(spec, tmp_path / "whole")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "config.toml"), str(tmp_path / "killed")]
    journal = tmp_path / "killed" / "journal.log"
    kills = 0
    for at_least in (3, 10, 21, 22, 38, 50):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < at_least):
            time.sleep(0.002)
        kills += process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert kills >= 4
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
    columns = ["call", "smiles", "value", "proposer", "batch", "feasible"]
    tables = [pd.read_parquet(tmp_path / name / "molecules.parquet")[columns] for name in ("whole", "killed")]
    pd.testing.assert_frame_equal(*tables)
    assert len(whole.smiles) == 60


@pytest.mark.integration
def test_interrupted_run_writes_what_it_has_and_says_130(tmp_path: Path) -> None:
    from molvae.core.config import dump_config
    from molvae.core.errors import Interrupted

    dump_config(config(tmp_path, budget=2000), tmp_path / "config.toml")
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "config.toml"), str(tmp_path / "run")], stderr=subprocess.PIPE
    )
    journal = tmp_path / "run" / "journal.log"
    while not journal.exists() or journal.read_bytes().count(b"\n") < 20:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert b"Interrupted: stopped after" in errors
    assert len(pd.read_parquet(tmp_path / "run" / "molecules.parquet")) >= 15
    assert Interrupted.exit_code == 130


def test_a_new_search_that_is_impossible_leaves_the_old_one(tmp_path: Path) -> None:
    run(config(tmp_path, budget=5), tmp_path / "run")
    before = (tmp_path / "run" / JOURNAL).read_bytes()
    with pytest.raises(DataError, match="no such file"):
        run(config(tmp_path, budget=5, start={"file": "nowhere.csv"}), tmp_path / "run", fresh=True)
    assert (tmp_path / "run" / JOURNAL).read_bytes() == before


def test_a_score_below_zero_has_no_area(tmp_path: Path) -> None:
    spec = config(tmp_path, budget=6)
    negative = parse_config(
        {**spec.model_dump(mode="json"), "oracle": {"kind": "named", "name": "sa", "direction": "minimise"}},
        OptimiseConfig,
    )
    assert not run(negative, tmp_path / "negative").has_auc
    assert "auc_top10" not in read_json(tmp_path / "negative" / "metrics.json")
    assert "auc_top10" in (run(spec, tmp_path / "run") and read_json(tmp_path / "run" / "metrics.json"))
