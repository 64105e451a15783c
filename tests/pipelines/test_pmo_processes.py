"""Processes of a benchmark: one that dies is lost alone, and none outlives the caller. Each imports this file."""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import closing

from molvae.core.errors import DataError
from pipelines.pmo.processes import in_processes


def end(how: str) -> str:
    """A job that ends in several ways."""
    match how:
        case "dies":
            os._exit(3)
        case "fails":
            raise DataError("no molecules")
        case "breaks":
            raise RuntimeError("a fault")
        case "hangs":
            time.sleep(600)
    return how.upper()


def test_a_job_that_dies_is_lost_alone() -> None:
    jobs = ["dies", "done", "fails", "breaks"]
    found = {job: outcome if isinstance(outcome, str) else str(outcome) for job, outcome in in_processes(end, jobs, 2)}
    died = "its process ended with exit code {} and without a result"
    assert found == {"dies": died.format(3), "done": "DONE", "fails": "no molecules", "breaks": died.format(1)}


def test_running_jobs_are_stopped_with_the_caller() -> None:
    with closing(in_processes(end, ["done", "hangs"], 2)) as finished:
        assert next(finished) == ("done", "DONE")
    assert not multiprocessing.active_children()
