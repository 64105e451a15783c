"""How many oracle calls does a search need on the RDKit-only tasks of PMO (Gao et al. 2022, arXiv:2206.12411)?

    python -m pipelines.benchmark_pmo
    python -m pipelines.benchmark_pmo --budget 1000 --seeds 0
    python -m pipelines.benchmark_pmo configs/pmo/peers_500.toml --tasks qed median1 --seeds 0 --processes 2
    python -m pipelines.benchmark_pmo configs/pmo/peers_500.toml --table-only

A study names tasks, methods, seeds, the budget and the molecules to begin with (`pmo/study.py`); the options narrow it,
or change what its searches are (`--set`, `--start`, `--n-start`): then the results file has to be named (`--out`).
Start molecules count as calls, and nothing is scored outside the budget. Runs go to processes of one thread each. A
finished run is a row of `data/results/pmo_BUDGET.csv` (columns: `pmo/results.py`); the same command goes on where it
was stopped, also within a run. A row is of one config, one model and one start file: when these change, it is run
again. Changes of the code do not show in a row's hash: `--fresh` runs again what is there. In the end the tables are
printed; those of a whole study, neither narrowed nor changed, are written beside the results, `pmo_STUDY.md`, with two
pictures, `pmo_STUDY_curves.svg` and `pmo_STUDY_sums.svg`. Published figures are those of
`data/results/pmo_published.csv`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from molvae.cli.faults import run_script
from molvae.core.config import load_config, parse_config
from molvae.core.devices import usable_cpus
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import write_text
from molvae.core.progress import progress
from pipelines.pmo.measure import MESSAGES, code_version, run_job
from pipelines.pmo.plots import bars, curves
from pipelines.pmo.processes import in_processes
from pipelines.pmo.results import Row, add_row, read_rows
from pipelines.pmo.study import Job, Study
from pipelines.pmo.tables import Results, published, report

STUDY = Path("configs/pmo/default_1000.toml")
RESULTS = Path("data/results")
RUNS = Path("runs/pmo")
CHANGING = ("set", "start", "n_start")  # options that make other searches of those that the study names
NARROWING = ("tasks", "methods", "seeds", "budget", *CHANGING)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("study", type=Path, metavar="CONFIG", nargs="?", default=STUDY, help=f"default: {STUDY}")
    found.add_argument("--tasks", nargs="+", metavar="TASK", help="only these")
    found.add_argument("--methods", nargs="+", metavar="NAME", help="only these of the study")
    found.add_argument("--seeds", nargs="+", type=int, metavar="SEED", help="these instead of the study's")
    found.add_argument("--budget", type=int, help="calls of a run, instead of the study's")
    found.add_argument("--start", type=Path, help="file of molecules to begin with, instead of the study's")
    found.add_argument("--n-start", type=int, help="how many of them")
    found.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of all searches")
    found.add_argument("--processes", type=int, default=usable_cpus(), help="runs at the same time")
    found.add_argument("--out", type=Path, help=f"results file, instead of {RESULTS}/pmo_BUDGET.csv")
    found.add_argument("--runs", type=Path, default=RUNS, help="folder for the run directories")
    found.add_argument("--fresh", action="store_true", help="run again what is there already")
    found.add_argument("--table-only", action="store_true", help="run nothing, print what is there")
    return found


def narrowed(study: Study, args: argparse.Namespace) -> Study:
    """The study that the options ask for.

    Raises:
        ConfigError: a task or a method is unknown, or rows of another study would take the place of the study's.
    """
    changed = [f"--{name.replace('_', '-')}" for name in CHANGING if getattr(args, name)]
    if changed and args.out is None:
        raise ConfigError(
            f"{', '.join(changed)}: would replace rows of {RESULTS} by those of other searches; "
            "name another file for them, such as --out trial.csv"
        )
    unknown = sorted(set(args.methods or ()) - set(study.methods))
    if unknown:
        raise ConfigError(f"{args.study}: no method {', '.join(unknown)}; there are {', '.join(study.methods)}")
    data = study.model_dump(mode="json", exclude_none=True)
    asked = {"tasks": args.tasks, "seeds": args.seeds, "budget": args.budget}
    data.update({key: value for key, value in asked.items() if value is not None})
    data["methods"] = {name: m for name, m in data["methods"].items() if args.methods is None or name in args.methods}
    start = {"file": args.start and str(args.start), "n": args.n_start}
    data["start"].update({key: value for key, value in start.items() if value is not None})
    data["overrides"] += args.set
    return parse_config(data, Study, str(args.study))


def run_all(jobs: Sequence[Job], runs: Path, out: Path, processes: int) -> int:
    """Run jobs in processes of their own and record each that is finished; returns how many failed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the processes: one core each
    work, failed = partial(run_job, runs=runs, code=code_version()), 0
    with progress(len(jobs), "PMO", "runs") as bar, closing(in_processes(work, jobs, processes)) as finished:
        for job, outcome in finished:
            if isinstance(outcome, Row):
                add_row(outcome, out)
                print(said(outcome), flush=True)
                bar.advance()
            else:  # the other runs go on, the same command tries this one again
                failed += 1
                where = f"{job.method}, {job.task}, seed {job.seed}"
                print(f"{where}: {outcome}; see {runs / job.folder / MESSAGES}", file=sys.stderr, flush=True)
    return failed


