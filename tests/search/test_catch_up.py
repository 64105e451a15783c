"""The tables of a search that is at work, or that was killed."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from search_molecules import config

from molvae.core.errors import ConfigError, DataError
from molvae.core.files import CONFIG, JOURNAL, METRICS, MOLECULES, exclusive, read_json
from molvae.report.report import write_report
from molvae.search import run as running
from molvae.search.catch_up import catch_up
from molvae.search.plan import Plan, plan_of
from molvae.search.run import WARNINGS, run


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A search of 18 calls that was given 22 more, and killed (as far as its files tell) after ten of them."""
    folder, done = tmp_path / "run", tmp_path / "done"
    run(config(tmp_path, budget=18), folder)
    shutil.copytree(folder, done)
    run(config(tmp_path, budget=28), folder)
    for file in done.iterdir():
        if file.name in (METRICS, MOLECULES, "molecules.csv", "manifest.json"):
            shutil.copy(file, folder)
    resolved = folder / CONFIG
    resolved.write_text(resolved.read_text().replace("budget = 28", "budget = 40"))
    with open(folder / JOURNAL, "ab") as journal:
        journal.write(b'{"op_code": 4, "torn')
    return folder


def test_a_killed_search_gets_its_tables(killed: Path) -> None:
    journal = (killed / JOURNAL).read_bytes()
    assert len(pd.read_parquet(killed / MOLECULES)) == 18
    catch_up(killed)
    assert len(pd.read_parquet(killed / MOLECULES)) == 28
    metrics = read_json(killed / METRICS)
    assert (metrics["calls"], metrics["budget"], metrics["ended"]) == (28, 40, "stopped")
    assert (killed / JOURNAL).read_bytes() == journal, "the record is not touched"
    assert "stopped after 28 of 40 calls; the same command goes on" in write_report(killed).read_text()


def test_a_damaged_record_is_named(killed: Path) -> None:
    lines = (killed / JOURNAL).read_bytes().splitlines(keepends=True)
    (killed / JOURNAL).write_bytes(b"".join([*lines[:9], b"{damaged\n", *lines[9:]]))
    with pytest.raises(DataError, match=rf"^{killed / JOURNAL}: line 10 of \d+ is damaged"):
        catch_up(killed)


def test_a_search_at_work_is_shown_so(killed: Path) -> None:
    with exclusive(killed):
        catch_up(killed)
    assert "at work after 28 of 40 calls" in write_report(killed).read_text()
    catch_up(killed)
    assert read_json(killed / METRICS)["ended"] == "stopped"


def test_a_search_that_ends_meanwhile_keeps_its_own_tables(killed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = iter([True, False, False])
    monkeypatch.setattr("molvae.search.catch_up.in_use", lambda folder: next(looks))
    catch_up(killed)
    assert read_json(killed / METRICS)["ended"] == "stopped", "looked at anew, and not as it was when it was at work"
    assert not list(killed.glob(".tables-*"))


def test_tables_need_neither_the_oracle_nor_the_model(killed: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = (killed / CONFIG).read_text().replace('name = "qed"', 'name = "gone"').replace('"auto"', '"cuda"')
    (killed / CONFIG).write_text(text.replace('weights = "zinc250k"', 'weights = "nowhere"'))
    catch_up(killed)
    assert len(pd.read_parquet(killed / MOLECULES)) == 28
    assert "the table has no parts of scores: " in caplog.text


def test_a_search_that_ended_keeps_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(config(tmp_path, budget=10), tmp_path / "run")
    before = (tmp_path / "run" / METRICS).read_bytes()
    monkeypatch.setattr("molvae.search.catch_up.write_outputs", lambda *args: pytest.fail("written again"))
    catch_up(tmp_path / "run")
    assert (tmp_path / "run" / METRICS).read_bytes() == before
    assert "calls; the" not in write_report(tmp_path / "run").read_text()


def test_a_fresh_search_leaves_nothing_of_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    run(config(tmp_path, budget=10, select={"k": 2, "distance": 0.5}), folder)
    write_report(folder)
    (folder / WARNINGS).write_text("old warning\n")
    before = {file.name for file in folder.iterdir()}
    assert {"report.html", "diverse.csv", "molecules.csv"} <= before

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    def planning(*args: Any) -> Plan:
        logging.getLogger("molvae").warning("one of the new search")
        return plan_of(*args)

    monkeypatch.setattr(running, "conduct", killed)
    monkeypatch.setattr(running, "plan_of", planning)
    with pytest.raises(KeyboardInterrupt):
        run(config(tmp_path, budget=10), folder, fresh=True)
    left = {file.name for file in folder.iterdir()}
    assert left == {".lock", JOURNAL, "config.resolved.toml", "events.jsonl", WARNINGS}
    warned = (folder / WARNINGS).read_text()
    assert warned.endswith("one of the new search\n")
    assert "old" not in warned


def test_a_fresh_search_does_not_remove_what_it_begins_with(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(config(tmp_path, budget=10), folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    with pytest.raises(ConfigError, match=r"start: .*molecules.csv, which --fresh removes; copy it elsewhere"):
        run(config(tmp_path, budget=10, start={"file": str(folder / "molecules.csv")}), folder, fresh=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before
