"""How well many workers are kept busy: wall time of a search against calls x seconds / workers.

    python -m pipelines.benchmark_async --calls 400 --seconds 1 --workers 8

The oracle sleeps, in processes of its own as any slow oracle would run; the proposals are structural, and small
enough not to be the bottleneck. Target: a ratio of at most 1.15, the start of the processes included. With --in-flight
scores are told in the order of proposals, so that the search can be repeated.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from molvae.cli.faults import run_script
from molvae.core.files import write_json
from molvae.oracles import oracle
from molvae.search import SearchResult, optimise
from molvae.search.bayesian import InnerSpec
from molvae.search.methods import BayesianSpec
from molvae.search.specs import GraphCrossoverSpec, GraphMutationSpec
from molvae.search.start import StartSpec, start_molecules

METHOD = BayesianSpec(
    inner=InnerSpec(generations=1, candidates=24, reserve=0), proposers=(GraphMutationSpec(), GraphCrossoverSpec())
)


def measure(
    calls: int, seconds: float, workers: int, in_flight: int | None, start: Path, seed: int
) -> tuple[SearchResult, float]:
    """The search with a sleeping oracle, and its wall time in seconds."""

    def sleepy(smiles: str) -> float:
        time.sleep(seconds)
        return min(len(smiles), 40) / 40

    molecules = start_molecules(StartSpec(file=start, n=30), None, seed)
    slow = oracle(sleepy, timeout_seconds=10 * seconds + 10)
    began = time.perf_counter()
    result = optimise(
        slow, calls, seed=seed, start=molecules, batch_size=workers, method=METHOD, workers=workers, in_flight=in_flight
    )
    return result, time.perf_counter() - began


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the ratio; with --out, write it, too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=1.0, help="that the oracle takes for a molecule")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--in-flight", type=int, help="molecules on their way, told in the order of proposals")
    parser.add_argument("--start", type=Path, default=Path("data/sample.smi"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    args = parser.parse_args(arguments)
    result, wall = measure(args.calls, args.seconds, args.workers, args.in_flight, args.start, args.seed)
    ideal = args.calls * args.seconds / args.workers
    figures = {
        "calls": len(result.records),
        "distinct": len(set(result.smiles)),
        "workers": args.workers,
        "in_flight": args.in_flight,
        "oracle_seconds": args.seconds,
        "wall_seconds": round(wall, 2),
        "ideal_seconds": round(ideal, 2),
        "ratio": round(wall / ideal, 3),
    }
    print(", ".join(f"{name} {value}" for name, value in figures.items()))
    if args.out is not None:
        write_json(args.out, figures)


if __name__ == "__main__":
    sys.exit(run_script(main))
