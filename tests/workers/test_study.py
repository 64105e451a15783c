"""The shared study: one trial for each molecule, won by one worker, finished once."""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from shared_study import TERMS, grow_silent, joined, small_search

from molvae.core.errors import ConfigError
from molvae.oracles import oracle
from molvae.search.run import run
from molvae.workers.coordinator import StudyCrew
from molvae.workers.crew import Task
from molvae.workers.database import connect
from molvae.workers.spec import DistributedSpec
from molvae.workers.study import LOST, open_as_worker
from molvae.workers.worker import work


def test_each_molecule_is_won_by_one_worker(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("C" * n, "start") for n in range(1, 13)])
        won: list[str] = []

        def take_all() -> None:
            study = joined(spec)
            while (claimed := study.claim()) is not None:
                won.append(claimed[1])
                study.finish(claimed[0], [float(len(claimed[1]))])

        threads = [threading.Thread(target=take_all) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won) == ["C" * n for n in range(1, 13)]
        results = crew.finished(5)
        assert {r.task.smiles: r.row for r in results} == {"C" * n: [float(n)] for n in range(1, 13)}
        assert crew.finished(0) == []
        assert crew.pending == []


def test_lost_work_goes_back_and_a_late_worker_changes_nothing(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start", {"mw": 1.0})])
        slow, quick = joined(spec), joined(spec)
        trial, _ = slow.claim() or (0, "")
        assert quick.claim() is None
        crew.finished(0)
        assert quick.claim() is None
        grow_silent(slow)
        deadline = time.monotonic() + 60
        while (claimed := quick.claim()) is None and time.monotonic() < deadline:
            crew.finished(0.2)  # the coordinator notices the silence
        assert claimed == (trial, "CCO")
        assert [t.user_attrs[LOST] for t in crew.study.trials()] == [1]
        assert quick.finish(trial, [0.5])
        assert not slow.finish(trial, [0.7])
        (result,) = crew.finished(5)
        assert (result.task, result.row) == (Task("CCO", "start", {"mw": 1.0}), [0.5])


def test_a_molecule_that_loses_its_workers_is_given_up(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start")])
        study = joined(spec)
        results: list[float] = []
        deadline = time.monotonic() + 60
        while not results and time.monotonic() < deadline:
            study.claim()  # and nothing more is heard of this worker
            grow_silent(study)
            results += [r.row[0] for r in crew.finished(0.2)]
        assert len(results) == 1
        assert math.isnan(results[0])


def test_a_worker_that_says_it_is_alive_keeps_its_molecule(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start")])
        study = joined(spec)
        trial, _ = study.claim() or (0, "")
        grow_silent(study)
        study.beat(trial)
        crew.study.give_back(attempts=2)
        assert study.claim() is None
        assert study.finish(trial, [math.nan])
        (result,) = crew.finished(5)
        assert math.isnan(result.row[0])


def test_a_new_coordinator_finds_all_that_the_old_one_left(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start"), Task("CCN", "start"), Task("CCC", "start")])
        study = joined(spec)
        first = study.claim() or (0, "")
        study.finish(first[0], [0.25])
        with pytest.raises(ConfigError, match="has a coordinator already"):
            StudyCrew(spec, TERMS, "a")
    with StudyCrew(spec, TERMS, "a") as crew:
        assert [task.smiles for task in crew.pending] == ["CCO", "CCN", "CCC"]
        assert [r.row for r in crew.finished(0)] == [[0.25]]
    with StudyCrew(spec, TERMS, "a", known={"CCO"}.__contains__) as crew:
        assert [task.smiles for task in crew.pending] == ["CCN", "CCC"]
        assert crew.finished(0) == []
    with pytest.raises(ConfigError, match="another config"):
        StudyCrew(spec, TERMS, "b")
    with StudyCrew(spec, TERMS, "b", fresh=True) as crew:
        assert crew.pending == []


def test_a_worker_waits_for_its_study_and_leaves_when_it_is_over(spec: DistributedSpec) -> None:
    scored: list[int] = []
    thread = threading.Thread(target=lambda: scored.append(work(spec.storage, spec.study)))
    thread.start()
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start"), Task("CCN", "start")])
        values: dict[str, float] = {}
        deadline = time.monotonic() + 60
        while len(values) < 2 and time.monotonic() < deadline:
            values |= {r.task.smiles: r.row[0] for r in crew.finished(1)}
        crew.dismiss()
    thread.join(30)
    assert scored == [2]
    assert values["CCO"] == pytest.approx(0.4068, abs=1e-4)  # RDKit's QED of ethanol


def test_a_worker_tells_all_objectives_and_what_is_constrained(spec: DistributedSpec) -> None:
    sides = [{"kind": "named", "name": "qed"}, {"kind": "named", "name": "sa", "direction": "minimise"}]
    terms = replace(
        TERMS,
        oracle={"kind": "stacked", "oracles": sides},
        told=[{"name": "fat", "oracle": {"kind": "named", "name": "logp"}}],
    )
    thread = threading.Thread(target=lambda: work(spec.storage, spec.study))
    thread.start()
    rows: dict[str, list[float]] = {}
    with StudyCrew(spec, terms, "a", objectives=2) as crew:
        crew.submit([Task("CCO", "start"), Task("no molecule", "start")])
        deadline = time.monotonic() + 60
        while len(rows) < 2 and time.monotonic() < deadline:
            rows |= {r.task.smiles: r.row for r in crew.finished(1)}
        trials = {t.user_attrs["smiles"]: t for t in crew.study.trials()}
        crew.dismiss()
    thread.join(30)
    expected = [float(oracle(name)(["CCO"])[0]) for name in ("qed", "sa", "logp")]
    assert rows["CCO"] == pytest.approx([expected[0], -expected[1], expected[2]])
    assert trials["CCO"].values == pytest.approx([expected[0], -expected[1]])
    assert len(rows["no molecule"]) == 3
    assert all(map(math.isnan, rows["no molecule"]))


def test_a_worker_counts_over_a_fresh_start(spec: DistributedSpec) -> None:
    scored: list[int] = []
    thread = threading.Thread(target=lambda: scored.append(work(spec.storage, spec.study)))
    thread.start()
    for fresh in (False, True):
        with StudyCrew(spec, TERMS, "a", fresh=fresh) as crew:
            crew.submit([Task("CCO", "start")])
            deadline = time.monotonic() + 60
            while not crew.finished(1) and time.monotonic() < deadline:
                pass
            if fresh:
                crew.dismiss()
    thread.join(30)
    assert scored == [2]


def test_a_fresh_start_is_fresh_whatever_workers_write(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("C" * n, "start") for n in range(1, 61)])
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            with suppress(KeyError, StorageInternalError, AssertionError):  # the study is gone, or not there yet
                study = joined(spec)
                while not over.is_set() and (claimed := study.claim()) is not None:
                    study.beat(claimed[0])
                    study.finish(claimed[0], [1.0])

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        with StudyCrew(spec, TERMS, "b", fresh=True) as crew:
            assert crew.study.trials() == []
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_an_idle_worker_leaves(postgres: str) -> None:
    assert work(postgres, "no such study", idle_seconds=0.1) == 0


def test_several_studies_need_a_name(spec: DistributedSpec) -> None:
    other = spec.model_copy(update={"study": "another"})
    with StudyCrew(spec, TERMS, "a"), StudyCrew(other, TERMS, "a"):
        engine = connect(spec.storage or "")
        with pytest.raises(ConfigError, match="--study: .*another"):
            open_as_worker(engine, spec.storage or "", None)
        engine.dispose()


def test_a_worker_without_a_name_passes_over_what_is_over(spec: DistributedSpec) -> None:
    done, open_still, another = (spec.model_copy(update={"study": f"{spec.study} {n}"}) for n in range(3))
    with StudyCrew(done, TERMS, "a") as crew:
        crew.dismiss()
    with StudyCrew(open_still, TERMS, "a"), StudyCrew(another, TERMS, "a"):
        engine = connect(spec.storage or "")
        with pytest.raises(ConfigError) as caught:
            open_as_worker(engine, spec.storage or "", None)
        engine.dispose()
    assert str(open_still.study) in str(caught.value)
    assert str(done.study) not in str(caught.value)


def test_a_worker_hears_of_new_terms(spec: DistributedSpec) -> None:
    thread = threading.Thread(target=lambda: work(spec.storage, spec.study))
    thread.start()
    values: list[float] = []
    for terms in (TERMS, replace(TERMS, oracle={"kind": "named", "name": "logp"})):
        with StudyCrew(spec, terms, "a", known={"CCO"}.__contains__ if values else lambda smiles: False) as crew:
            crew.submit([Task("CCN" if values else "CCO", "start")])
            before, deadline = len(values), time.monotonic() + 60
            while len(values) == before and time.monotonic() < deadline:
                values += [r.row[0] for r in crew.finished(1)]
            if before:
                crew.dismiss()
    thread.join(30)
    assert values == pytest.approx([float(oracle("qed")(["CCO"])[0]), float(oracle("logp")(["CCN"])[0])])


def test_terms_of_another_version_are_named(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.study.say(terms={**crew.study.attributes["terms"], "colour": "blue"})
        with pytest.raises(ConfigError, match="another version of molvae"):
            work(spec.storage, spec.study)


def test_a_run_that_was_moved_keeps_its_study(tmp_path: Path, spec: DistributedSpec) -> None:
    first, second = tmp_path / f"{spec.study} first", tmp_path / f"{spec.study} second"
    shared = {"storage": spec.storage}
    done = threading.Event()

    def keep_working() -> None:
        while not done.is_set():
            work(spec.storage, first.name, stopped=done.is_set)

    thread = threading.Thread(target=keep_working)
    thread.start()
    try:
        run(small_search(2, distributed=shared), first)
        first.rename(second)
        assert len(run(small_search(3, distributed=shared), second).records) == 3
    finally:
        done.set()
        thread.join()
    names = optuna.get_all_study_names(spec.storage)
    assert first.name in names
    assert second.name not in names


@pytest.mark.parametrize("fresh", [False, True])
def test_a_study_that_is_no_search_is_left_alone(spec: DistributedSpec, fresh: bool) -> None:
    foreign = optuna.create_study(study_name=spec.study, storage=spec.storage)
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(ConfigError, match="is no search of molvae"):
        StudyCrew(spec, TERMS, "a", fresh=fresh)
    assert len(foreign.trials) == 1
    assert foreign.user_attrs == {}
