"""Results of runs as a CSV file: one row a run, written after every run, shared by several studies and processes."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd

from molvae.core.errors import DataError
from molvae.core.files import atomic_path
from pipelines.pmo.study import Job

Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Row:
    """What one run reached.

    Attributes:
        method, task, seed, budget: which run.
        config: hash of the method's resolved config and weights; a row with another hash is of another method.
        start: hash of the file of start molecules.
        auc_top1, auc_top10, auc_top100: area under the mean of the best k over the budget, as PMO defines it.
        top1_mean, top10_mean, top100_mean: mean of the best k at the end.
        molecules: distinct molecules scored; fewer than the budget when the search found no more.
        diversity: mean Tanimoto distance of pairs of the best 100, ECFP4 of 2,048 bits.
        seconds: wall time of the search, over all its parts when it was resumed.
        cpu_seconds: processor time; empty when it was resumed.
        peak_mib: peak resident memory of the run's process, MiB.
        ended: "budget" or "no new molecules".
        code: last commit of the package, "+" for uncommitted changes; for information only.
        curve: mean of the best 10 after 5 %, 10 %, ... 100 % of the budget, separated by spaces.
    """

    method: str
    task: str
    seed: int
    budget: int
    config: str
    start: str
    auc_top1: float
    auc_top10: float
    auc_top100: float
    top1_mean: float
    top10_mean: float
    top100_mean: float
    molecules: int
    diversity: float
    seconds: float
    cpu_seconds: float
    peak_mib: int
    ended: str
    code: str
    curve: str

    @property
    def key(self) -> Key:
        """What a results file holds one row of."""
        return self.method, self.task, self.seed, self.budget

    def of(self, job: Job) -> bool:
        """Whether this is the result of that very job, with the same config and start file."""
        return self.key == (job.method, job.task, job.seed, job.budget) and (self.config, self.start) == (
            job.config,
            job.start_hash,
        )


def read_rows(path: Path) -> dict[Key, Row]:
    """The rows of a results file; none where there is no file.

    Raises:
        DataError: the columns are not those of `Row`.
    """
    if not path.exists():
        return {}
    texts = {f.name: str for f in fields(Row) if f.type == "str"}
    frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={"cpu_seconds": [""], "diversity": [""]})
    if list(frame.columns) != (names := [f.name for f in fields(Row)]):
        raise DataError(f"{path}: expected the columns {', '.join(names)}; move the file away, or name another: --out")
    rows = [Row(*values) for values in frame.itertuples(index=False, name=None)]
    return {row.key: row for row in rows}


def add_row(row: Row, path: Path) -> None:
    """Put a row into a results file, in the place of an older one of the same run; other processes may do so, too."""
    with _alone(path.parent):
        rows = read_rows(path) | {row.key: row}
        frame = pd.DataFrame([asdict(rows[key]) for key in sorted(rows)])
        with atomic_path(path) as file:
            frame.to_csv(file, index=False)


def rounded(value: float, digits: int) -> float:
    """A figure as the file holds it, so that a row is the same before and after writing."""
    return value if math.isnan(value) else round(float(value), digits)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process writes to the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
