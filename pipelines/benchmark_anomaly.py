"""How well are molecules told apart from those of ZINC250k?

    python -m pipelines.benchmark_anomaly --ordinary zinc250k.csv.gz --others others.csv

`--ordinary` has the columns `smiles` and `split`: the detectors are fitted on molecules of its valid split, and the
test split is what they should let pass. `--others` has the columns `smiles` and `class`: molecules that they should
not. The figure is the area under the ROC curve (0.5: chance), a line for each class, beside

* log p: the likelihood bound alone, in nats per molecule;
* nearest: Tanimoto similarity (ECFP4, 2,048 bits) to the nearest of the molecules fitted on;
* forest: scikit-learn's IsolationForest on the latent points.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rdkit import Chem, DataStructs
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score

from molvae.anomaly import MoleculeOutliers
from molvae.chem.fingerprints import generator
from molvae.cli.faults import run_script
from molvae.core.errors import DataError
from molvae.core.files import write_json
from molvae.core.tables import read_rows, read_split

Scores = Callable[[list[str]], np.ndarray]  # the larger, the more ordinary


def detectors(fitted_on: list[str], weights: str, seed: int) -> dict[str, Scores]:
    """Each detector by name."""
    outliers = MoleculeOutliers(weights, seed=seed).fit(fitted_on)
    vae, ecfp4 = outliers.vae, generator("ECFP4").GetFingerprint
    points = vae.embed(fitted_on, "nan")
    forest = IsolationForest(random_state=seed).fit(points[np.isfinite(points).all(axis=1)])
    known = [ecfp4(mol) for smiles in fitted_on if (mol := Chem.MolFromSmiles(smiles)) is not None]

    def log_prob(smiles: list[str]) -> np.ndarray:
        return np.nan_to_num(vae.log_prob(smiles, 16, seed, on_invalid="nan"), nan=-np.inf)

    def nearest(smiles: list[str]) -> np.ndarray:
        mols = [Chem.MolFromSmiles(each) for each in smiles]
        found = [-1.0 if m is None else max(_similar(ecfp4(m), known)) for m in mols]
        return np.array(found)

    def forest_scores(smiles: list[str]) -> np.ndarray:
        z = vae.embed(smiles, "nan")
        scores, readable = np.full(len(z), -np.inf), np.isfinite(z).all(axis=1)
        if readable.any():
            scores[readable] = forest.score_samples(z[readable])
        return scores

    return {"molvae": outliers.score_samples, "log p": log_prob, "nearest": nearest, "forest": forest_scores}


def _similar(fingerprint: object, others: list[object]) -> list[float]:
    return DataStructs.BulkTanimotoSimilarity(fingerprint, others)  # type: ignore[no-any-return]


def by_class(path: Path, most: int, seed: int) -> dict[str, list[str]]:
    """At most so many molecules of each class, drawn by the seed.

    Raises:
        DataError: the file holds no molecules.
    """
    frame = pd.DataFrame([row.cells for row in read_rows(path, ["smiles", "class"])], columns=["smiles", "class"])
    if frame.empty:
        raise DataError(f"{path}: no rows; expected molecules with the columns smiles and class")
    groups = frame.groupby("class").smiles
    return {str(name): group.sample(min(most, len(group)), random_state=seed).tolist() for name, group in groups}


def areas(scorers: dict[str, Scores], ordinary: list[str], others: dict[str, list[str]]) -> pd.DataFrame:
    """Area under the ROC curve of each detector (columns) on each class (rows), and their means."""
    passed = {name: score(ordinary) for name, score in scorers.items()}
    rows = {}
    for kind, molecules in others.items():
        truth = [1] * len(ordinary) + [0] * len(molecules)
        both = {name: np.concatenate([passed[name], score(molecules)]) for name, score in scorers.items()}
        rows[kind] = {name: roc_auc_score(truth, _finite(values)) for name, values in both.items()}
    table = pd.DataFrame(rows).T
    table.loc["mean"] = table.mean()
    return table


def _finite(scores: np.ndarray) -> np.ndarray:
    """What cannot be read below everything else."""
    return np.nan_to_num(scores, neginf=scores[np.isfinite(scores)].min() - 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ordinary", type=Path, required=True)
    parser.add_argument("--others", type=Path, required=True)
    parser.add_argument("--weights", default="zinc250k", help="name of shipped weights, or a model directory")
    parser.add_argument("--n", type=int, default=1000, help="molecules of valid and of test (default 1000 each)")
    parser.add_argument("--most", type=int, default=300, help="molecules of each class, at most (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="a JSON file to write")
    args = parser.parse_args(arguments)
    rng = np.random.default_rng(args.seed)
    parts = {}
    for split in ("valid", "test"):
        molecules = list(read_split(args.ordinary, "smiles", split))
        if not molecules:
            raise DataError(f"{args.ordinary}: no row has {split!r} in the column 'split'")
        parts[split] = [molecules[i] for i in rng.permutation(len(molecules))[: args.n]]
    others = by_class(args.others, args.most, args.seed)
    table = areas(detectors(parts["valid"], args.weights, args.seed), parts["test"], others)
    print(table.to_string(float_format="{:.3f}".format))
    if args.out is not None:
        write_json(args.out, table.to_dict("index"))


if __name__ == "__main__":
    sys.exit(run_script(main))
