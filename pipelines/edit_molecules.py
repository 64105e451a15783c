"""The molecules of a file, and edits of those to train on: for a model that also knows what a search arrives at.

    python -m pipelines.edit_molecules downloads/zinc250k.csv.gz --n 150000 --out prepared/zinc250k_edited.csv

A search soon stands far from the molecules its model was trained on, and there the model reconstructs nothing. The
edits are those the search proposes with (`search/graph_moves.py`), in chains: a molecule of the split "train" is
mutated, or crossed with another one of that split, then its child, and so on. No oracle is asked. The molecules of the
splits "valid" and "test" are no parents, and an edit that equals one of them is dropped. The output has the columns of
the input, `smiles` and `split`; edits belong to "train".
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from rdkit import Chem

from molvae.chem.molecules import canonical, has_radicals, parse
from molvae.cli.faults import run_script
from molvae.core.errors import DataError
from molvae.core.files import atomic_path
from molvae.core.progress import progress
from molvae.core.tables import read_rows
from molvae.search.graph_crossover import crossover
from molvae.search.graph_moves import mutate
from molvae.search.graphs import editable

STEPS = 8  # of a chain
CROSSING = 0.25  # share of the steps that take a second parent
LARGEST = 50  # heavy atoms


def edited(molecules: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Canonical SMILES of chains of edits that begin with random `molecules`, without end; repetitions included."""

    def drawn() -> Chem.Mol | None:
        mol = parse(molecules[int(rng.integers(len(molecules)))])
        return None if mol is None else editable(mol)

    while True:
        current = drawn()
        for _ in range(STEPS):
            if current is None:
                break
            other = drawn() if rng.random() < CROSSING else None
            child = mutate(current, rng) if other is None else crossover(current, other, rng)
            smiles = "" if child is None else Chem.MolToSmiles(child)
            mol = parse(smiles)
            if mol is None or has_radicals(mol, smiles) or mol.GetNumHeavyAtoms() > LARGEST:
                break
            yield Chem.MolToSmiles(mol)
            current = editable(mol)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("molecules", type=Path, help="file with the columns smiles and split")
    parser.add_argument("--n", type=int, default=150_000, help="distinct edits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)

    rows = [row.cells for row in read_rows(args.molecules, ["smiles", "split"])]
    parents = [smiles for smiles, split in rows if split == "train"]
    if not parents:
        raise DataError(f"{args.molecules}: no row has 'train' in the column 'split'; there is nothing to edit")
    taken = {canonical(smiles) for smiles, _ in rows}
    source = edited(parents, np.random.default_rng(args.seed))
    distinct = (s for s in source if s not in taken and not taken.add(s))  # type: ignore[func-returns-value]
    with atomic_path(args.out) as temporary, open(temporary, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["smiles", "split"])
        writer.writerows(rows)
        with progress(args.n, "edits", "molecules") as bar:
            for smiles in islice(distinct, args.n):
                writer.writerow([smiles, "train"])
                bar.advance()
    print(f"{args.out}: {len(rows):,} molecules of {args.molecules} and {args.n:,} edits")


if __name__ == "__main__":
    sys.exit(run_script(main))
