"""A Gaussian process over molecules with a Tanimoto kernel on count fingerprints.

=====  ==============  ==============================================================
symbol shape           meaning
=====  ==============  ==============================================================
N      int             molecules observed (finite score)
M      int             molecules asked about
F      int             fingerprint columns, see `features`
K      (N, N)          kernel of the observed
k      (N, M)          kernel between observed and asked
L      (N, N)          lower Cholesky factor of K + noise I + diag(errors) / scale^2
V      (N, M)          L^-1 k
y      (N,)            scores, centred and scaled: y = (score - offset) / scale
mean   (M,)            offset + scale k^T (L L^T)^-1 y
errors (N,)            variance of each score's own error of measurement, in squared units of the score; mostly 0
std    (M,)            scale sqrt(1 - sum_n V_nm^2)
=====  ==============  ==============================================================

Hyper-parameters are fixed, not fitted (Tripp & Hernandez-Lobato 2024, "Diagnosing and fixing common problems in
Bayesian optimization for molecule design", arXiv:2406.07709): mean 0, amplitude 1, noise 1e-4. The exception are the
weights in the kernel, see `Weighting`. Posterior: Rasmussen & Williams 2006, algorithm 2.1, leave-one-out errors:
equations 5.10 to 5.12. Kernel: see `kernel`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeVar

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular

from molvae.core.arrays import Array
from molvae.core.errors import MolvaeError
from molvae.search.kernel import Weighting, sizes, tanimoto

CITATION = "Tripp & Hernandez-Lobato 2024, arXiv:2406.07709 (Tanimoto Gaussian process with fixed hyper-parameters)"

Scaling = Literal["none", "range", "standard"]

JITTERS = (0.0, 1e-8, 1e-6, 1e-4, 1e-2)
FEWEST = 20  # molecules known before a weight is chosen
LARGEST_SCORE = 1e100  # beyond it, differences and squares of scores overflow; ranges below its inverse are constants


@dataclass(frozen=True)
class Posterior:
    """The surrogate's belief about M molecules, in units of the score.

    Attributes:
        mean, std: (M,).
        fingerprints: (M, F), weighted, and `projection` V (N, M): what a covariance needs.
        scale: score per unit amplitude.
        kernel: k (n, M) with the first n observed, which spares a later belief about the same molecules most of the
            work, as long as the surrogate has the same `era`.
    """

    mean: Array
    std: Array
    fingerprints: sparse.csr_matrix
    projection: Array
    scale: float
    kernel: Array
    era: int

    def rows(self, chosen: Any) -> Self:
        """The belief about some of the molecules."""
        return replace(
            self,
            mean=self.mean[chosen],
            std=self.std[chosen],
            fingerprints=self.fingerprints[chosen],
            projection=self.projection[:, chosen],
            kernel=self.kernel[:, chosen],
        )

    def covariance(self) -> Array:
        """Joint posterior covariance, (M, M)."""
        return self.scale**2 * (tanimoto(self.fingerprints, self.fingerprints) - self.projection.T @ self.projection)

    def covariance_with(self, i: int) -> Array:
        """Posterior covariance of molecule `i` with all, (M,)."""
        prior = tanimoto(self.fingerprints[i], self.fingerprints)[0]
        return self.scale**2 * (prior - self.projection[:, i] @ self.projection)


AnyPosterior = TypeVar("AnyPosterior", bound=Posterior)


def joined(beliefs: Sequence[AnyPosterior]) -> AnyPosterior:
    """The beliefs of one surrogate about several lots of molecules, as one about all."""
    if len(beliefs) == 1:
        return beliefs[0]
    return replace(
        beliefs[0],
        mean=np.concatenate([b.mean for b in beliefs]),
        std=np.concatenate([b.std for b in beliefs]),
        fingerprints=sparse.vstack([b.fingerprints for b in beliefs], format="csr"),
        projection=np.concatenate([b.projection for b in beliefs], axis=1),
        kernel=np.concatenate([b.kernel for b in beliefs], axis=1),
    )


class TanimotoGP:
    """Exact Gaussian process whose Cholesky factor grows by rows as scores come in: O(N^2) a molecule, not O(N^3).

    Args:
        noise: variance of the observation noise, in units of the amplitude.
        scaling: how scores become y. "none" leaves them (for scores in 0 to 1); "range" maps lowest to 0 and highest to
            1, so that the search does not depend on the unit of the score; "standard" gives mean 0 and deviation 1.
        weighting: of the blocks of the fingerprints; without one, all columns count alike.
    """

    def __init__(self, noise: float = 1e-4, scaling: Scaling = "range", weighting: Weighting | None = None) -> None:
        self.noise, self.scaling, self.weighting = noise, scaling, weighting
        self.weights: tuple[float, ...] = () if weighting is None else weighting.choices[0]
        self._era = 0  # another number whenever earlier rows of a kernel no longer hold
        self._adapted = 0  # molecules known when the weights were last chosen
        self._kernel = self._factor = np.zeros((0, 0))
        self._sizes = np.zeros(0)  # of the observed, as the kernel wants them
        self._scores = np.zeros(0)
        self._told = np.zeros(0)  # the scores, and those of molecules forgotten since: all of them give the units
        self._errors = np.zeros(0)
        self._factored_scale = 1.0  # the scale that `errors` were divided by in the factor
        self._code: sparse.csr_matrix | None = None  # of the observed, as it came
        self._observed: sparse.csr_matrix | None = None  # and weighted
        self._whitened: Array | None = None  # L^-1 y, once it was asked for
        self._fixed_units: tuple[float, float] | None = None  # while `believing`,
        self._certain: int | None = None  # and how many were not only believed

    def __len__(self) -> int:
        return len(self._scores)

    def append(self, fingerprints: sparse.csr_matrix, scores: Array, errors: Array | None = None) -> None:
        """Observe molecules (M, F) with `scores` (M,); non-finite scores are left out, duplicates are welcome.

        Args:
            errors: variance of each score's own error of measurement, (M,), in squared units of the score, on top of
                the process's `noise`; None for exact scores.
        """
        scores = np.asarray(scores, dtype=np.float64)
        keep = np.flatnonzero(np.isfinite(scores))
        if not len(keep):
            return
        n = len(self)
        new = fingerprints[keep]
        self._code, self._observed = _below(self._code, new), _below(self._observed, self._weighted(new))
        clipped = np.clip(scores[keep], -LARGEST_SCORE, LARGEST_SCORE)
        self._scores, self._told = np.concatenate([self._scores, clipped]), np.concatenate([self._told, clipped])
        self._errors = np.concatenate([self._errors, np.zeros(len(keep)) if errors is None else errors[keep]])
        scale = self._units()[1]
        changed = scale != self._factored_scale and self._errors.any()  # errors over scale^2 are then others
        self._factored_scale = scale
        self._grow_kernel()
        self._factorise(0 if changed else n)

    def _grow_kernel(self) -> None:
        """Add the rows and columns of what was observed since."""
        assert self._observed is not None
        n = len(self._kernel)
        new = self._observed[n:]
        within, across = tanimoto(new, new), tanimoto(self._observed[:n], new, self._sizes[:n])
        self._kernel = np.block([[self._kernel, across], [across.T, within]])
        self._sizes = np.concatenate([self._sizes[:n], sizes(new)])

    def _factorise(self, first: int) -> None:
        """Compute the rows of the Cholesky factor from `first` on: from 0, or from where it ends."""
        n = len(self)
        grown = np.zeros((n, n))  # no larger: LAPACK would copy a part of a matrix at each solve
        grown[:first, :first] = self._factor[:first, :first]
        block = self._kernel[first:, first:] + np.diag(self.noise + self._errors[first:] / self._factored_scale**2)
        if first:
            side = self.whiten(self._kernel[:first, first:])
            block -= side.T @ side
            grown[first:, :first] = side.T
        grown[first:, first:] = _cholesky(block)
        self._factor, self._whitened = grown, None

    def adapt(self, y: Array | None = None) -> None:
        """Choose the weights of the blocks anew, where a fifth more is observed than the last time; O(N^3).

        A process that has been told to forget observes no more than before, and stays with its choice.

        Args:
            y: what to predict, (N,) or (N, K); None takes the scores.
        """
        n = len(self)
        if self.weighting is None or self._code is None or n < max(FEWEST, 1.2 * self._adapted):
            return
        if len(self.weighting.choices) == 1:
            return
        self._adapted = n
        offset, scale = self._units()
        targets = (self._scores - offset) / scale if y is None else y
        noise = np.diag(self.noise + self._errors / self._factored_scale**2)
        errors = [leave_one_out_error(kernel + noise, targets) for kernel in self.weighting.kernels(self._code)]
        chosen = self.weighting.choices[int(np.argmin(errors))]
        if chosen != self.weights:
            self.weights = chosen
            self._observed, self._kernel = self._weighted(self._code), np.zeros((0, 0))
            self._era += 1
            self._grow_kernel()
            self._factorise(0)

    def _weighted(self, code: sparse.csr_matrix) -> sparse.csr_matrix:
        return code if self.weighting is None else self.weighting.applied(code, self.weights)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all observed molecules but those in `rows`, counted from the first observed; O(rows^3).

        The scores of the others still count for the scaling.
        """
        if self._code is None or self._observed is None:
            return
        chosen = np.asarray(rows, dtype=np.int64)
        self._code, self._observed = self._code[chosen], self._observed[chosen]
        self._scores, self._errors = self._scores[chosen], self._errors[chosen]
        self._kernel, self._sizes = self._kernel[np.ix_(chosen, chosen)], self._sizes[chosen]
        self._era += 1
        self._factorise(0)

    @contextmanager
    def believing(self, fingerprints: sparse.csr_matrix) -> Iterator[None]:
        """While entered, molecules (M, F) count as observed at their posterior mean.

        That leaves all means as they are, and shrinks the uncertainty of what resembles them (the "kriging believer" of
        Ginsbourger et al. 2010, doi:10.1007/978-3-642-10701-6_6).
        """
        before = dict(vars(self))  # nothing in it is changed in place
        self._fixed_units = self._units()
        self._certain = len(self) if self._certain is None else self._certain
        try:
            self.append(fingerprints, self.posterior(fingerprints).mean)
            yield
        finally:
            vars(self).update(before)

    def posterior(self, fingerprints: sparse.csr_matrix) -> Posterior:
        """Belief about the noise-free scores of molecules (M, F)."""
        return self._belief(self._weighted(fingerprints), np.zeros((0, fingerprints.shape[0])))

    def posterior_of(self, rows: Sequence[int]) -> Posterior:
        """Belief about observed molecules, counted from the first observed; their kernel is known."""
        if self._observed is None:
            raise IndexError("no molecule has been observed")
        return self._belief(self._observed[rows], self._kernel[:, rows])

    def renewed(self, belief: Posterior) -> Posterior:
        """An earlier belief in the light of what was observed since; the weights must be those of that time."""
        return self._belief(belief.fingerprints, belief.kernel if belief.era == self._era else belief.kernel[:0])

    def _belief(self, fingerprints: sparse.csr_matrix, kernel: Array) -> Posterior:
        """Belief about molecules with weighted fingerprints (M, F), whose kernel with the first observed is known."""
        m = fingerprints.shape[0]
        offset, scale = self._units()
        if self._observed is None:
            empty = np.zeros((0, m))
            return Posterior(np.full(m, offset), np.full(m, scale), fingerprints, empty, scale, empty, self._era)
        if (known := len(kernel)) < len(self):
            rest = self._observed[known:] if known else self._observed  # a slice of all would be a copy
            more = tanimoto(rest, fingerprints, self._sizes[known:])
            kernel = np.concatenate([kernel, more]) if known else more
        projection = self.whiten(kernel)
        if self._whitened is None:
            self._whitened = self.whiten((self._scores - offset) / scale)
        variance = np.maximum(1.0 - np.einsum("nm,nm->m", projection, projection), 1e-12)
        mean = offset + scale * (self._whitened @ projection)
        certain = kernel[: self._certain]
        return Posterior(mean, scale * np.sqrt(variance), fingerprints, projection, scale, certain, self._era)

    def whiten(self, y: Array) -> Array:
        """L^-1 y for any y (N,) or (N, K): several outcomes of the same molecules share one factor."""
        return solve_triangular(self._factor, y, lower=True, check_finite=False)

    def _units(self) -> tuple[float, float]:
        return self._fixed_units or units(self._told, self.scaling)


