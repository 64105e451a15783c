"""What a proposal is worth: each kind of it, from the states that searches were in, judged by the oracle itself.

    python -m pipelines.benchmark_pmo configs/pmo/default_1000.toml --seeds 0
    python -m pipelines.benchmark_proposals runs/pmo/molvae-*-0-1000-* --calls 300

Of each run, the first `--calls` molecules are what is known, and the best 100 of them are parents, drawn as the search
draws them. Each kind of proposal makes `--n`, and so does each of the moves that graph_mutation draws from, alone and
once ("move: ..."). Means over the runs:

    new         share of the proposals that are valid, acceptable to the run, distinct and not known
    better      how many of 1,000 proposals are new and score above the tenth best of what is known
    ms          processor time of a proposal on one thread, sifting not included; posteriors of the parents are known
    better / s  how many better ones a second of one thread makes

With `--inversion` latent moves begin at points that decode to the parents, found by so many gradient steps at most.
Oracle calls here are outside any budget: this measures proposals, it does not search. The share of the parents that the
model gets back from their own latent points is printed as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch

from molvae.cli.faults import run_script
from molvae.core.config import load_config
from molvae.core.errors import DataError
from molvae.core.files import CONFIG
from molvae.core.progress import progress
from molvae.search.ask_tell import sift
from molvae.search.build import acceptance, load_model
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import build_constraints
from molvae.search.graph_moves import MOVES, moved
from molvae.search.latent import LatentMove, LatentProposals, LatentSpace
from molvae.search.outputs import AS_TEXT
from molvae.search.proposals import Parents, Proposer
from molvae.search.specs import ProposerSpec
from molvae.search.structural import GraphMutation

SPECS = tuple(spec() for spec in get_args(get_args(ProposerSpec)[0]))  # every kind there is
PARENTS = 100
TOP = 10  # a better molecule joins so many best ones


def all_proposers(space: LatentSpace) -> dict[str, Proposer]:
    """Each kind by its name in a config, then each move."""
    built = {spec.kind: spec.build(space) for spec in SPECS}
    kinds = {
        kind: LatentProposals(space, [(part, 1.0)]) if isinstance(part, LatentMove) else part
        for kind, part in built.items()
    }
    moves = {f"move: {move.__name__}": GraphMutation(repeat=0.0, edit=partial(moved, move)) for move in MOVES}
    return kinds | moves


def known_molecules(run_dir: Path, calls: int) -> pd.DataFrame:
    """The first molecules of a run, in call order.

    Raises:
        DataError: the run is not there, or has fewer calls.
    """
    table = run_dir / AS_TEXT
    if not table.exists():
        raise DataError(f"{run_dir}: expected the directory of a finished search, with {AS_TEXT} in it")
    known = pd.read_csv(table).sort_values("call").head(calls)
    if len(known) < calls or known["value"].count() < TOP:
        raise DataError(f"{run_dir}: expected {calls} calls with {TOP} scores; got {len(known)}; try another --calls")
    return known


def reconstructed(parents: Parents, space: LatentSpace) -> float:
    """Share of the parents that greedy decoding of their posterior mean gives back."""
    mean, _ = space.posterior(parents.smiles)
    return float(np.mean([a == b for a, b in zip(space.model.decode(mean), parents.smiles, strict=True)]))


def measure(run_dir: Path, calls: int, n: int, seed: int, space: LatentSpace) -> pd.DataFrame:
    """A row for each kind of proposal, from one state."""
    known = known_molecules(run_dir, calls)
    best = known.dropna(subset="value").sort_values("value", ascending=False, kind="stable")
    parents, tenth = Parents(tuple(best["smiles"].head(PARENTS))), best["value"].iloc[TOP - 1]
    config = load_config(run_dir / CONFIG, OptimiseConfig)
    scored, rows = set(known["smiles"]), []
    with config.oracle.build() as oracle:
        rules, _ = build_constraints(config.search.constraints, oracle)
        accept = acceptance(config.search, rules)
        share = reconstructed(parents, space)
        for kind, proposer in all_proposers(space).items():
            began = time.process_time()
            drawn = proposer.propose(parents, n, np.random.default_rng(seed))
            seconds = time.process_time() - began
            new, _mols = sift(drawn, scored.__contains__, accept)
            scores = oracle([candidate.smiles for candidate in new])
            figures = {"new": len(new) / n, "better": 1000 * np.sum(scores > tenth) / n, "ms": 1000 * seconds / n}
            rows.append({"run": run_dir.name, "proposal": kind, **figures, "reconstructed": share})
    return pd.DataFrame(rows)


def summary(rows: pd.DataFrame) -> str:
    """Means over the runs, the kind that makes the most better ones in a second first."""
    table = rows.groupby("proposal")[["new", "better", "ms"]].mean()
    table["better / s"] = table["better"] / table["ms"]
    table = table.sort_values("better / s", ascending=False)
    share = rows.groupby("run")["reconstructed"].first().mean()
    text = table.to_string(float_format="{:.2f}".format)
    return f"{rows['run'].nunique()} runs; the model reconstructs {share:.1%} of the parents\n{text}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="directory of a finished search")
    parser.add_argument("--calls", type=int, default=300, help="molecules of each run that are known")
    parser.add_argument("--n", type=int, default=300, help="proposals of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inversion", type=int, default=0, help="gradient steps, at most, to a point of each parent")
    parser.add_argument("--weights", default="zinc250k")
    parser.add_argument("--out", type=Path, help="a CSV file to write, a row for each run and kind")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    space = LatentSpace(load_model(args.weights, "cpu"), args.inversion)
    tables = []
    with progress(len(args.runs), "states", "runs") as bar:
        for run_dir in args.runs:
            tables.append(measure(run_dir, args.calls, args.n, args.seed, space))
            bar.advance()
    rows = pd.concat(tables)
    if args.out is not None:
        rows.to_csv(args.out, index=False, float_format="%.6f")
    print(summary(rows))


if __name__ == "__main__":
    sys.exit(run_script(main))
