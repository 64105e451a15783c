"""Desirability functions and means by independent formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from molvae.oracles.desirability import (
    Clip,
    Gaussian,
    Identity,
    MaxGaussian,
    MinGaussian,
    Sigmoid,
    Threshold,
    join,
)

X = [-1e308, -5.0, -0.3, 0.0, 0.25, 1.0, 1.7, 42.0, 1e308]
INF = math.inf


def bell(x: float, mean: float, sd: float) -> float:
    return math.exp(-((min(abs(x), 1e100) * math.copysign(1, x) - mean) ** 2) / (2 * sd**2)) if abs(x) < 1e100 else 0.0


CASES = [
    (Identity(), lambda x: x, -INF, INF),
    (Clip(upper=0.8), lambda x: 0.0 if x < 0 else 1.0 if x > 0.8 else x / 0.8, 0.0, 1.0),
    (Clip(upper=1.0, lower=3.0), lambda x: 1.0 if x < 1 else 0.0 if x > 3 else (3 - x) / 2, 1.0, 0.0),
    (Gaussian(mean=1, sd=0.5), lambda x: bell(x, 1, 0.5), 0.0, 0.0),
    (MinGaussian(mean=1, sd=0.5), lambda x: 1.0 if x <= 1 else bell(x, 1, 0.5), 1.0, 0.0),
    (MaxGaussian(mean=1, sd=0.5), lambda x: 1.0 if x >= 1 else bell(x, 1, 0.5), 0.0, 1.0),
    (Threshold(threshold=1.0), lambda x: float(x >= 1), 0.0, 1.0),
    (Threshold(threshold=1.0, wanted="below"), lambda x: float(x <= 1), 1.0, 0.0),
    (Sigmoid(midpoint=1.0, width=0.5), lambda x: 0.5 * (1 + math.tanh((x - 1) / 0.5 / 2)), 0.0, 1.0),
    (Sigmoid(midpoint=1.0, width=-0.5), lambda x: 0.5 * (1 - math.tanh((x - 1) / 0.5 / 2)), 1.0, 0.0),
]


@pytest.mark.parametrize(("modifier", "formula", "at_minus_inf", "at_plus_inf"), CASES)
def test_modifier(modifier, formula, at_minus_inf, at_plus_inf) -> None:  # type: ignore[no-untyped-def]
    expected = [formula(x) for x in X]
    np.testing.assert_allclose(modifier(X), expected, rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose([float(modifier(x)) for x in X], expected, rtol=1e-14, atol=1e-15)  # scalars too
    np.testing.assert_array_equal(modifier([-INF, INF]), [at_minus_inf, at_plus_inf])
    assert math.isnan(float(modifier(math.nan)))


@pytest.mark.parametrize("wanted", ["above", "below"])
def test_a_last_digit_does_not_decide_at_a_threshold(wanted: str) -> None:
    """The sums of one molecule's polar surface, in three orders of its atoms, and a nanomolar constant."""
    assert Threshold(threshold=88.58, wanted=wanted)([88.58000000000001, 88.57999999999998, 88.58]).tolist() == [1] * 3
    assert Threshold(threshold=2e-9, wanted=wanted)([1e-9, 3e-9]).tolist() == [wanted == "below", wanted == "above"]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (Gaussian, {"mean": 0, "sd": 0}),
        (Gaussian, {"mean": math.inf, "sd": 1}),
        (Clip, {"upper": 1, "lower": 1}),
        (Sigmoid, {"midpoint": 0, "width": 0}),
        (Threshold, {"threshold": 1, "wanted": "left"}),
        (Clip, {"upper": 1, "lwer": 0}),
    ],
)
def test_impossible_parameters_are_refused(model, parameters) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValidationError):
        model(**parameters)


def test_means() -> None:
    rng = np.random.default_rng(0)
    weights = [1.0, 2.0, 0.5, 3.0]
    for row in rng.uniform(size=(50, 4)).tolist():
        product = math.prod(f**w for w, f in zip(weights, row, strict=True))
        assert join(row, "arithmetic", weights) == pytest.approx(np.average(row, weights=weights), rel=1e-13)
        assert join(row, "product", weights) == pytest.approx(product, rel=1e-13)
        assert join(row, "geometric", weights) == pytest.approx(product ** (1 / sum(weights)), rel=1e-13)
        assert join(row, "geometric", [2.0] * 4) == pytest.approx(math.prod(row) ** 0.25, rel=1e-13)


@pytest.mark.parametrize(
    ("parts", "arithmetic", "others"),
    [
        ([0.0, 1.0, 1.0], 0.7, 0.0),
        ([0.0, 0.0, 1.0], 0.6, 0.0),
        ([math.nan, 1.0, 1.0], math.nan, math.nan),
        ([0.0, math.nan, 1.0], math.nan, math.nan),
        ([-1.0, 1.0, 1.0], 0.4, math.nan),
    ],
)
def test_means_at_the_edges(parts: list[float], arithmetic: float, others: float) -> None:
    weights = [0.9, 0.3, 1.8]
    assert join(parts, "arithmetic", weights) == pytest.approx(arithmetic, nan_ok=True)
    for how in ("geometric", "product"):
        assert join(parts, how, weights) == pytest.approx(others, nan_ok=True)  # type: ignore[arg-type]