def _below(rows: sparse.csr_matrix | None, more: sparse.csr_matrix) -> sparse.csr_matrix:
    """The rows with `more` rows below them."""
    return more if rows is None else sparse.vstack([rows, more], format="csr")


def units(scores: Array, scaling: Scaling) -> tuple[float, float]:
    """Offset and scale that turn scores (N,) into y; a constant score has scale 1."""
    if scaling == "none" or not len(scores):
        return 0.0, 1.0
    if scaling == "range":
        offset, scale = float(scores.min()), float(np.ptp(scores))
    else:
        offset, scale = float(scores.mean()), float(scores.std())
    return offset, scale if scale > 1 / LARGEST_SCORE else 1.0  # the square of a smaller one is 0


def leave_one_out_error(covariance: Array, y: Array) -> float:
    """Mean square error of each of y (N,) or (N, K) as predicted from all the others, given their covariance (N, N)."""
    factor = _cholesky(covariance)
    whitening, _ = lapack.dtrtri(factor, lower=True)  # a sixth of the work of inverting the covariance
    solved = cho_solve((factor, True), y, check_finite=False)
    return float(np.mean((solved.T / np.einsum("ij,ij->j", whitening, whitening)) ** 2))


def _cholesky(matrix: Array) -> Array:
    """Lower factor of a positive semi-definite matrix, with the least jitter that makes it numerically definite."""
    for jitter in JITTERS:
        try:
            return cholesky(matrix + jitter * np.eye(len(matrix)), lower=True)
        except np.linalg.LinAlgError:
            continue
    raise MolvaeError(
        f"the kernel matrix of {len(matrix)} molecules stays indefinite with jitter {JITTERS[-1]}; is noise 0?"
    )
