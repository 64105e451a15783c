"""How fast a search finds good molecules, and how good they are in the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def auc_top(values: Sequence[float], k: int = 10, budget: int = 10_000, every: int = 100, finish: bool = True) -> float:
    """Area under the mean of the k best scores against oracle calls, divided by the budget: the metric of PMO.

    Gao et al. 2022 (arXiv:2206.12411), exactly as computed by `top_auc` of mol_opt: trapezoids on a grid of `every`
    calls from (0, 0), so that a search that scores 1 from the first call has less than 1.

    Args:
        values: scores of distinct molecules in call order; NaN counts as 0, as failed molecules do in PMO.
        finish: carry the last mean on to `budget` when there are fewer calls.
    """
    scores = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0)
    n = len(scores)
    if n == 0:
        return 0.0

    def mean_of_best(count: int) -> float:
        return float(np.sort(scores[:count])[::-1][:k].mean())

    area, previous, called = 0.0, 0.0, 0
    for at in range(every, min(n, budget), every):
        now = mean_of_best(at)
        area += every * (now + previous) / 2
        previous, called = now, at
    last = mean_of_best(n)
    area += (n - called) * (last + previous) / 2
    if finish and n < budget:
        area += (budget - n) * last
    return area / budget


def guacamol_score(values: Sequence[float], top: Sequence[int]) -> float:
    """Mean over the k in `top` of the mean of the k best scores: the metric of GuacaMol.

    Brown et al. 2019, exactly as computed by `compute_global_score` of guacamol: molecules that are missing from the k
    best count as 0.

    Args:
        values: scores of the molecules proposed in the end, distinct without stereo as GuacaMol asks; NaN counts as 0.
        top: the k of the task, see `molvae.oracles.guacamol.TOP_K`.
    """
    best = np.sort(np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0))[::-1]
    return float(np.mean([best[:k].sum() / k for k in top]))
