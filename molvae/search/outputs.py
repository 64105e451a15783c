"""Tables, map and figures of a finished search."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae.core.files import atomic_path
from molvae.oracles.oracle import Oracle
from molvae.search.latent import LatentSpace
from molvae.search.loop import SearchResult

WITH_COMPONENTS = 100  # so many of the best molecules have the parts of their score in the table


def write_molecules(result: SearchResult, oracle: Oracle, run_dir: Path) -> None:
    """`molecules.parquet` and `molecules.csv`: a row for each molecule scored, in call order."""
    names = ("call", "smiles", "value", "proposer", "seconds", "feasible", "batch")
    frame = pd.DataFrame([[getattr(r, name) for name in names] for r in result.records], columns=list(names))
    for constraint in result.records[0].constraints if result.records else ():
        frame[f"constraint:{constraint}"] = [r.constraints.get(constraint, math.nan) for r in result.records]
    top = result.best_records(WITH_COMPONENTS)
    components = oracle.components([r.smiles for r in top]) if top else {}
    rows = [r.call - 1 for r in top]
    for name, values in components.items():
        column = np.full(len(frame), np.nan)
        column[rows] = values
        frame[f"component:{name}"] = column
    with atomic_path(run_dir / "molecules.parquet") as file:
        frame.to_parquet(file, index=False)
    with atomic_path(run_dir / "molecules.csv") as file:
        frame.to_csv(file, index=False)


def latent_map(result: SearchResult, space: LatentSpace, path: Path) -> None:
    """The molecules on the two main axes of their posterior means: columns call, x, y."""
    mean, _ = space.posterior(result.smiles)
    keep = np.flatnonzero(np.isfinite(mean).all(axis=1))
    frame = pd.DataFrame({"call": [result.records[i].call for i in keep], "x": 0.0, "y": 0.0})
    if len(keep) > 2:
        centred = mean[keep].astype(np.float64) - mean[keep].mean(axis=0)
        left, size, axes = np.linalg.svd(centred, full_matrices=False)
        sign = np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])  # an axis has no direction of its own
        frame[["x", "y"]] = left[:, :2] * size[:2] * sign
    with atomic_path(path) as file:
        frame.to_parquet(file, index=False)


def metrics_of(result: SearchResult, budget: int) -> dict[str, Any]:
    """Figures of `metrics.json`; scores in the oracle's unit, `auc_top*` as PMO defines it over the budget."""
    best = [r.value for r in result.best_records(100)]
    means = {f"top{k}_mean": sum(best[:k]) / len(best[:k]) if best else None for k in (1, 10, 100)}
    return {
        "calls": len(result.records),
        "budget": budget,
        "failed": sum(math.isnan(r.value) for r in result.records),
        "infeasible": sum(not r.feasible for r in result.records),
        "best": best[0] if best else None,
        **means,
        **{f"auc_top{k}": result.auc_top(k, budget) for k in (1, 10, 100)},
        "oracle_seconds": round(sum(r.seconds for r in result.records), 3),
        "ended": result.reason,
    }
