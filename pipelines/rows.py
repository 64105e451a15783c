"""A benchmark as a table: a row for each search that is finished, and processes for those that are not.

A row is a dataclass that extends its job, the dataclass that says which search to run: what a row tells of is known
from the row alone, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from molvae.core.errors import DataError, MolvaeError
from molvae.core.files import atomic_path
from molvae.core.progress import SilentProgress, progress

Job = TypeVar("Job")
Row = TypeVar("Row")


def finished(path: Path, job_type: type[Job], row_type: type[Row]) -> dict[Job, Row]:
    """The rows of an earlier call.

    Raises:
        DataError: they have other columns than rows have now.
    """
    if not path.exists():
        return {}
    if (there := list(pd.read_csv(path, nrows=0))) != _names(row_type):
        raise DataError(
            f"{path}: holds rows of another version, with the columns {', '.join(there)}, and not "
            f"{', '.join(_names(row_type))}; write to another file, or move this one away"
        )
    rows = [row_type(**record) for record in pd.read_csv(path, keep_default_na=False).to_dict("records")]
    return {job_of(row, job_type): row for row in rows}


def job_of(row: Any, job_type: type[Job]) -> Job:
    """The search that a row tells of."""
    return job_type(**{name: getattr(row, name) for name in _names(job_type)})


def save(rows: Iterable[Any], path: Path, job_type: type[Any]) -> None:
    """Write all rows, in a stable order."""
    frame = pd.DataFrame([asdict(row) for row in rows]).sort_values(_names(job_type))
    with atomic_path(path) as file:
        frame.to_csv(file, index=False)


def completed(
    work: Callable[[Job], Row],
    wanted: Sequence[Job],
    table: Path,
    job_type: type[Job],
    row_type: type[Row],
    processes: int,
    jobs_each: int | None = None,
    say: Callable[[Row], object] = lambda row: None,
    shown: Sequence[str] = (),
) -> list[Row]:
    """The rows of the wanted jobs, fewer where some failed; those that the table lacks are run first (see `in_pool`).

    Args:
        table: the CSV file of rows, written again with each new one.
        say: called with each new row after it is written.
        shown: names of the figures of a new row that the progress bar shows.

    Raises:
        DataError: the table holds rows of another version.
    """
    done = finished(table, job_type, row_type)
    todo = [job for job in dict.fromkeys(wanted) if job not in done]
    with progress(len(todo), "benchmark", "runs") if todo else nullcontext(SilentProgress()) as bar:
        for job, row in in_pool(work, todo, processes, jobs_each):
            done[job] = row
            save(done.values(), table, job_type)
            say(row)
            bar.advance(**{name: getattr(row, name) for name in shown})
    return [done[job] for job in wanted if job in done]


def in_pool(
    work: Callable[[Job], Row], jobs: Sequence[Job], processes: int, jobs_each: int | None = None
) -> Iterator[tuple[Job, Row]]:
    """Do the jobs in processes of one thread each, and give those that succeed, each when it is done.

    One that the library refuses is said on stderr, and the others go on; when a process dies, those that are not done
    are lost with it. The same command tries them again.

    Args:
        jobs_each: jobs that a process does before a new one takes its place; None for no end.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the processes: one core each
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), max_tasks_per_child=jobs_each) as pool:
        futures = {pool.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                job = futures[future]
                try:
                    row = future.result()
                except (MolvaeError, BrokenProcessPool) as error:
                    print(f"{job}: {error}", file=sys.stderr, flush=True)
                    continue
                yield job, row
        finally:
            pool.shutdown(cancel_futures=True)


def packed(overrides: Iterable[str]) -> str:
    """The overrides of a config as one cell of a row."""
    return "; ".join(overrides)


def unpacked(cell: str) -> list[str]:
    """What was `packed`."""
    return cell.split("; ") if cell else []


def markdown(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns are aligned in plain text as well."""
    table = [list(names), *map(list, rows)]
    width = [max(len(line[i]) for line in table) for i in range(len(names))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(line, width, strict=True)) + " |" for line in table]
    rule = "|" + "|".join("-" * (w + 2) for w in width) + "|"
    return "\n".join([lines[0], rule, *lines[1:], ""])


def _names(job_type: type[Any]) -> list[str]:
    return [field.name for field in fields(job_type)]
