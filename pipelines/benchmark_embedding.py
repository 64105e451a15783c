"""How well latent points predict a measured property, beside fingerprints, under one protocol.

    python -m pipelines.benchmark_embedding Lipophilicity.csv --value exp

The file has a column of SMILES and one of measured values. The figures in the README are for MoleculeNet's
Lipophilicity (4,200 logD at pH 7.4), which is to be had at
https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/Lipophilicity.csv (from ChEMBL, CHEMBL3301361, CC BY-SA 3.0).

Protocol, the same for every representation:
* representations: latent points (posterior means), 2,048-bit ECFP4, and both side by side. Each is centred and divided
  by the root of its total variance over the train rows, so that both weigh the same when they stand side by side;
* heads: "ridge", linear, and "kernel", kernel ridge with a Gaussian kernel;
* split by Bemis-Murcko scaffold, 80:10:10, once for each seed; what a head leaves open (penalty, width) is chosen by R2
  on the valid rows; the test rows are looked at once;
* rows that the model cannot read (unknown token, too long, several fragments) are counted by reason and left out for
  every representation. A second table is for all rows: there such a molecule has the mean point of the train rows.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from scipy.linalg import solve
from sklearn.metrics import r2_score

from molvae.chem.fingerprints import generator
from molvae.cli.faults import run_script
from molvae.core.errors import DataError, MoleculeError
from molvae.core.files import write_json
from molvae.core.progress import progress
from molvae.core.tables import read_rows
from molvae.data.splits import scaffold
from molvae.generation import MoleculeVAE, load

Rows = NDArray[np.intp]
Matrix = NDArray[np.float32]
REPRESENTATIONS: dict[str, tuple[str, ...]] = {"latent": ("latent",), "ecfp4": ("ecfp4",), "both": ("latent", "ecfp4")}
RIDGE_PENALTIES = tuple(10.0**i for i in range(-3, 4))
KERNEL_PENALTIES, KERNEL_WIDTHS = (0.03, 0.1, 0.3, 1.0), (0.5, 1.0, 2.0)
SHARES = (0.8, 0.1)  # train, valid


@dataclass(frozen=True)
class Result:
    """R2 on the test rows, one value a seed."""

    rows: str
    representation: str
    head: str
    r2: list[float]

    def __str__(self) -> str:
        mean, spread = np.mean(self.r2), np.std(self.r2)
        return f"{self.rows:8s} {self.head:7s} {self.representation:7s} {mean:6.3f} +- {spread:.3f}"


def read(path: Path, column: str, value: str) -> tuple[list[str], NDArray[np.float64]]:
    """SMILES that RDKit parses, and their values (N,); other rows are left out.

    Raises:
        DataError: a value is no number, or there are too few rows.
    """
    smiles, values = [], []
    for row in read_rows(path, [column, value]):
        if Chem.MolFromSmiles(row.cells[0]) is None:
            continue
        try:
            values.append(float(row.cells[1]))
        except ValueError:
            raise DataError(f"{path}: row {row.number}: {value} is no number: {row.cells[1]!r}") from None
        smiles.append(row.cells[0])
    if len(smiles) < 50:
        raise DataError(f"{path}: {len(smiles)} molecules; expected at least 50 to train and test on")
    return smiles, np.array(values)


def ecfp4(smiles: Sequence[str]) -> Matrix:
    """Morgan fingerprints of radius 2, (N, 2048) bits."""
    bits = generator("ECFP4").GetFingerprintAsNumPy
    return np.stack([bits(Chem.MolFromSmiles(s)) for s in smiles]).astype(np.float32)


def latent(vae: MoleculeVAE, smiles: Sequence[str]) -> tuple[Matrix, dict[str, int]]:
    """Posterior means (N, Z), nan where the model cannot read the molecule, and how often for which reason."""
    z = vae.embed(smiles, on_invalid="nan")
    reasons: Counter[str] = Counter()
    for i in np.flatnonzero(np.isnan(z[:, 0])).tolist():
        try:
            vae.tokenizer.encode(smiles[i])
        except MoleculeError as error:
            reasons[error.reason.split(" (")[0]] += 1
    return z, dict(reasons)


def scaffold_split(scaffolds: Sequence[str], seed: int) -> tuple[Rows, Rows, Rows]:
    """Rows for train, valid and test; molecules of one scaffold stay together.

    Scaffolds come in random order, but for those that would fill more than half of a test set: these go to train.
    """
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(scaffolds):
        groups.setdefault(name, []).append(i)
    rng = np.random.default_rng(seed)
    names = [list(groups)[i] for i in rng.permutation(len(groups))]
    n, (n_train, n_valid) = len(scaffolds), (round(share * len(scaffolds)) for share in SHARES)
    large = [name for name in names if len(groups[name]) > (n - n_train - n_valid) / 2]
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for name in [*large, *(name for name in names if name not in large)]:
        rows = groups[name]
        if len(parts[0]) + len(rows) <= n_train or name in large:
            parts[0].extend(rows)
        else:
            parts[1 if len(parts[1]) + len(rows) <= n_valid else 2].extend(rows)
    train, valid, test = (np.sort(np.array(part, dtype=np.intp)) for part in parts)
    return train, valid, test


def normalised(x: Matrix, train: Rows) -> Matrix:
    """Centred and scaled by the train rows, whose squared length is 1 on average; nan becomes the mean, that is, 0."""
    centred = np.nan_to_num(x - np.nanmean(x[train], axis=0))
    scaled: Matrix = centred / np.sqrt(np.square(centred[train]).sum(1).mean())
    return scaled


def squared_distances(a: Matrix, b: Matrix) -> Matrix:
    """(N, M) for a (N, D) and b (M, D)."""
    distances: Matrix = np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T, 0)
    return distances


# Heads: for each of their settings, fitted on the train rows of x (N, D), predictions for all rows. x and the target
# have a mean of zero over the train rows, so no intercept is needed.


def ridge(x: Matrix, train: Rows, target: Matrix) -> Iterator[Matrix]:
    """Linear ridge regression."""
    gram, right = x[train].T @ x[train], x[train].T @ target
    for penalty in RIDGE_PENALTIES:
        yield x @ solve(gram + penalty * np.eye(len(gram), dtype=np.float32), right, assume_a="pos")


def kernel_ridge(x: Matrix, train: Rows, target: Matrix) -> Iterator[Matrix]:
    """Kernel ridge regression with a Gaussian kernel (the mean of a Gaussian process)."""
    distances = squared_distances(x, x[train])
    for width in KERNEL_WIDTHS:
        kernel = np.exp(distances / (-2 * width**2))
        for penalty in KERNEL_PENALTIES:
            noise = penalty * np.eye(len(train), dtype=np.float32)
            yield kernel @ solve(kernel[train] + noise, target, assume_a="pos")


HEADS: dict[str, Callable[[Matrix, Rows, Matrix], Iterator[Matrix]]] = {"ridge": ridge, "kernel": kernel_ridge}


def score(head: str, blocks: Sequence[Matrix], y: NDArray[np.float64], parts: tuple[Rows, Rows, Rows]) -> float:
    """R2 on the test rows with the setting that is best on the valid rows.

    Raises:
        DataError: the scaffolds are too few to split by.
    """
    train, valid, test = parts
    if min(map(len, parts)) < 2:
        raise DataError(f"train, valid and test have {list(map(len, parts))} rows; too few scaffolds to split by")
    x = np.concatenate([normalised(block, train) for block in blocks], axis=1)
    centre = y[train].mean()
    found = [centre + p for p in HEADS[head](x, train, (y[train] - centre).astype(np.float32))]
    best = max(found, key=lambda p: r2_score(y[valid], p[valid]))
    return float(r2_score(y[test], best[test]))


def benchmark(
    blocks: dict[str, Matrix], y: NDArray[np.float64], scaffolds: Sequence[str], n_seeds: int, heads: Sequence[str]
) -> Iterator[Result]:
    """All representations and heads, on the rows that the model can read and, for ridge, on all rows."""
    readable: NDArray[np.bool_] = np.isfinite(blocks["latent"][:, 0])
    tasks = [("readable", name, head) for head in heads for name in REPRESENTATIONS]
    if not readable.all() and "ridge" in heads:
        tasks += [("all", name, "ridge") for name in REPRESENTATIONS]
    with progress(len(tasks) * n_seeds, "fitting", "models") as bar:
        for rows, name, head in tasks:
            scores = []
            for seed in range(n_seeds):
                split = scaffold_split(scaffolds, seed)  # of all rows, so that both tables share their splits
                train, valid, test = (part if rows == "all" else part[readable[part]] for part in split)
                chosen = [blocks[block] for block in REPRESENTATIONS[name]]
                scores.append(score(head, chosen, y, (train, valid, test)))
                bar.advance(1)
            yield Result(rows, name, head, [round(value, 4) for value in scores])


def main(arguments: Sequence[str] | None = None) -> None:
    """Benchmark and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a .csv, .tsv or .parquet file, plain or .gz")
    parser.add_argument("--value", required=True, help="column of the measured value")
    parser.add_argument("--column", default="smiles", help="column of the SMILES")
    parser.add_argument("--weights", default="zinc250k", help="name of shipped weights, or a model directory")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--out", type=Path, default=None, help="a JSON file to write")
    args = parser.parse_args(arguments)
    smiles, y = read(args.data, args.column, args.value)
    z, reasons = latent(load(args.weights), smiles)
    lost = ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items(), key=lambda item: -item[1]))
    print(f"{len(smiles):,} molecules, {sum(reasons.values()):,} of them not readable by the model ({lost or 'none'})")
    print(f"R2 on test, mean +- standard deviation over {args.seeds} scaffold splits", flush=True)
    blocks, scaffolds, results = {"latent": z, "ecfp4": ecfp4(smiles)}, [scaffold(s) for s in smiles], []
    for result in benchmark(blocks, y, scaffolds, args.seeds, args.heads):
        results.append(result)
        print(result, flush=True)
    if args.out is not None:
        record: dict[str, Any] = {"n_molecules": len(smiles), "not_readable": reasons}
        write_json(args.out, {**record, "results": [asdict(result) for result in results]})


if __name__ == "__main__":
    sys.exit(run_script(main))
