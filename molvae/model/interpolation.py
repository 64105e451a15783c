"""Paths between latent points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from molvae.core.arrays import Points


def spherical(a: Points, b: Points, shares: np.ndarray[Any, np.dtype[np.float64]]) -> Points:
    """Points (S, Z) on the great arc from a (Z,) to b (Z,) at `shares` (S,); norms are interpolated, too."""
    norm_a, norm_b = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    cosine = float(np.clip(a @ b / max(norm_a * norm_b, 1e-12), -1, 1))
    angle = math.acos(cosine)
    t = shares[:, None]
    if min(norm_a, norm_b) < 1e-12 or math.sin(angle) < 1e-4:  # the arc is a line, or not defined
        return ((1 - t) * a + t * b).astype(np.float32)
    direction = (np.sin((1 - t) * angle) * a / norm_a + np.sin(t * angle) * b / norm_b) / math.sin(angle)
    return (direction * ((1 - t) * norm_a + t * norm_b)).astype(np.float32)
