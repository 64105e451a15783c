"""What a search leaves beside its record: tables, map and figures; also of one that was stopped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molvae.chem.molecules import parse
from molvae.core.config import Spec
from molvae.core.files import DIVERSE, LATENT, METRICS, MOLECULES, atomic_path, write_json
from molvae.oracles.oracle import Oracle
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import SimilaritySpec
from molvae.search.diversity import SelectSpec, Spread
from molvae.search.latent import LatentModel, LatentSpace
from molvae.search.pareto import infer_reference
from molvae.search.result import COMPONENT, SIMILARITY, SearchResult

AS_TEXT = "molecules.csv"  # the same as MOLECULES
OUTPUTS = (MOLECULES, AS_TEXT, DIVERSE, LATENT, METRICS)
WITH_COMPONENTS = 100  # so many of the best molecules have the parts of their score in the table


def write_outputs(
    config: OptimiseConfig,
    run_dir: Path,
    result: SearchResult,
    oracle: Oracle | None,
    model: LatentModel | None,
    seconds: float,
) -> None:
    """Write all that a search leaves beside its record (`OUTPUTS`).

    Args:
        oracle: tells the parts of the best scores, if it is there; nothing is scored again.
        model: draws the map, if it is there.
        seconds: wall time of the search.
    """
    spec = config.search
    write_molecules(result, oracle, run_dir, spec.constraints)
    write_diverse(result, spec.select, run_dir)
    if model is not None:
        latent_map(result, LatentSpace(model), run_dir / LATENT)
    metrics = metrics_of(result, spec.budget, spec.reference)
    write_json(run_dir / METRICS, metrics | {"seconds": round(seconds, 3)})


def write_molecules(
    result: SearchResult, oracle: Oracle | None, run_dir: Path, constraints: Sequence[Spec] = ()
) -> None:
    """`molecules.parquet` and `molecules.csv`: the result's frame, and beside it what constraints on similarity measure
    (`similarity:NAME`) and, for the best, the parts of the score (`component:NAME`)."""
    frame = result.frame()
    for name, similarities in similarities_of(result.smiles, constraints).items():
        frame[SIMILARITY + name] = similarities
    top = result.best_records(WITH_COMPONENTS)
    components = oracle.components([r.smiles for r in top]) if top and oracle is not None else {}
    rows = [r.call - 1 for r in top]
    for name, values in components.items():
        column = np.full(len(frame), np.nan)
        column[rows] = values
        frame[COMPONENT + name] = column
    with atomic_path(run_dir / MOLECULES) as file:
        frame.to_parquet(file, index=False)
    with atomic_path(run_dir / AS_TEXT) as file:
        frame.to_csv(file, index=False)


def similarities_of(smiles: Sequence[str], constraints: Sequence[Spec]) -> dict[str, list[float]]:
    """What each constraint on similarity measures of valid molecules, by its name."""
    windows = {c.name: c.build() for c in constraints if isinstance(c, SimilaritySpec)}
    mols = [mol for s in smiles if (mol := parse(s)) is not None] if windows else []
    return {name: [window.similarity(mol) for mol in mols] for name, window in windows.items()}


def write_diverse(result: SearchResult, spec: SelectSpec | None, run_dir: Path) -> None:
    """`diverse.csv`: good molecules that differ, best first, each with its distance to the nearest of the others."""
    path = run_dir / DIVERSE
    path.unlink(missing_ok=True)  # that of another selection
    if spec is None:
        return
    chosen = result.diverse_records(spec.k, spec.distance)
    rows = []
    for rank, record in enumerate(chosen, start=1):
        others = Spread(spec.distance, [other.smiles for other in chosen if other is not record])
        rows.append((rank, record.call, record.smiles, record.value, others.nearest(record.smiles)))
    with atomic_path(path) as file:
        pd.DataFrame(rows, columns=["rank", "call", "smiles", "value", "nearest"]).to_csv(file, index=False)


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


def metrics_of(
    result: SearchResult,
    budget: int,
    reference: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Figures of `metrics.json`; scores in the oracle's unit, `auc_top*` as PMO defines it over the budget, but not
    where a score is below 0.

    Of several objectives: size of the front, its hypervolume above the reference point, and that point.
    """
    counts = {
        "calls": len(result.records),
        "budget": budget,
        "failed": sum(not r.scored for r in result.records),
        "infeasible": sum(not r.feasible for r in result.records),
    }
    ended = {
        "oracle_seconds": round(sum(r.seconds for r in result.records), 3),
        "ended": result.reason,
    }
    if result.several:
        return counts | _front_metrics(result, reference) | ended
    best = [r.value for r in result.best_records(100)]
    means = {f"top{k}_mean": sum(best[:k]) / len(best[:k]) if best else None for k in (1, 10, 100)}
    return {
        **counts,
        "best": best[0] if best else None,
        **means,
        **({f"auc_top{k}": result.auc_top(k, budget) for k in (1, 10, 100)} if result.has_auc else {}),
        **ended,
    }


def _front_metrics(result: SearchResult, reference: Sequence[float] | None) -> dict[str, Any]:
    """What can be said of a front; nothing but its size as long as it is empty."""
    front = result.pareto()
    values = np.array([scores for _, scores in front], dtype=np.float64)
    if front and reference is None:
        reference = infer_reference(values)
    return {
        "objectives": list(result.objectives),
        "front": len(front),
        "best_of_each": dict(zip(result.objectives, values.max(axis=0).tolist(), strict=True)) if front else None,
        "hypervolume": result.hypervolume(reference) if front else 0.0,
        "reference": None if reference is None else list(reference),
    }
