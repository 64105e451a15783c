"""The database falls silent, refuses, restarts: nothing is lost, and nobody is taken for lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from postgres_server import server
from shared_study import TERMS, grow_silent, joined, small_search
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from molvae.core.errors import ConfigError, Interrupted, MolvaeError
from molvae.search.run import run
from molvae.workers import coordinator, lock
from molvae.workers.coordinator import StudyCrew
from molvae.workers.crew import Task
from molvae.workers.database import connect, engine_options, persistently
from molvae.workers.lock import StudyLock
from molvae.workers.spec import DistributedSpec, postgresql_address
from molvae.workers.study import LOST
from molvae.workers.worker import work


def break_connections(spec: DistributedSpec) -> None:
    """End all sessions of the server but one's own, as its restart would."""
    engine = connect(spec.storage or "")
    with engine.begin() as connection:
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname <> ''"
        )
        connection.execute(text(others))
    engine.dispose()


def test_an_outage_counts_nobody_as_lost(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start")])
        study = joined(spec)
        trial, _ = study.claim() or (0, "")
        crew.finished(2.5)  # the database has been steady for long
        grow_silent(study)
        break_connections(spec)
        time.sleep(1.1)  # the next look at the database is one for lost workers
        crew.finished(1.5)
        study.beat(trial)  # the worker is heard again
        crew.finished(2.5)
        assert all(LOST not in t.user_attrs for t in crew.study.trials())
        grow_silent(study)  # and now it falls silent for good
        crew.finished(1.5)
        assert [t.user_attrs[LOST] for t in crew.study.trials()] == [1]


def test_a_database_that_takes_no_writes_counts_nobody_as_lost(
    spec: DistributedSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        tried: list[float] = []

        def give_back(attempts: int) -> None:
            tried.append(time.monotonic())
            if len(tried) == 1:
                raise OperationalError("UPDATE", {}, Exception("cannot execute UPDATE in a read-only transaction"))

        monkeypatch.setattr(crew.study, "give_back", give_back)
        while len(tried) < 2:
            crew.finished(0.5)
        assert tried[1] - tried[0] > spec.grace_seconds, "workers have time to be heard again"


def test_a_coordinator_keeps_its_study_over_a_restart_of_the_server(spec: DistributedSpec) -> None:
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.submit([Task("CCO", "start")])
        break_connections(spec)
        crew.finished(0)
        with pytest.raises(ConfigError, match="has a coordinator already"):
            StudyCrew(spec, TERMS, "a")


def test_a_coordinator_leaves_where_another_took_over(spec: DistributedSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "FREED_SECONDS", 0.5)
    with StudyCrew(spec, TERMS, "a") as crew:
        break_connections(spec)
        with StudyCrew(spec, TERMS, "a"), pytest.raises(ConfigError, match="has a coordinator already"):
            crew.submit([Task("CCO", "start")])


def test_an_outage_may_be_missed_in_a_long_pause(spec: DistributedSpec) -> None:
    held = StudyLock(spec.storage or "", spec.study or "", longest_gap=0.3)
    try:
        for _ in range(5):
            held.hold()
            time.sleep(0.1)
        assert held.steady_seconds >= 0.4
        time.sleep(0.3)
        held.hold()
        assert held.steady_seconds < 0.1
    finally:
        held.close()


def test_a_coordinator_asks_for_workers(
    spec: DistributedSpec, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(coordinator, "WORD_SECONDS", 0.5)
    spec = spec.model_copy(update={"study": "a study"})
    with StudyCrew(spec, TERMS, "a") as crew:
        crew.finished(1)
        assert "no worker" not in caplog.text  # nothing waits
        crew.submit([Task("CCO", "start")])
        crew.finished(1)
        assert "molvae worker --storage postgresql://molvae@127.0.0.1" in caplog.text
        assert "--study 'a study'" in caplog.text
        caplog.clear()
        assert joined(spec).claim()
        crew.finished(1)
        assert "no worker" not in caplog.text


def test_nothing_is_given_up_for_a_server_out_of_reach(tmp_path: Path) -> None:
    run(small_search(), tmp_path)
    before = (tmp_path / "journal.log").read_bytes()
    elsewhere = {"storage": "postgresql://ann@127.0.0.1:1/nowhere"}
    with pytest.raises(MolvaeError, match="the storage cannot be used"):
        run(small_search(distributed=elsewhere), tmp_path, fresh=True)
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
        with StudyCrew(spec, TERMS, "a", stopped=lambda: True) as crew:
            crew.submit([Task("CCO", "start")])
            there.close()
            began = time.monotonic()
            with pytest.raises(Interrupted, match="out of reach"):
                crew.finished(60)
            assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(("not-to-be-seen", "guessed"), "password authentication failed"), (("/postgres", "/nowhere"), "does not exist")],
)
def test_what_the_server_refuses_is_not_tried_again(postgres: str, wrong: tuple[str, str], said: str) -> None:
    address = wrong[1].join(postgres.rsplit(wrong[0], 1))
    began = time.monotonic()
    with pytest.raises(MolvaeError, match=said):
        work(address)
    assert time.monotonic() - began < 30


def test_settings_of_the_address_come_first(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=9s")
    assert engine_options("postgresql://h/d")["connect_args"]["options"] == "-c statement_timeout=9s -c timezone=UTC"
    address = f"{postgres}?options=-c%20statement_timeout%3D7s&connect_timeout=3"
    assert "connect_timeout" not in engine_options(postgresql_address(address))["connect_args"]
    engine = connect(address)
    with engine.connect() as connection:
        shown = [connection.execute(text(f"SHOW {name}")).scalar() for name in ("statement_timeout", "timezone")]
    engine.dispose()
    assert shown == ["7s", "UTC"]


def test_a_refused_fresh_start_loses_nothing(tmp_path: Path, spec: DistributedSpec) -> None:
    run(small_search(), tmp_path)
    before = {file.name for file in tmp_path.iterdir()}
    elsewhere = {"storage": spec.storage, "study": spec.study}
    with StudyCrew(spec, TERMS, "a"), pytest.raises(ConfigError, match="has a coordinator already"):
        run(small_search(distributed=elsewhere), tmp_path, fresh=True)
    assert {file.name for file in tmp_path.iterdir()} == before


def test_a_password_with_braces_is_taken(spec: DistributedSpec) -> None:
    engine = connect(spec.storage or "")
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE braced SUPERUSER LOGIN PASSWORD 'a{b}c'"))
    engine.dispose()
    address = (spec.storage or "").replace("molvae:not-to-be-seen", "braced:a{b}c")
    with StudyCrew(spec.model_copy(update={"storage": address}), TERMS, "a") as crew:
        assert crew.pending == []
