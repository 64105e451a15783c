"""How likely a molecule is feasible, by the surrogate's belief about the constrained outcomes, and what follows.

======  ======  ==========================================
symbol  shape   meaning
======  ======  ==========================================
M       int     candidates
a, b    (M,)    (low - mean) / std, (high - mean) / std
======  ======  ==========================================

log P(feasible) = sum over constraints of log(Phi(b) - Phi(a)); it is added to the logarithm of the acquisition (Gardner
et al. 2014, "Bayesian optimization with inequality constraints", eq. 5; in logarithms Ament et al. 2023,
arXiv:2310.20708, section 3.2). As long as nothing feasible is known, it is all that counts.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log1p, log_ndtr

from molvae.core.arrays import Array
from molvae.search.acquisition import Acquisition, Scorer
from molvae.search.outcomes import Outcomes, OutcomesPosterior
from molvae.search.surrogate import Posterior

CITATION = "Gardner et al. 2014, ICML, Bayesian optimization with inequality constraints (probability of feasibility)"

SOFTNESS = 0.05  # an acquisition this far above 0, in units of the observed range, is its own logarithm's argument


class Feasible(Acquisition):
    """Another acquisition, times the probability that all constrained outcomes lie in their windows.

    Args:
        inner: what ranks molecules that are surely feasible: of one objective in its own unit, of several in units of
            y. One that is no logarithm has one taken, after a soft cut at the worst observed.
        outcomes: what the columns of the posterior are.
    """

    def __init__(self, inner: Acquisition, outcomes: Outcomes) -> None:
        self.inner, self.outcomes, self.logarithmic = inner, outcomes, True

    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        scorer, q = self.inner.draw(best, rng, stalled), self.outcomes.n_objectives

        def score(posterior: Posterior) -> Array:
            assert isinstance(posterior, OutcomesPosterior)
            feasible = log_feasibility(posterior, self.outcomes)
            if best == -math.inf:
                return feasible
            if q > 1:
                merit = scorer(posterior.columns(slice(q)))
                return feasible + (merit if self.inner.logarithmic else log_positive(merit))
            merit = scorer(posterior.own_unit(0))
            if not self.inner.logarithmic:
                merit = log_positive((merit - posterior.offsets[0]) / posterior.scales[0])
            return feasible + merit

        return score


def log_feasibility(posterior: OutcomesPosterior, outcomes: Outcomes) -> Array:
    """Log probability that the constrained outcomes lie in their windows, (M,).

    Of a window of one value it is the log density but for a constant, which ranks as a window that shrinks to it does.
    """
    total = np.zeros(len(posterior.std))
    for column, window in enumerate(outcomes.windows, start=outcomes.n_objectives):
        belief = posterior.own_unit(column)
        low, high = window.bounds
        a, b = ((end - belief.mean) / belief.std for end in (low, high))
        total += log_between(a, b) if low < high else -(a**2) / 2 - np.log(posterior.std)
    return total


def log_between(a: Array, b: Array) -> Array:
    """log(Phi(b) - Phi(a)) for a <= b, accurate in both tails.

    Where a > 0 the two are near 1, and the same is taken from the other side: Phi(-a) - Phi(-b).
    """
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    upper, lower = log_ndtr(b), log_ndtr(a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(lower == -np.inf, upper, upper + log1p(-np.exp(lower - upper)))


def log_positive(x: Array) -> Array:
    """log of a smooth max(x, 0): log(t log(1 + exp(x / t))), t = `SOFTNESS`; strictly increasing for any x."""
    scaled = np.asarray(x, dtype=np.float64) / SOFTNESS
    near = np.log(np.logaddexp(0.0, np.maximum(scaled, -30.0)))
    return math.log(SOFTNESS) + np.where(scaled > -30.0, near, scaled)
