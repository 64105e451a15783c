"""The record of a search: what goes in comes out, and what a kill leaves behind is repaired."""

import math
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from molvae.core.errors import DataError
from molvae.search.ledger import ARTIFACTS, STUDY, Ledger, Record


def record(call: int, value: float = 0.5, **constraints: float) -> Record:
    return Record(call, "C" * call, value, "graph_mutation", (call - 1) // 2, 2, 2, 0.25, constraints)


def study(path: Path) -> optuna.Study:
    """The study as optuna-dashboard opens it."""
    return optuna.load_study(study_name=STUDY, storage=optuna.storages.JournalStorage(JournalFileBackend(str(path))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "journal.log"


def test_keeps_records_over_a_restart(path: Path) -> None:
    kept = [record(1), record(2, 1e-300, alerts=1.0), record(3, -1e30, alerts=0.0)]
    ledger = Ledger(path, {"oracle": "qed"})
    for one in kept:
        ledger.add(one)
    again = Ledger(path)
    assert again.records == kept
    assert [len(batch) for batch in again.batches()] == [2, 1]
    assert study(path).user_attrs["oracle"] == "qed"


def test_is_in_memory_without_a_path() -> None:
    ledger = Ledger()
    ledger.add(record(1))
    assert len(ledger) == 1


def test_failed_molecules_are_failed_trials_and_never_the_best(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add(record(1, math.nan))
    ledger.add(record(2, 0.25))
    found = study(path)
    assert [t.state for t in found.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert found.best_value == 0.25
    assert math.isnan(Ledger(path).records[0].value)


def test_infeasible_molecules_are_known_as_such_to_optuna_and_its_dashboard(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add(record(1, 0.9, alerts=2.0))
    ledger.add(record(2, 0.5, alerts=0.0))
    found = study(path)
    assert found.best_trial.number == 1
    assert found.trials[0].system_attrs["constraints"] == [2.0]
    assert found.trials[0].user_attrs["feasible"] is False


@pytest.mark.parametrize("content", ["smiles,value\nCCO,1.0\n", "{}\n", "no newline"])
def test_never_touches_a_file_that_is_no_journal(tmp_path: Path, content: str) -> None:
    file = tmp_path / "thesis.csv"
    file.write_text(content)
    with pytest.raises(DataError, match=r"thesis\.csv: is not the record of a search; name another file"):
        Ledger(file)
    assert file.read_text() == content
    with pytest.raises(DataError, match="is a folder"):
        Ledger(tmp_path)


def test_says_which_line_of_a_journal_is_damaged(path: Path) -> None:
    ledger = Ledger(path)
    for call in (1, 2, 3):
        ledger.add(record(call))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:20] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=rf"line 3 of {len(lines)} is damaged"):
        Ledger(path)
    assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("torn", [b'{"op_code": 4, "worker', b'{"op_code": 4}garbage\n', b"\n\n"])
def test_repairs_a_torn_last_line(path: Path, torn: bytes) -> None:
    ledger = Ledger(path)
    ledger.add(record(1))
    with open(path, "ab") as handle:
        handle.write(torn)
    again = Ledger(path)
    assert again.records == [record(1)]
    again.add(record(2))
    assert Ledger(path).records == [record(1), record(2)]


def test_a_huge_molecule_has_no_picture(path: Path) -> None:
    ledger = Ledger(path)
    ledger.add(replace(record(1), smiles="C" * 4000))
    assert "<path" not in (path.parent / ARTIFACTS / "00000001").read_text()
    ledger.add(record(2, 0.6))
    assert "<path" in (path.parent / ARTIFACTS / "00000002").read_text()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_record_is_there_wholly_or_not_at_all(path: Path, cut: int) -> None:
    ledger = Ledger(path)
    ledger.add(record(1))
    ledger.add(record(2))
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    assert Ledger(path).records == [record(1)]


def test_a_lock_of_a_dead_process_does_not_block(path: Path) -> None:
    Ledger(path).add(record(1))
    (path.parent / "journal.log.lock").touch()
    Ledger(path).add(record(2))
    assert len(Ledger(path)) == 2


def test_the_best_so_far_have_pictures_that_optuna_finds(path: Path) -> None:
    for call, value in enumerate([1.0, 5.0, 2.0, 4.0, 4.5], start=1):
        Ledger(path, pictures=2).add(record(call, value))
    store = FileSystemArtifactStore(str(path.parent / "artifacts"))
    trials = study(path).trials
    metas = [get_all_artifact_meta(t, storage=study(path)._storage) for t in trials]
    assert [len(meta) for meta in metas] == [1, 1, 1, 1, 1]
    for meta in metas:
        assert b"<svg" in store.open_reader(meta[0].artifact_id).read()
    Ledger(path, pictures=2).add(record(6, 4.0))
    assert get_all_artifact_meta(study(path).trials[5], storage=study(path)._storage) == []


def test_works_from_another_folder(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("journal.log")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    ledger.add(record(1))
    assert len(Ledger(tmp_path / "journal.log")) == 1
