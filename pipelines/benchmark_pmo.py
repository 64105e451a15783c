"""How many oracle calls does the search need on the RDKit-only tasks of PMO (Gao et al. 2022, arXiv:2206.12411)?

    python -m pipelines.benchmark_pmo --budget 1000
    python -m pipelines.benchmark_pmo --budget 1000 --start ../shared/data/zinc250k.csv.gz --n-start 100
    python -m pipelines.benchmark_pmo --methods configs/quickstart.toml configs/search/turbo.toml --tasks qed median1

Every method is a config of `molvae optimise`; its oracle is exchanged for each task. Per task: AUC of the mean of the
best 1, 10 and 100 over the budget, exactly as PMO computes it; then the sums. Start molecules count as calls. Scores of
all 250,000 ZINC molecules are never used. Runs go to processes of one thread each; a finished run is a row of the CSV
file, and the same command goes on where it was stopped, also within a run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, fields
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from molvae.core.config import load_config
from molvae.core.errors import MolvaeError
from molvae.core.files import atomic_path, read_json
from molvae.core.runtime import progress, usable_cpus
from molvae.oracles import PMO_TASKS


@dataclass(frozen=True)
class Job:
    """One search."""

    method: str
    task: str
    seed: int
    budget: int
    start: str


@dataclass(frozen=True)
class Row(Job):
    """What came of it; the AUC of each k over the budget, the mean of the final ten, wall time in seconds."""

    auc_top1: float
    auc_top10: float
    auc_top100: float
    top10_mean: float
    seconds: float


def run_job(job: Job, overrides: Sequence[str], directory: Path) -> Row:
    """Run or continue one search; called in a process of its own."""
    import torch

    from molvae.search.config import OptimiseConfig
    from molvae.search.run import run

    torch.set_num_threads(1)
    changes = ["oracle={kind='named'}", f"oracle.name={job.task}", f"seed={job.seed}", f"search.budget={job.budget}"]
    config = load_config(job.method, OptimiseConfig, [*changes, *overrides])
    run_dir = directory / f"{Path(job.method).stem}-{job.task}-{job.seed}-{job.budget}"
    run(config, run_dir)
    metrics = read_json(run_dir / "metrics.json")
    return Row(**asdict(job), **{name: metrics[name] for name in Row.__annotations__})


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """All searches asked for."""
    for method in args.methods:
        for seed in args.seeds:
            for task in args.tasks:
                yield Job(method, task, seed, args.budget, str(args.start or ""))


def finished(path: Path) -> dict[Job, Row]:
    """The rows of an earlier call."""
    if not path.exists():
        return {}
    frame = pd.read_csv(path, keep_default_na=False)
    rows = [Row(**record) for record in frame.to_dict("records")]
    return {Job(*(getattr(row, f.name) for f in fields(Job))): row for row in rows}


def save(rows: Sequence[Row], path: Path) -> None:
    """Write all rows, in a stable order."""
    frame = pd.DataFrame([asdict(row) for row in rows]).sort_values(["method", "seed", "budget", "task"])
    with atomic_path(path) as file:
        frame.to_csv(file, index=False, float_format="%.6f")


def summary(rows: Sequence[Row], tasks: Sequence[str]) -> str:
    """A table for each method: the mean over seeds for each task, and the sums."""
    frame = pd.DataFrame([asdict(row) for row in rows])
    parts = []
    for (method, budget), group in frame.groupby(["method", "budget"]):
        columns = ["auc_top1", "auc_top10", "auc_top100", "top10_mean", "seconds"]
        table = group.groupby("task")[columns].mean().reindex([t for t in tasks if t in set(group["task"])])
        table.loc[f"sum of {len(table)}"] = table.sum()
        seeds = sorted(set(group["seed"]))
        parts.append(f"{method}, {budget} calls, seeds {seeds}\n{table.to_string(float_format='{:.3f}'.format)}")
    return "\n\n".join(parts)


def main() -> None:
    """Parse the command line, run what is not there yet, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=1000, help="oracle calls a run")
    parser.add_argument("--tasks", nargs="+", default=list(PMO_TASKS), choices=list(PMO_TASKS), metavar="TASK")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--methods", nargs="+", default=["configs/quickstart.toml"], metavar="CONFIG")
    parser.add_argument("--start", type=Path, help="file of molecules to begin with, instead of samples of the model")
    parser.add_argument("--n-start", type=int, help="how many of them")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the configs")
    parser.add_argument("--processes", type=int, default=usable_cpus())
    parser.add_argument("--out", type=Path, default=Path("runs/pmo"), help="folder for the runs and results.csv")
    args = parser.parse_args()
    overrides = [*args.set]
    if args.start:
        overrides.append(f"search.start.file='{args.start}'")
    if args.n_start:
        overrides.append(f"search.start.n={args.n_start}")
    table = args.out / "results.csv"
    done = finished(table)
    todo = [job for job in jobs(args) if job not in done]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the processes: one core each
    with (
        ProcessPoolExecutor(args.processes, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool,
        progress(len(todo), "PMO", "runs") as bar,
    ):
        futures = {pool.submit(run_job, job, overrides, args.out): job for job in todo}
        for future in as_completed(futures):
            try:
                row = future.result()
            except MolvaeError as error:  # the other runs go on; the same command tries this one again
                print(f"{futures[future].task}: {error}", file=sys.stderr, flush=True)
                continue
            done[Job(*(getattr(row, f.name) for f in fields(Job)))] = row
            save(list(done.values()), table)
            print(f"{row.task}: AUC top-10 {row.auc_top10:.4f}, {row.seconds:.0f} s", flush=True)
            bar.advance()
    wanted = set(jobs(args))
    print(summary([row for job, row in done.items() if job in wanted], args.tasks))


if __name__ == "__main__":
    main()
