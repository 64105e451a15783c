"""Acquisition functions: how promising a molecule is, given the surrogate's belief. Larger is better, as are scores.

======  =======  ==========================================
symbol  shape    meaning
======  =======  ==========================================
M       int      candidates
mean    (M,)     posterior mean of the score
std     (M,)     posterior standard deviation
best    ()       best score observed
z       (M,)     (mean - best) / std
======  =======  ==========================================

Each is randomised or not by its `draw`: one draw gives a function that stays fixed while candidates are compared
(but see `ThompsonSampling`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, log1p, log_ndtr

from molvae.core.arrays import Array
from molvae.search.surrogate import Posterior

Scorer = Callable[[Posterior], Array]

_LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


class Acquisition(ABC):
    """Draws functions Posterior -> (M,) to be maximised.

    Attributes:
        logarithmic: whether the functions are logarithms of something positive.
    """

    logarithmic: bool = False

    @abstractmethod
    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        """One acquisition function; all randomness comes from `rng`, here and now.

        Args:
            best: best score so far; -inf while nothing feasible is known. Several objectives have no best.
            rng: source of randomness.
            stalled: oracle calls since it was found.
        """


class UpperConfidenceBound(Acquisition):
    """mean + w std with log10 w uniform in a range (Tripp & Hernandez-Lobato 2024, arXiv:2406.07709, section 5).

    A fresh weight for each draw replaces tuning: some molecules are picked greedily, some curiously. A search that has
    found nothing better for long can get bolder: the upper end of the range doubles every `patience` calls, up to
    `boldest` times. The lower end stays, because what is missing may be in reach of a greedy pick.

    Args:
        log10_weight: range of log10 w.
        patience: oracle calls without a better score until the upper end has doubled.
        boldest: largest factor; 1 switches this off.
    """

    def __init__(
        self, log10_weight: tuple[float, float] = (-1.5, 0.5), patience: int = 40, boldest: float = 8.0
    ) -> None:
        self.log10_weight, self.patience, self.boldest = log10_weight, patience, boldest

    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        doublings = min(stalled / self.patience, np.log2(self.boldest))
        low, high = self.log10_weight
        weight = 10.0 ** rng.uniform(low, high + doublings * np.log10(2.0))
        return lambda posterior: posterior.mean + weight * posterior.std


class LogExpectedImprovement(Acquisition):
    """log E[max(score - best, 0)] = log std + log h(z), h(z) = phi(z) + z Phi(z).

    Ament et al. 2023, arXiv:2310.20708, eq. 9.
    """

    logarithmic = True

    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        return lambda posterior: np.log(posterior.std) + log_h((posterior.mean - best) / posterior.std)


class ThompsonSampling(Acquisition):
    """Scores of one joint draw from the posterior over the candidates (Thompson 1933; Kandasamy et al. 2018).

    Molecules that are compared in one call belong to one draw; those of another call, to another with the same noise.
    """

    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        seed = int(rng.integers(2**63))

        def score(posterior: Posterior) -> Array:
            values, vectors = np.linalg.eigh(posterior.covariance())
            noise = np.random.default_rng(seed).standard_normal(len(values))
            return posterior.mean + vectors @ (np.sqrt(np.maximum(values, 0.0)) * noise)

        return score


def log_h(z: Array) -> Array:
    """log(phi(z) + z Phi(z)), accurate for any z (Ament et al. 2023, eq. 9 and appendix A).

    For z < -1 the two terms cancel; with r(z) = |z| sqrt(pi/2) erfcx(-z / sqrt(2)) the value is
    log phi(z) + log(1 - r(z)), and for z < -1e3 it is log phi(z) - 2 log|z| to double precision.
    """
    z = np.asarray(z, dtype=np.float64)
    near = np.maximum(z, -1.0)
    direct = np.log(np.exp(-0.5 * near**2 - _LOG_SQRT_2PI) + near * np.exp(log_ndtr(near)))
    middle = np.clip(z, -1e3, -1.0)
    ratio = -middle * np.sqrt(np.pi / 2) * erfcx(-middle / np.sqrt(2))
    cancelling = -0.5 * middle**2 - _LOG_SQRT_2PI + log1p(-ratio)
    far = np.minimum(z, -1e3)
    tail = -0.5 * far**2 - _LOG_SQRT_2PI - 2 * np.log(-far)
    return np.where(z > -1.0, direct, np.where(z > -1e3, cancelling, tail))
