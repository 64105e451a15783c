"""The shared study: one trial for each molecule, won by one worker, finished once."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from postgres_server import server
from sqlalchemy import text

from molvae.core.addresses import without_password
from molvae.core.config import dump_config, load_config, parse_config
from molvae.core.errors import ConfigError, Interrupted, MolvaeError
from molvae.oracles import oracle
from molvae.search.config import OptimiseConfig
from molvae.search.run import run
from molvae.workers.coordinator import StudyCrew
from molvae.workers.crew import Task
from molvae.workers.spec import DistributedSpec, postgresql_address
from molvae.workers.study import LOST, SharedStudy, Terms, connect, open_as_worker, persistently
from molvae.workers.worker import work

TERMS = Terms({"kind": "named", "name": "qed"}, 60.0, "any", heartbeat_seconds=1, grace_seconds=600)


@pytest.fixture
def spec(postgres: str, request: pytest.FixtureRequest) -> DistributedSpec:
    """A study of its own for each test."""
    return DistributedSpec(
        storage=postgres, study=request.node.name, heartbeat_seconds=1, grace_seconds=600, attempts=2
    )


def joined(spec: DistributedSpec) -> SharedStudy:
    """The study as a worker sees it."""
    engine = connect(spec.storage or "")
    study = open_as_worker(engine, spec.storage or "", spec.study)
    engine.dispose()
    assert study is not None
    return study


def grow_silent(study: SharedStudy) -> None:
    """Let the last heartbeats be an hour ago."""
    with study.storage.engine.begin() as connection:
        connection.execute(text("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'"))


def test_each_molecule_is_won_by_one_worker(spec: DistributedSpec) -> None:
    with StudyCrew(spec, "", TERMS, "a") as crew:
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
    with StudyCrew(spec, "", TERMS, "a") as crew:
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
    with StudyCrew(spec, "", TERMS, "a") as crew:
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
    with StudyCrew(spec, "", TERMS, "a") as crew:
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
    with StudyCrew(spec, "", TERMS, "a") as crew:
        crew.submit([Task("CCO", "start"), Task("CCN", "start"), Task("CCC", "start")])
        study = joined(spec)
        first = study.claim() or (0, "")
        study.finish(first[0], [0.25])
        with pytest.raises(ConfigError, match="has a coordinator already"):
            StudyCrew(spec, "", TERMS, "a")
    with StudyCrew(spec, "", TERMS, "a") as crew:
        assert [task.smiles for task in crew.pending] == ["CCO", "CCN", "CCC"]
        assert [r.row for r in crew.finished(0)] == [[0.25]]
    with StudyCrew(spec, "", TERMS, "a", known={"CCO"}.__contains__) as crew:
        assert [task.smiles for task in crew.pending] == ["CCN", "CCC"]
        assert crew.finished(0) == []
    with pytest.raises(ConfigError, match="another config"):
        StudyCrew(spec, "", TERMS, "b")
    with StudyCrew(spec, "", TERMS, "b", fresh=True) as crew:
        assert crew.pending == []


def test_a_worker_waits_for_its_study_and_leaves_when_it_is_over(spec: DistributedSpec) -> None:
    scored: list[int] = []
    thread = threading.Thread(target=lambda: scored.append(work(spec.storage, spec.study)))
    thread.start()
    with StudyCrew(spec, "", TERMS, "a") as crew:
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
    with StudyCrew(spec, "", terms, "a", objectives=2) as crew:
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
        with StudyCrew(spec, "", TERMS, "a", fresh=fresh) as crew:
            crew.submit([Task("CCO", "start")])
            deadline = time.monotonic() + 60
            while not crew.finished(1) and time.monotonic() < deadline:
                pass
            if fresh:
                crew.dismiss()
    thread.join(30)
    assert scored == [2]


def test_an_idle_worker_leaves(postgres: str) -> None:
    assert work(postgres, "no such study", idle_seconds=0.1) == 0


def test_several_studies_need_a_name(spec: DistributedSpec) -> None:
    other = spec.model_copy(update={"study": "another"})
    with StudyCrew(spec, "", TERMS, "a"), StudyCrew(other, "", TERMS, "a"):
        engine = connect(spec.storage or "")
        with pytest.raises(ConfigError, match="--study: .*another"):
            open_as_worker(engine, spec.storage or "", None)
        engine.dispose()


@pytest.mark.parametrize("fresh", [False, True])
def test_a_study_that_is_no_search_is_left_alone(spec: DistributedSpec, fresh: bool) -> None:
    foreign = optuna.create_study(study_name=spec.study, storage=spec.storage)
    foreign.add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(ConfigError, match="is no search of molvae"):
        StudyCrew(spec, "", TERMS, "a", fresh=fresh)
    assert len(foreign.trials) == 1
    assert foreign.user_attrs == {}


def test_nothing_is_given_up_for_a_server_out_of_reach(tmp_path: Path) -> None:
    search = {"budget": 3, "start": {"smiles": ["CCO", "CCN", "CCC"]}}
    config = {"oracle": {"kind": "named", "name": "qed"}, "search": search}
    config["method"] = {"kind": "bayesian", "proposers": [{"kind": "graph_mutation"}]}
    run(parse_config(config, OptimiseConfig), tmp_path)
    before = (tmp_path / "journal.log").read_bytes()
    search["distributed"] = {"storage": "postgresql://ann@127.0.0.1:1/nowhere"}
    with pytest.raises(MolvaeError, match="the storage cannot be used"):
        run(parse_config(config, OptimiseConfig), tmp_path, fresh=True)
    assert (tmp_path / "journal.log").read_bytes() == before


def test_a_server_out_of_reach_is_said_without_the_password(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psycopg")
    engine = connect("postgresql://ann:s3cret@127.0.0.1:1/nowhere")
    with pytest.raises(MolvaeError, match="the storage cannot be used") as caught:
        persistently(engine.connect, 0)
    assert "s3cret" not in str(caught.value)


def test_a_worker_without_a_server_says_so_once_and_leaves_when_stopped(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("psycopg")
    began = time.monotonic()
    address = "postgresql://ann:s3cret@127.0.0.1:1/nowhere"
    assert work(address, stopped=lambda: time.monotonic() - began > 5) == 0
    assert time.monotonic() - began < 60
    assert sum("the storage is out of reach" in message for message in caplog.messages) == 1
    assert "s3cret" not in caplog.text


def test_a_coordinator_that_lost_its_server_leaves_when_stopped(postgres: str) -> None:
    with ExitStack() as there:
        spec = DistributedSpec(storage=there.enter_context(server()), study="lost")
        with StudyCrew(spec, "", TERMS, "a", stopped=lambda: True) as crew:
            crew.submit([Task("CCO", "start")])
            there.close()
            began = time.monotonic()
            with pytest.raises(Interrupted, match="out of reach"):
                crew.finished(60)
            assert time.monotonic() - began < 30


@pytest.mark.parametrize("address", ["sqlite:///x.db", "mysql://a:s3cret@h/d", "postgresql://", "host"])
def test_other_databases_are_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="expected postgresql://") as caught:
        parse_config({"storage": address}, DistributedSpec)
    assert "s3cret" not in str(caught.value)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MOLVAE_STORAGE", raising=False)
    with pytest.raises(ConfigError, match="MOLVAE_STORAGE"):
        postgresql_address(None)
    monkeypatch.setenv("MOLVAE_STORAGE", "postgres://h/env")
    assert postgresql_address(None) == "postgresql+psycopg://h/env"
    assert postgresql_address("postgresql://h/d") == "postgresql+psycopg://h/d"
    hidden = [
        ("postgresql://ann:p@ss@host:5432/d", "postgresql://ann@host:5432/d"),
        ("--set s=postgresql://ann:x@h/d --seed 3", "--set s=postgresql://ann@h/d --seed 3"),
        ("postgresql://h/d?user=a&password=x&sslmode=on", "postgresql://h/d?user=a&password=&sslmode=on"),
        ("see https://example.org:80/a", "see https://example.org:80/a"),
    ]
    for address, shown in hidden:
        assert without_password(address) == shown


def test_a_password_is_used_and_not_written(tmp_path: Path) -> None:
    spec = DistributedSpec(storage="postgresql://ann:s3cret@host/d")
    dump_config(spec, tmp_path / "c.toml")
    assert "s3cret" not in (tmp_path / "c.toml").read_text() + repr(spec) + str(spec)
    assert load_config(tmp_path / "c.toml", DistributedSpec).storage == "postgresql://ann@host/d"
    assert "s3cret" in (spec.storage or "")


def test_grace_must_outlast_a_heartbeat() -> None:
    with pytest.raises(ConfigError, match=r"grace_seconds: should be longer than heartbeat_seconds \(30\)"):
        parse_config({"grace_seconds": 30}, DistributedSpec)