def said(row: Row) -> str:
    """One line for a finished run."""
    return (
        f"{row.method}, {row.task}, seed {row.seed}: AUC top-10 {row.auc_top10:.4f}, "
        f"best ten {row.top10_mean:.4f}, {row.seconds:.0f} s, {row.peak_mib} MiB"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not there yet; returns the exit code."""
    args = parser().parse_args(arguments)
    study = narrowed(load_config(args.study, Study), args)
    out = args.out or RESULTS / f"pmo_{study.budget}.csv"
    failed = 0 if args.table_only else run_missing(study, args, out)
    print(reported(study, args.study.stem, out, whole=not any(getattr(args, name) for name in NARROWING)))
    return 1 if failed else 0


def run_missing(study: Study, args: argparse.Namespace, out: Path) -> int:
    """Run the jobs of the study that have no row yet; returns how many failed."""
    rows = read_rows(out)
    jobs = list(study.jobs())
    todo = [job for job in jobs if args.fresh or not any(row.of(job) for row in rows.values())]
    if args.fresh:
        for job in todo:
            shutil.rmtree(args.runs / job.folder, ignore_errors=True)
    print(f"{len(jobs) - len(todo)} of {len(jobs)} runs are there; results go to {out}", flush=True)
    return run_all(todo, args.runs, out, args.processes) if todo else 0


def reported(study: Study, name: str, out: Path, whole: bool) -> str:
    """The tables of what is there; of a whole study they are also written beside the results file, with pictures.

    Raises:
        DataError: the rows began with molecules of different files.
    """
    hashes = study.hashes()
    rows = [r for r in read_rows(out).values() if r.config == hashes.get(r.method) and r.budget == study.budget]
    rows = [r for r in rows if r.seed in study.seeds and r.task in study.tasks]
    if len({r.start for r in rows}) > 1:
        raise DataError(f"{out}: these runs began with different files; run the study again with one start file")
    results, others = Results(rows, list(study.methods), study.tasks, study.budget), published(study.budget)
    text = report(results, others, f"Study {name}")
    if whole and results.common:
        write_text(out.with_name(f"pmo_{name}.md"), text)
        write_text(out.with_name(f"pmo_{name}_curves.svg"), curves(results))
        write_text(out.with_name(f"pmo_{name}_sums.svg"), bars(results, others))
    return text


if __name__ == "__main__":
    sys.exit(run_script(main))
