"""From raw numbers to one score: desirability functions and the means that join them.

Notation: x raw value in its own unit, f in 0..1, u upper end, m centre, s width (standard deviation).

| kind         | f(x)                                                  |                                    |
|--------------|-------------------------------------------------------|------------------------------------|
| identity     | x                                                     |                                    |
| clip         | min(1, max(0, (x - lower) / (upper - lower)))         | linear between two ends            |
| gaussian     | exp(-((x - m) / s)^2 / 2)                             | near m is good                     |
| min_gaussian | 1 for x <= m, else gaussian                           | smaller is fine                    |
| max_gaussian | 1 for x >= m, else gaussian                           | larger is fine                     |
| threshold    | 1 for x >= t (or x <= t), else 0                      |                                    |
| sigmoid      | 1 / (1 + exp(-(x - m) / s)); negative s falls          | a soft threshold                   |

All work on scalars and arrays, keep NaN, and have limits at +-inf. Following GuacaMol's score modifiers (Brown et al.
J. Chem. Inf. Model. 59, 1096 (2019)); its code and not its paper, where they differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, model_validator
from scipy.special import expit

from molvae.core.bounds import just_above, just_below
from molvae.core.config import Spec
from molvae.oracles.oracle import FloatArray

Width = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Identity(Spec):
    """The raw value as it is."""

    kind: Literal["identity"] = "identity"

    def __call__(self, x: ArrayLike) -> FloatArray:
        return np.asarray(x, dtype=float)


class Clip(Spec):
    """Linear from 0 at `lower` to 1 at `upper`, cut at both ends; `lower` may be the larger one, then it falls.

    >>> float(Clip(upper=0.8)(0.4))
    0.5
    """

    kind: Literal["clip"] = "clip"
    upper: Finite
    lower: Finite = 0.0

    @model_validator(mode="after")
    def _two_ends(self) -> Clip:
        if self.upper == self.lower:
            raise ValueError("upper and lower must differ")
        return self

    def __call__(self, x: ArrayLike) -> FloatArray:
        share = (np.asarray(x, dtype=float) - self.lower) / (self.upper - self.lower)
        return np.minimum(1.0, np.maximum(0.0, share))


class Gaussian(Spec):
    """1 at `mean`, falling on both sides with standard deviation `sd`."""

    kind: Literal["gaussian"] = "gaussian"
    mean: Finite
    sd: Width

    def __call__(self, x: ArrayLike) -> FloatArray:
        return _bell(np.asarray(x, dtype=float), self.mean, self.sd)


class MinGaussian(Spec):
    """1 up to `mean`, falling above it: smaller is fine."""

    kind: Literal["min_gaussian"] = "min_gaussian"
    mean: Finite
    sd: Width

    def __call__(self, x: ArrayLike) -> FloatArray:
        return _bell(np.maximum(np.asarray(x, dtype=float), self.mean), self.mean, self.sd)


class MaxGaussian(Spec):
    """1 from `mean` on, falling below it: larger is fine."""

    kind: Literal["max_gaussian"] = "max_gaussian"
    mean: Finite
    sd: Width

    def __call__(self, x: ArrayLike) -> FloatArray:
        return _bell(np.minimum(np.asarray(x, dtype=float), self.mean), self.mean, self.sd)


class Threshold(Spec):
    """1 on the wanted side of `threshold` (itself included), 0 on the other."""

    kind: Literal["threshold"] = "threshold"
    threshold: Finite
    wanted: Literal["above", "below"] = "above"

    def __call__(self, x: ArrayLike) -> FloatArray:
        x = np.asarray(x, dtype=float)
        passes = x >= just_below(self.threshold) if self.wanted == "above" else x <= just_above(self.threshold)
        return np.where(np.isnan(x), np.nan, passes)


class Sigmoid(Spec):
    """One half at `midpoint`, rising over a few `width` (falling where it is negative)."""

    kind: Literal["sigmoid"] = "sigmoid"
    midpoint: Finite
    width: Finite

    @model_validator(mode="after")
    def _some_width(self) -> Sigmoid:
        if self.width == 0:
            raise ValueError("width must not be 0")
        return self

    def __call__(self, x: ArrayLike) -> FloatArray:
        with np.errstate(over="ignore"):
            return np.asarray(expit((np.asarray(x, dtype=float) - self.midpoint) / self.width))


Modifier = Annotated[
    Identity | Clip | Gaussian | MinGaussian | MaxGaussian | Threshold | Sigmoid, Field(discriminator="kind")
]

Aggregation = Literal["arithmetic", "geometric", "product"]


def _bell(x: FloatArray, mean: float, sd: float) -> FloatArray:
    z = np.minimum(np.abs(x - mean), 1e3 * sd) / sd  # beyond, f is 0 and the square might overflow
    return np.exp(-0.5 * z * z)


def join(parts: Sequence[float], how: Aggregation, weights: Sequence[float]) -> float:
    """The mean of one molecule's parts f; weights w, one for each, need not sum to 1.

    arithmetic: sum w f / sum w. geometric: prod f^(w / sum w). product: prod f^w. A part that is 0 makes the last two
    0, a negative one makes them NaN; a NaN part makes any of them NaN.

    >>> join([0.25, 1.0], "geometric", [1, 1])
    0.5
    """
    if how == "arithmetic":
        return sum(w * f for w, f in zip(weights, parts, strict=True)) / sum(weights)
    if not min(parts) > 0.0:
        return 0.0 if all(f >= 0.0 for f in parts) else math.nan
    total = sum([w * math.log(f) for w, f in zip(weights, parts, strict=True)])
    return math.exp(total / sum(weights) if how == "geometric" else total)
