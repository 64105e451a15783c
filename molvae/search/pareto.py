"""Pareto fronts and hypervolumes by BoTorch; everything is maximised. BoTorch is imported when first needed.

Y (N, Q) are objectives, in their own units or scaled; rows with a NaN dominate nothing and are on no front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from molvae.core.arrays import Array


def front_mask(objectives: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows of (N, Q) no other row dominates, (N,); of equal rows all."""
    import torch
    from botorch.utils.multi_objective.pareto import is_non_dominated

    mask = np.asarray(np.isfinite(objectives).all(axis=1))
    if mask.any():
        mask[mask] = is_non_dominated(torch.tensor(objectives[mask]), deduplicate=False).numpy()
    return mask


def hypervolume(objectives: Array, reference: Sequence[float]) -> float:
    """Volume that the rows of (N, Q) dominate above the reference point (Q,); 0 where no row exceeds it."""
    import torch
    from botorch.utils.multi_objective.hypervolume import Hypervolume

    above = objectives[(objectives > np.asarray(reference)).all(axis=1)]
    if not len(above):
        return 0.0
    front = np.unique(above[front_mask(above)], axis=0)
    if front.shape[1] == 1:
        return float(front.max() - reference[0])
    return float(Hypervolume(torch.tensor(reference, dtype=torch.double)).compute(torch.tensor(front)))


def infer_reference(objectives: Array) -> tuple[float, ...]:
    """A reference point (Q,) from what was found: a tenth of the front's range below its worst values,
    or of its absolute values where it has one point.

    Ishibuchi et al. 2011, as BoTorch's `infer_reference_point`. Hypervolumes with different points do not compare.
    """
    import torch
    from botorch.utils.multi_objective.hypervolume import infer_reference_point

    front = np.unique(objectives[front_mask(objectives)], axis=0)
    return tuple(infer_reference_point(torch.tensor(front)).tolist())
