"""The table of a benchmark and the processes behind it: rows are kept, and a job that fails stops no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from molvae.core.errors import DataError
from pipelines.rows import completed, finished, in_pool, job_of, save


@dataclass(frozen=True)
class Job:
    """One search."""

    name: str
    share: float


@dataclass(frozen=True)
class Row(Job):
    """What came of it."""

    value: float


JOBS = [Job("a", 0.25), Job("bad", 0.5), Job("c", 0.1)]


def work(job: Job) -> Row:
    """Called in a process of its own."""
    if job.name == "bad":
        raise DataError("cannot be done")
    return Row(job.name, job.share, 2 * job.share)


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [Row("b", 0.4, -1.23456789012345), Row("", 0.1, 2.5)]
    save(rows, tmp_path / "results.csv", Job)
    assert finished(tmp_path / "results.csv", Job, Row) == {job_of(row, Job): row for row in reversed(rows)}
    assert job_of(rows[0], Job) == Job("b", 0.4)
    assert finished(tmp_path / "none.csv", Job, Row) == {}


def test_rows_of_another_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("name,value\na,1.0\n")
    with pytest.raises(DataError, match="with the columns name, value, and not name, share, value"):
        finished(tmp_path / "old.csv", Job, Row)


@pytest.mark.parametrize("jobs_each", [None, 1])
def test_a_job_that_fails_stops_no_other(jobs_each: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert dict(in_pool(work, JOBS, 1, jobs_each)) == {job: work(job) for job in (JOBS[0], JOBS[2])}
    assert "Job(name='bad', share=0.5): cannot be done" in capsys.readouterr().err


def test_rows_are_completed_and_no_job_is_done_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, said = tmp_path / "results.csv", []
    kept = Row("a", 0.25, -7.0)  # not what `work` would give
    save([kept], table, Job)
    rows = completed(work, JOBS, table, Job, Row, 1, say=lambda row: said.append((row, row in saved(table))))
    assert rows == [kept, work(JOBS[2])]
    assert said == [(rows[1], True)], "it is saved before it is told"
    assert saved(table) == sorted(rows, key=lambda row: row.name)
    assert "cannot be done" in capsys.readouterr().err
    assert completed(work, JOBS[:1], table, Job, Row, 1) == [kept]
    assert len(saved(table)) == 2, "rows that were not asked for stay"


def saved(table: Path) -> list[Row]:
    return list(finished(table, Job, Row).values())
