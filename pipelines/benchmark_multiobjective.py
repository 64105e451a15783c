"""How much hypervolume does a search with several objectives reach in 2,000 oracle calls?

    python -m pipelines.benchmark_multiobjective
    python -m pipelines.benchmark_multiobjective --budget 200 --problems two_targets --methods chebyshev nsga2_graph
    python -m pipelines.benchmark_multiobjective --seeds 0 1 2 --start downloads/zinc250k.csv.gz

Every objective lies in 0 to 1 and is maximised, and the reference point is the origin: hypervolume is a share of the
unit cube. All methods begin with the same molecules, which count as calls. Methods: the Tanimoto process with random
Chebyshev scalarisations, and with qLogNEHVI; NSGA-II of Optuna on latent coordinates that the shipped model decodes;
NSGA-II on molecular graphs; random latent draws. Runs go to processes of one thread each; a finished run is a row of
the CSV file, and the same command goes on where it was stopped, also within a run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.cli.faults import run_script
from molvae.core.devices import usable_cpus
from molvae.core.files import METRICS, read_json
from molvae.oracles.guacamol import TARGETS
from pipelines.rows import completed


def scaled(name: str, worst: float, best: float) -> dict[str, Any]:
    """A property as an objective: 0 at `worst` and beyond, 1 at `best` and beyond, linear between."""
    modifier = {"kind": "clip", "lower": worst, "upper": best}
    return {"kind": "desirability", "terms": [{"component": {"kind": "property", "name": name}, "modifier": modifier}]}


def similarity(target: str) -> dict[str, Any]:
    """Tanimoto similarity to one of the molecules of GuacaMol, ECFP4 counts."""
    return {"kind": "named", "name": "similarity", "parameters": {"target": TARGETS[target]}}


QED = {"kind": "named", "name": "qed"}

PROBLEMS: dict[str, dict[str, dict[str, Any]]] = {
    "qed_sa_similarity": {"qed": QED, "ease": scaled("sa", 10.0, 1.0), "osimertinib": similarity("osimertinib")},
    "two_targets": {"celecoxib": similarity("celecoxib"), "troglitazone": similarity("troglitazone")},
    "logp_tpsa_qed": {"logp": scaled("logp", 0.0, 6.0), "tpsa": scaled("tpsa", 0.0, 160.0), "qed": QED},
}

METHODS: dict[str, tuple[int, dict[str, Any]]] = {  # batch size, [method]
    "chebyshev": (2, {"kind": "bayesian", "acquisition": {"kind": "chebyshev"}}),
    "qlog_nehvi": (2, {"kind": "bayesian", "acquisition": {"kind": "qlog_nehvi"}}),
    "nsga2_latent": (50, {"kind": "optuna", "sampler": "nsga2"}),
    "nsga2_graph": (50, {"kind": "evolution"}),
    "random": (50, {"kind": "prior"}),
}


VOLUMES = ("hypervolume_quarter", "hypervolume_half", "hypervolume")


@dataclass(frozen=True)
class Job:
    """One search."""

    problem: str
    method: str
    seed: int
    budget: int
    start: str
    n_start: int


@dataclass(frozen=True)
class Row(Job):
    """What came of it: hypervolume after a quarter, half and all of the calls, size of the front, wall time."""

    hypervolume_quarter: float
    hypervolume_half: float
    hypervolume: float
    front: int
    seconds: float


def config_of(job: Job) -> dict[str, Any]:
    """The config of a search, as TOML would give it."""
    objectives, (batch_size, method) = PROBLEMS[job.problem], METHODS[job.method]
    start: dict[str, Any] = {"n": job.n_start, **({"file": job.start} if job.start else {})}
    return {
        "seed": job.seed,
        "device": "cpu",
        "oracle": {"kind": "stacked", "oracles": list(objectives.values()), "names": list(objectives)},
        "search": {
            "budget": job.budget,
            "batch_size": batch_size,
            "hardest": 10.0,  # no bound: one of the objectives is the SA score
            "reference": [0.0] * len(objectives),
            "start": start,
            "pictures": 0,
        },
        "method": method,
    }


def run_job(job: Job, directory: Path) -> Row:
    """Run or continue one search; called in a process of its own."""
    import torch

    from molvae.core.config import parse_config
    from molvae.search.config import OptimiseConfig
    from molvae.search.run import run

    torch.set_num_threads(1)
    run_dir = directory / f"{job.problem}-{job.method}-{job.seed}-{job.budget}"
    config = parse_config(config_of(job), OptimiseConfig)
    result = run(config, run_dir)
    volumes = [
        replace(result, records=result.records[: round(share * job.budget)]).hypervolume(config.search.reference)
        for share in (0.25, 0.5, 1.0)
    ]
    seconds = float(read_json(run_dir / METRICS)["seconds"])
    return Row(**asdict(job), **dict(zip(VOLUMES, volumes, strict=True)), front=len(result.pareto()), seconds=seconds)


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """All searches asked for."""
    for seed in args.seeds:
        for problem in args.problems:
            for method in args.methods:
                yield Job(problem, method, seed, args.budget, str(args.start or ""), args.n_start)


def summary(rows: Sequence[Row]) -> str:
    """A table for each problem: means over seeds, and the deviation of the final hypervolume."""
    frame = pd.DataFrame([asdict(row) for row in rows])
    parts = []
    for (problem, budget), group in frame.groupby(["problem", "budget"]):
        by_method = group.groupby("method")
        table = by_method[[*VOLUMES, "front", "seconds"]].mean()
        table.insert(3, "deviation", by_method["hypervolume"].std())
        table = table.sort_values("hypervolume", ascending=False)
        seeds = sorted(set(group["seed"]))
        text = table.to_string(float_format="{:.4f}".format, na_rep="-")
        parts.append(f"{problem}, {budget} calls, seeds {seeds}\n{text}")
    return "\n\n".join(parts)


def say(row: Row) -> None:
    """What came of a run, in a line."""
    print(f"{row.problem}, {row.method}, seed {row.seed}: {row.hypervolume:.4f}", flush=True)


def command_line() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=2000, help="oracle calls a run")
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    usual = ["chebyshev", "nsga2_latent", "nsga2_graph"]
    parser.add_argument("--methods", nargs="+", default=usual, choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--start", type=Path, help="file of molecules to begin with, instead of samples of the model")
    parser.add_argument("--n-start", type=int, default=50, help="how many molecules to begin with")
    parser.add_argument("--processes", type=int, default=usable_cpus())
    parser.add_argument("--out", type=Path, default=Path("runs/multiobjective"), help="folder for runs and results.csv")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run what is not there yet, print the table; returns 1 where a run failed."""
    args = command_line().parse_args(arguments)
    table, wanted = args.out / "results.csv", list(jobs(args))
    work = partial(run_job, directory=args.out)
    if rows := completed(work, wanted, table, Job, Row, args.processes, jobs_each=1, say=say):
        print(summary(rows))
    return int(len(rows) < len(wanted))


if __name__ == "__main__":
    sys.exit(run_script(main))
