"""A Gaussian process over molecules with a Tanimoto kernel on count fingerprints.

=====  ==============  ==============================================================
symbol shape           meaning
=====  ==============  ==============================================================
N      int             molecules observed (finite score)
M      int             molecules asked about
F      int             fingerprint columns, see `features`
K      (N, N)          kernel of the observed, K_ij = sum_f min(a_if, a_jf) / sum_f max(a_if, a_jf)
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
equations 5.10 to 5.12; kernel: Ralaivola et al. 2005, doi:10.1016/j.neunet.2005.07.009 ("MinMax").
Not to be confused with Tanimoto on bits: there a count of 2 equals a count of 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular

from molvae.core.arrays import Array
from molvae.core.errors import MolvaeError

CITATION = "Tripp & Hernandez-Lobato 2024, arXiv:2406.07709 (Tanimoto Gaussian process with fixed hyper-parameters)"

Scaling = Literal["none", "range", "standard"]

JITTERS = (0.0, 1e-8, 1e-6, 1e-4, 1e-2)
FEWEST = 20  # molecules known before a weight is chosen
DENSE_ROWS = 128  # fingerprints written out at once
LARGEST_SCORE = 1e100  # beyond it, differences and squares of scores overflow; ranges below its inverse are constants


def tanimoto(a: sparse.csr_matrix, b: sparse.csr_matrix) -> Array:
    """Tanimoto similarity of unary codes (N, F) and (M, F): (N, M); two empty ones have 1."""
    common = _inner_products(a, b)
    total = np.asarray(a.multiply(a).sum(axis=1)) + np.asarray(b.multiply(b).sum(axis=1)).T
    union = total - common
    return np.where(union > 0, common / np.where(union > 0, union, 1.0), 1.0)


def _inner_products(a: sparse.csr_matrix, b: sparse.csr_matrix) -> Array:
    """Of sparse rows (N, F) and (M, F): (N, M); the fewer rows are made dense, in the columns where they have anything,
    which takes a third of the time."""
    n, m = a.shape[0], b.shape[0]
    if m > n:
        return _inner_products(b, a).T
    products = np.zeros((n, m))
    for first in range(0, m, DENSE_ROWS):
        part = b[first : first + DENSE_ROWS]
        columns, place = np.unique(part.indices, return_inverse=True)
        dense = np.zeros((1 + len(columns), part.shape[0]))  # row 0 is for all columns that `part` has not
        dense[1 + place, np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))] = part.data
        row = np.zeros(b.shape[1], dtype=np.int32)
        row[columns] = 1 + np.arange(len(columns))
        narrow = sparse.csr_matrix((a.data, row[a.indices], a.indptr), shape=(n, len(dense)))
        products[:, first : first + DENSE_ROWS] = narrow @ dense
    return products


@dataclass(frozen=True)
class Posterior:
    """The surrogate's belief about M molecules, in units of the score.

    Attributes:
        mean, std: (M,).
        fingerprints: (M, F), weighted, and `projection` V (N, M): what a covariance needs.
        scale: score per unit amplitude.
    """

    mean: Array
    std: Array
    fingerprints: sparse.csr_matrix
    projection: Array
    scale: float

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
    return replace(
        beliefs[0],
        mean=np.concatenate([b.mean for b in beliefs]),
        std=np.concatenate([b.std for b in beliefs]),
        fingerprints=sparse.vstack([b.fingerprints for b in beliefs], format="csr"),
        projection=np.concatenate([b.projection for b in beliefs], axis=1),
    )


@dataclass(frozen=True)
class Weighting:
    """How much each block of features counts: the choice that predicts best what was observed.

    What a score depends on is not known beforehand (see `features`). Of a few weightings, `TanimotoGP.adapt` takes the
    one with the least leave-one-out error. Its likelihood would not tell: the fixed amplitude favours the largest
    weights, whatever the score.

    Attributes:
        ends: the columns at which the blocks end.
        choices: weights of the blocks; the first until enough is observed.
    """

    ends: tuple[int, ...]
    choices: tuple[tuple[float, ...], ...]

    def applied(self, code: sparse.csr_matrix, weights: Sequence[float]) -> sparse.csr_matrix:
        """Unary code (N, F) such that inner products carry the weights; without the columns whose weight is 0."""
        data = np.sqrt(weights)[np.searchsorted(self.ends, code.indices, side="right")]
        counts = data > 0
        before = np.concatenate([[0], np.cumsum(counts)])
        return sparse.csr_matrix((data[counts], code.indices[counts], before[code.indptr]), shape=code.shape)

    def kernels(self, code: sparse.csr_matrix) -> Iterator[Array]:
        """The kernel (N, N) under each of the choices."""
        blocks = [code[:, start:end] for start, end in zip((0, *self.ends), self.ends, strict=False)]
        common = [_inner_products(block, block) for block in blocks]
        for weights in self.choices:
            both = sum(weight * part for weight, part in zip(weights, common, strict=True) if weight)
            size = np.diag(both)
            union = size[:, None] + size - both
            yield np.where(union > 0, both / np.where(union > 0, union, 1.0), 1.0)


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
        self._adapted = 0  # molecules known when the weights were last chosen
        self._factor = np.zeros((0, 0))
        self._scores = np.zeros(0)
        self._told = np.zeros(0)  # the scores, and those of molecules forgotten since: all of them give the units
        self._errors = np.zeros(0)
        self._factored_scale = 1.0  # the scale that `errors` were divided by in the factor
        self._code: sparse.csr_matrix | None = None  # of the observed, as it came
        self._observed: sparse.csr_matrix | None = None  # and weighted
        self._fixed_units: tuple[float, float] | None = None  # while `believing`

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
        self._factorise(self._observed, 0 if changed else n)

    def _factorise(self, observed: sparse.csr_matrix, first: int) -> None:
        """Compute the rows of the Cholesky factor from `first` on: from 0, or from where it ends."""
        n = len(self)
        grown = np.zeros((n, n))  # no larger: LAPACK would copy a part of a matrix at each solve
        grown[:first, :first] = self._factor[:first, :first]
        new = observed[first:]
        block = tanimoto(new, new) + np.diag(self.noise + self._errors[first:] / self._factored_scale**2)
        if first:
            side = self.whiten(tanimoto(observed[:first], new))
            block -= side.T @ side
            grown[first:, :first] = side.T
        grown[first:, first:] = _cholesky(block)
        self._factor = grown

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
            self._observed = self._weighted(self._code)
            self._factorise(self._observed, 0)

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
        self._factorise(self._observed, 0)

    @contextmanager
    def believing(self, fingerprints: sparse.csr_matrix) -> Iterator[None]:
        """While entered, molecules (M, F) count as observed at their posterior mean.

        That leaves all means as they are, and shrinks the uncertainty of what resembles them (the "kriging believer" of
        Ginsbourger et al. 2010, doi:10.1007/978-3-642-10701-6_6).
        """
        before = self._scores, self._told, self._errors, self._code, self._observed, self._factor
        self._fixed_units = self._units()
        try:
            self.append(fingerprints, self.posterior(fingerprints).mean)
            yield
        finally:
            self._scores, self._told, self._errors, self._code, self._observed, self._factor = before
            self._fixed_units = None

    def posterior(self, fingerprints: sparse.csr_matrix) -> Posterior:
        """Belief about the noise-free scores of molecules (M, F)."""
        m = fingerprints.shape[0]
        fingerprints = self._weighted(fingerprints)
        offset, scale = self._units()
        if self._observed is None:
            return Posterior(np.full(m, offset), np.full(m, scale), fingerprints, np.zeros((0, m)), scale)
        projection = self.whiten(tanimoto(self._observed, fingerprints))
        whitened = self.whiten((self._scores - offset) / scale)
        variance = np.maximum(1.0 - np.einsum("nm,nm->m", projection, projection), 1e-12)
        mean = offset + scale * (whitened @ projection)
        return Posterior(mean, scale * np.sqrt(variance), fingerprints, projection, scale)

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
