"""How well a model keeps molecules it has not seen, and what its prior draws are like.

    python -m pipelines.evaluate_model --weights zinc250k --data zinc250k.csv.gz --split test

Prints, and writes with --out, exact reconstruction, likelihood bounds in nats per molecule, and the use of the latent
dimensions, on one split of a prepared directory or of a file with the columns `smiles` and `split`; and MOSES' metrics
of molecules decoded from prior draws, compared with the same molecules (novelty is against those of the train split, if
there is one).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molvae.cli.faults import run_script
from molvae.core.files import write_json
from molvae.core.tables import column_names, read_split
from molvae.data.prepared import prepared_smiles
from molvae.data.shards import read_manifest
from molvae.evaluation.distribution import compare
from molvae.evaluation.held_out import held_out
from molvae.evaluation.likelihood import evaluate
from molvae.generation import MoleculeVAE, load


def draws(
    vae: MoleculeVAE, n: int, temperature: float | None, reference: list[str], train: list[str] | None, seed: int
) -> dict[str, Any]:
    """Metrics of `n` prior draws, what spells no molecule included; decoded greedily, or drawn at a temperature."""
    decoded = vae.decode(vae.prior(n, seed), temperature, rng=seed)
    return {"temperature": temperature, **compare(decoded, reference, train).as_dict()}


def learnt_from(source: Path) -> list[str]:
    """The molecules of the train split; none where there is no such split."""
    if source.is_dir():
        return list(prepared_smiles(source, "train")) if "train" in read_manifest(source)["splits"] else []
    return list(read_split(source, "smiles", "train")) if "split" in column_names(source) else []


def show(result: dict[str, Any], indent: str = "") -> None:
    """Print numbers, one a line."""
    for name, value in result.items():
        if isinstance(value, dict):
            print(f"{indent}{name}")
            show(value, indent + "  ")
        elif not isinstance(value, list):
            print(f"{indent}{name:24s} {value:.4f}" if isinstance(value, float) else f"{indent}{name:24s} {value}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="zinc250k", help="name of shipped weights, or a model directory")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default=None, help="only rows with this value in the column `split`")
    parser.add_argument("--n", type=int, default=None, help="only the first n of them")
    parser.add_argument("--samples", type=int, default=1000, help="prior draws to look at (0: none)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="a JSON file to write")
    args = parser.parse_args(arguments)
    vae, smiles = held_out(load(args.weights), args.data, split=args.split, n=args.n)
    result: dict[str, Any] = evaluate(vae, smiles, seed=args.seed).as_dict()
    if args.samples and not vae.properties:  # a conditional model has no draws without a target
        train = learnt_from(args.data)
        for name, temperature in (("prior_greedy", None), ("prior_sampled", 1.0)):
            result[name] = draws(vae, args.samples, temperature, smiles, train or None, args.seed)
    show(result)
    rates = sorted(result["rate_by_group_nats"])
    print(f"{'rate by group, nats':24s} {rates[0]:.2f} .. {rates[len(rates) // 2]:.2f} .. {rates[-1]:.2f}")
    if args.out is not None:
        write_json(args.out, result)


if __name__ == "__main__":
    sys.exit(run_script(main))
