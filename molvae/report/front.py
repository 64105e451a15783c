"""What the page shows of a search with several objectives: the front, and how the hypervolume grew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from molvae.report.charts import MAX_DOTS, Chart, colour
from molvae.report.rundata import RunData, best_molecules, objective_columns
from molvae.search.result import OBJECTIVE

CURVE_POINTS = 25  # of the hypervolume; each costs up to a tenth of a second
LARGE, SMALL = 4.0, 2.2  # radius of the dots on the front, and of the others


def front_chart(run: RunData) -> str:
    """The molecules in the plane of the first two objectives, the front large; "" where there is one objective.

    A third objective is the colour, bright where it is high. Of two, the front is joined by a line of steps.
    """
    columns = objective_columns(run.molecules)
    usable = _usable(run.molecules, columns)
    if len(columns) < 2 or usable.empty:
        return ""
    x, y = (usable[column].to_numpy(float) for column in columns[:2])
    names = [column.removeprefix(OBJECTIVE) for column in columns]
    chart = Chart((x.min(), x.max()), (y.min(), y.max()), names[0], names[1], height=420)
    on_front = usable["front"].astype(bool).to_numpy()
    if len(columns) == 2:
        chart.line(*_steps(x[on_front], y[on_front]), "top10")
        styles = ["c0"] * len(usable)
    else:
        styles = [colour(rank) for rank in usable[columns[2]].rank(pct=True)]
    rows, others = np.array(usable.index), np.flatnonzero(~on_front)
    others = others[:: max(1, -(-len(others) // MAX_DOTS))]
    for chosen, radius in ((others, SMALL), (np.flatnonzero(on_front), LARGE)):  # the front is drawn last, on top
        chart.points(x[chosen], y[chosen], rows[chosen].tolist(), [styles[i] for i in chosen], radius)
    return chart.svg()


def front_legend(run: RunData) -> str:
    """How to read the chart."""
    names = [column.removeprefix(OBJECTIVE) for column in objective_columns(run.molecules)]
    text = "Large dots are on the front: none of the feasible molecules is better in one objective and no worse in all."
    if len(names) > 2:
        text += f" Colour: rank of {names[2]}, bright is high."
    if len(names) > 3:
        text += f" Not shown: {', '.join(names[3:])}."
    return text


def hypervolume_chart(run: RunData) -> str:
    """Hypervolume of what was found so far against calls; "" where there is one objective or no reference point."""
    from molvae.search.pareto import hypervolume

    columns, reference = objective_columns(run.molecules), run.metrics.get("reference")
    usable = _usable(run.molecules, columns)
    if len(columns) < 2 or not reference or usable.empty:
        return ""
    n_calls = int(run.molecules["call"].max())
    calls = np.unique(np.linspace(1, n_calls, min(CURVE_POINTS, n_calls)).round().astype(int))
    values, front = [], np.zeros((0, len(columns)))
    for before, call in pairwise([0, *calls.tolist()]):
        new = usable[(usable["call"] > before) & (usable["call"] <= call)][columns].to_numpy(float)
        front = _front(np.vstack([front, new]))
        values.append(hypervolume(front, reference))
    chart = Chart((0, float(n_calls)), (0, max(values)), "oracle calls", "hypervolume")
    chart.line(calls.tolist(), values, "best")
    return chart.svg()


def figures(run: RunData) -> list[tuple[str, float]]:
    """The headline of a search with several objectives: (what, value)."""
    columns = objective_columns(run.molecules)
    front = best_molecules(run.molecules, len(run.molecules))
    best = [
        (f"best {column.removeprefix(OBJECTIVE)}", front[column].max() if len(front) else math.nan)
        for column in columns
    ]
    volume = [("hypervolume", run.metrics["hypervolume"])] if "hypervolume" in run.metrics else []
    scored = int(run.molecules[columns].notna().all(axis=1).sum())
    return [("on the front", len(front)), *volume, *best, ("molecules scored", scored)]


def _usable(molecules: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The feasible molecules that were scored in all objectives."""
    if molecules.empty:
        return molecules
    return molecules[molecules["feasible"].astype(bool) & molecules[list(columns)].notna().all(axis=1)]


def _front(values: np.ndarray) -> np.ndarray:
    from molvae.search.pareto import front_mask

    return values[front_mask(values)] if len(values) else values


def _steps(x: np.ndarray, y: np.ndarray) -> tuple[list[float], list[float]]:
    """The corners of the staircase below which everything is dominated."""
    order = np.argsort(x)
    corners = [(x[order[0]], y[order[0]])] if len(order) else []
    for i, j in pairwise(order):
        corners += [(x[i], y[j]), (x[j], y[j])]
    return [float(a) for a, _ in corners], [float(b) for _, b in corners]
