"""How well a model keeps molecules it has not seen.

    python -m pipelines.evaluate_model --weights zinc250k --data zinc250k.csv.gz --split test

Prints, and writes with --out, exact reconstruction, likelihood bounds in nats per molecule, and the use of the latent
dimensions, on the rows of one split of a file with the columns `smiles` and `split`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from molvae.core.files import write_json
from molvae.data.readers import read_rows
from molvae.evaluation.likelihood import evaluate
from molvae.generation import load


def held_out(path: Path, split: str | None, column: str = "smiles") -> list[str]:
    """The SMILES of one split of a file, or of all its rows."""
    if split is None:
        return [row.cells[0] for row in read_rows(path, [column])]
    return [row.cells[0] for row in read_rows(path, [column, "split"]) if row.cells[1] == split]


def main() -> None:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="zinc250k", help="name of shipped weights, or a model directory")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default=None, help="only rows with this value in the column `split`")
    parser.add_argument("--n", type=int, default=None, help="only the first n of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="a JSON file to write")
    args = parser.parse_args()
    smiles = held_out(args.data, args.split)[: args.n]
    result: dict[str, Any] = evaluate(load(args.weights), smiles, seed=args.seed).as_dict()
    for name, value in result.items():
        if name != "rate_by_dimension_nats":
            print(f"{name:24s} {value:.4f}" if isinstance(value, float) else f"{name:24s} {value}")
    rates = sorted(result["rate_by_dimension_nats"])
    print(f"{'rate by dimension, nats':24s} {rates[0]:.2f} .. {rates[len(rates) // 2]:.2f} .. {rates[-1]:.2f}")
    if args.out is not None:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
