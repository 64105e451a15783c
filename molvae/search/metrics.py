"""How fast a search finds good molecules."""

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
