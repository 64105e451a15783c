"""Several numbers for each molecule: objectives to maximise, and outcomes that must lie in a window.

======  ============  ==================================================================
symbol  shape         meaning
======  ============  ==================================================================
Q, C    int           objectives; constrained outcomes that only an oracle can tell
K       int           Q + C: outcomes of a molecule, objectives first
Y       (N, K)        outcomes observed, each in its own unit
y       (N, K)        (Y - offset) / scale: objectives from 0 (worst) to 1 (best observed)
V       (N, M)        L^-1 k, as in `surrogate`
mean    (M, K)        V^T L^-1 y
std     (M,)          sqrt(1 - sum_n V_nm^2), the same for every outcome in units of y
======  ============  ==================================================================

All outcomes have one kernel with fixed hyper-parameters, so one Cholesky factor serves them all: K outcomes cost K
right-hand sides more, not K times as much. They are independent a priori.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

import numpy as np
from scipy import sparse

from molvae.core.arrays import Array
from molvae.core.bounds import just_above, just_below
from molvae.core.errors import ConfigError
from molvae.search.kernel import Weighting
from molvae.search.surrogate import LARGEST_SCORE, Posterior, Scaling, TanimotoGP, units

UNKNOWN = 1.0  # amount by which a constraint counts as broken where its outcome could not be had


@dataclass(frozen=True)
class Window:
    """Values from `low` to `high`, in the outcome's own unit; None leaves an end open."""

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ConfigError("a window needs low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError(f"a window has low {self.low:g} above high {self.high:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """Low and high, infinite where open."""
        return -math.inf if self.low is None else self.low, math.inf if self.high is None else self.high

    def excess(self, value: float) -> float:
        """Distance of a value from the window: 0 inside; `UNKNOWN` for NaN, since nobody knows that it is inside."""
        low, high = (np.array([bound]) for bound in self.bounds)
        return UNKNOWN if math.isnan(value) else float(_beyond(np.array([value]), low, high)[0])


@dataclass(frozen=True)
class Outcomes:
    """What the K numbers of a molecule are.

    Attributes:
        n_objectives: Q, the first columns.
        windows: of the C constrained outcomes, the columns after them.
        reference: (Q,) values that a molecule of any use exceeds, in the objectives' units; None where not given.
    """

    n_objectives: int = 1
    windows: tuple[Window, ...] = ()
    reference: tuple[float, ...] | None = None

    @property
    def n_outcomes(self) -> int:
        """K."""
        return self.n_objectives + len(self.windows)

    @property
    def plain(self) -> bool:
        """Whether one score is all there is."""
        return self.n_outcomes == 1

    def excess(self, rows: Array) -> Array:
        """How far the constrained outcomes of (N, K) lie outside their windows, (N, C); 0 inside."""
        constrained = rows[:, self.n_objectives :]
        low, high = (np.array([w.bounds[end] for w in self.windows]) for end in (0, 1))
        return _beyond(constrained, low, high).reshape(len(rows), len(self.windows))


def _beyond(values: Array, low: Array, high: Array) -> Array:
    """Distance of values from what lies between the bounds; 0 there, and at a bound but for rounding."""
    distance: Array = np.maximum(np.maximum(low - values, values - high), 0.0)
    return np.where((values >= just_below(low)) & (values <= just_above(high)), 0.0, distance)


@dataclass(frozen=True)
class OutcomesPosterior(Posterior):
    """The belief about all outcomes of M molecules, in units of y: `mean` (M, K), `std` (M,), `scale` 1.

    Attributes:
        offsets, scales: (K,), what makes an outcome's own unit of y.
    """

    offsets: Array
    scales: Array

    def columns(self, chosen: slice) -> OutcomesPosterior:
        """The belief about some of the outcomes."""
        return replace(self, mean=self.mean[:, chosen], offsets=self.offsets[chosen], scales=self.scales[chosen])

    def own_unit(self, column: int) -> Posterior:
        """The belief about one outcome in its own unit, as a `TanimotoGP` of that outcome alone would have it."""
        scale = float(self.scales[column])
        mean = self.offsets[column] + scale * self.mean[:, column]
        own = {"mean": mean, "std": scale * self.std, "scale": scale}
        return Posterior(**{f.name: getattr(self, f.name) for f in fields(Posterior)} | own)

    def standard(self, values: Sequence[float] | Array) -> Array:
        """Outcomes (..., K) in units of y."""
        return (np.asarray(values, dtype=np.float64) - self.offsets) / self.scales


class OutcomesGP:
    """Tanimoto processes for K outcomes over one Cholesky factor.

    A molecule of which any outcome is missing teaches nothing, since the factor is common to all.

    Args:
        outcomes: what the columns are.
        noise: variance of the observation noise, in units of the amplitude.
        scaling, weighting: see `TanimotoGP`; scaling is that of the objectives. Constrained outcomes always have mean 0
            and deviation 1, so that far from all data a molecule is as likely to be feasible as the observed ones are.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        noise: float = 1e-4,
        scaling: Scaling = "range",
        weighting: Weighting | None = None,
    ) -> None:
        self.outcomes, self.noise = outcomes, noise
        self._scalings: list[Scaling] = [scaling] * outcomes.n_objectives
        self._scalings += ["standard"] * len(outcomes.windows)
        self._process = TanimotoGP(noise, "none", weighting)
        self._values = np.zeros((0, outcomes.n_outcomes))
        self._told = self._values  # and those of molecules forgotten since: all of them give the units
        self._fixed_units: tuple[Array, Array] | None = None  # while `believing`

    def __len__(self) -> int:
        return len(self._values)

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the blocks of the fingerprints; none where all columns count alike."""
        return self._process.weights

    def append(self, fingerprints: sparse.csr_matrix, values: Array) -> None:
        """Observe molecules (M, F) with outcomes (M, K); rows with a non-finite number are left out."""
        keep = np.flatnonzero(np.isfinite(values).all(axis=1))
        self._process.append(fingerprints[keep], np.zeros(len(keep)))
        clipped = np.clip(values[keep], -LARGEST_SCORE, LARGEST_SCORE)
        self._values, self._told = np.vstack([self._values, clipped]), np.vstack([self._told, clipped])

    def adapt(self) -> None:
        """Choose the weights of the features anew, see `TanimotoGP.adapt`; they are the same for all outcomes."""
        offsets, scales = self._units()
        self._process.adapt((self._values - offsets) / scales)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all observed molecules but those in `rows`, see `TanimotoGP.keep`."""
        self._process.keep(rows)
        self._values = self._values[np.asarray(rows, dtype=np.int64)]

    @contextmanager
    def believing(self, fingerprints: sparse.csr_matrix) -> Iterator[None]:
        """While entered, molecules (M, F) count as observed at their posterior means, see `TanimotoGP.believing`."""
        values, belief = self._values, self.posterior(fingerprints)
        self._fixed_units = belief.offsets, belief.scales
        try:
            with self._process.believing(fingerprints):
                self._values = np.vstack([values, belief.offsets + belief.scales * belief.mean])
                yield
        finally:
            self._values, self._fixed_units = values, None

    def posterior(self, fingerprints: sparse.csr_matrix) -> OutcomesPosterior:
        """Belief about the noise-free outcomes of molecules (M, F)."""
        return self._belief(self._process.posterior(fingerprints))

    def posterior_of(self, rows: Sequence[int]) -> OutcomesPosterior:
        """Belief about observed molecules, see `TanimotoGP.posterior_of`."""
        return self._belief(self._process.posterior_of(rows))

    def renewed(self, belief: Posterior) -> OutcomesPosterior:
        """An earlier belief in the light of what was observed since, see `TanimotoGP.renewed`."""
        return self._belief(self._process.renewed(belief))

    def _belief(self, shared: Posterior) -> OutcomesPosterior:
        """The belief about all outcomes, given that of the process about the same molecules."""
        offsets, scales = self._fixed_units or self._units()
        mean = np.zeros((len(shared.std), self.outcomes.n_outcomes))
        if len(self):
            mean = shared.projection.T @ self._process.whiten((self._values - offsets) / scales)
        return OutcomesPosterior(**(vars(shared) | {"mean": mean, "scale": 1.0}), offsets=offsets, scales=scales)

    def _units(self) -> tuple[Array, Array]:
        """Offsets (K,) and scales (K,) that turn outcomes into y."""
        measures = [units(column, how) for column, how in zip(self._told.T, self._scalings, strict=True)]
        offsets, scales = np.array(measures).T
        return offsets, scales
