"""Bayesian optimisation on latent coordinates with a trust region (TuRBO): the classical latent-space method.

Eriksson et al. 2019, arXiv:1910.01739; on a VAE's latent space as in Maus et al. 2022 (LOL-BO, arXiv:2201.11872), with
the model frozen. Symbols: Z latent dimensions, N observations, C candidates; lengths in units of the prior's deviation.
Not to be confused with `BayesianSearch`, whose Gaussian process sees molecules and no coordinates.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from molvae.core.arrays import Array, Points
from molvae.search.ask_tell import Search
from molvae.search.latent import LatentModel, LatentSpace
from molvae.search.proposals import Candidate

CITATION = "Eriksson et al. 2019, arXiv:1910.01739 (TuRBO); Maus et al. 2022, arXiv:2201.11872 (LOL-BO)"

log = logging.getLogger(__name__)

ROUNDS = 5  # of ranking the box before fewer molecules than wanted are proposed


@dataclass(frozen=True)
class TrustRegion:
    """The box's rules: twice as long after `successes` better batches in a row, half after `failures` without one.

    Attributes:
        length, shortest, longest: side in units of the prior's deviation; below the shortest it starts anew.
        successes, failures: batches in a row with and without a better score, until the side changes.
    """

    length: float = 3.2
    shortest: float = 0.1
    longest: float = 6.4
    successes: int = 3
    failures: int = 10


class TurboSearch(Search):
    """Trust-region latent BO: a BoTorch Gaussian process on the latest points, Thompson sampling in a box.

    Args:
        model: the VAE.
        region: the rules of the box.
        points: how many of the best and latest observations the process is fitted to.
        candidates: C, Sobol points in the box for each batch.
        others: see `Search`.
    """

    def __init__(
        self,
        model: LatentModel,
        region: TrustRegion | None = None,
        points: int = 256,
        candidates: int = 1024,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.space, self.region = LatentSpace(model), region or TrustRegion()
        self.points, self.candidates = points, candidates
        self.length = self.region.length
        self._streak = 0  # positive: better batches in a row, negative: others
        self._best = -np.inf
        self._z = np.zeros((0, model.latent_dim))
        self._y = np.zeros(0)

    def _observe(self, smiles: list[str], values: Array) -> None:
        mean, _ = self.space.posterior(smiles)
        keep = np.isfinite(values) & np.isfinite(mean).all(axis=1)
        self._z, self._y = np.vstack([self._z, mean[keep]]), np.concatenate([self._y, values[keep]])
        if not keep.any():
            return
        first = not np.isfinite(self._best)
        better = float(values[keep].max()) > self._best + 1e-3 * abs(self._best if not first else 0.0)
        self._best = max(self._best, float(values[keep].max()))
        self._streak = max(self._streak, 0) + 1 if better else min(self._streak, 0) - 1
        if self._streak == self.region.successes:
            self.length, self._streak = min(2 * self.length, self.region.longest), 0
        elif self._streak == -self.region.failures:
            self.length, self._streak = self.length / 2, 0
        if self.length < self.region.shortest:
            self.length = self.region.length

    def _propose(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        return self._gathered(n, self._decoded(4 * n, rng))[:n]

    def _decoded(self, n: int, rng: np.random.Generator) -> Iterator[list[Candidate]]:
        """What `n` points of the box after another decode to, best first; and again in another draw of all."""
        for _ in range(ROUNDS):
            order = self._ranked(rng)
            for at in range(0, len(order), n):
                decoded = self.space.model.decode(order[at : at + n])
                yield [Candidate(s, "turbo") for s in decoded if s is not None]

    def _ranked(self, rng: np.random.Generator) -> Points:
        """Sobol points of the box, (C, Z), those first that a Thompson draw likes best; prior draws without data."""
        dim = self.space.dim
        if len(self._y) < 2:
            return rng.standard_normal((self.candidates, dim)).astype(np.float32)
        kept = np.unique(np.r_[np.argsort(-self._y)[: self.points // 2], np.arange(len(self._y))[-self.points // 2 :]])
        centre = self._z[int(np.argmax(self._y))]
        box = _sobol(self.candidates, dim, int(rng.integers(2**31)))
        moved = rng.random((self.candidates, dim)) < min(20 / dim, 1.0)  # few coordinates at a time (their section 3.1)
        moved[np.arange(self.candidates), rng.integers(dim, size=self.candidates)] = True
        points = np.where(moved, centre + self.length * (box - 0.5), centre)
        draw = _thompson(self._z[kept], self._y[kept], points, int(rng.integers(2**31)))
        return points[np.argsort(-draw, kind="stable")].astype(np.float32)


def _sobol(n: int, dim: int, seed: int) -> Array:
    from torch.quasirandom import SobolEngine

    return SobolEngine(dim, scramble=True, seed=seed).draw(n).double().numpy()


def _thompson(z: Array, y: Array, points: Array, seed: int) -> Array:
    """Scores of `points` (C, Z) in one draw from a process fitted to z (N, Z), y (N,), standardised; (C,)."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from gpytorch.mlls import ExactMarginalLogLikelihood

    scale = y.std() or 1.0
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # where a fit fails, BoTorch tries again from drawn hyper-parameters
        warnings.simplefilter("ignore")  # latent points are no unit cube, and a fit that stops early will do
        model = SingleTaskGP(torch.tensor(z), torch.tensor((y - y.mean()) / scale)[:, None])
        try:
            fit_gpytorch_mll(
                ExactMarginalLogLikelihood(model.likelihood, model), optimizer_kwargs={"options": {"maxiter": 50}}
            )
        except Exception as error:  # a failed fit never ends a search: the default hyper-parameters serve
            log.warning("turbo: the process could not be fitted (%s); keeping the default hyper-parameters", error)
        model.eval()
        with torch.no_grad():
            posterior: Any = model.posterior(torch.tensor(points))
            mean, covariance = posterior.mean[:, 0], posterior.distribution.covariance_matrix
        values, vectors = torch.linalg.eigh(covariance)
    noise = torch.randn(len(mean), generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    return (mean + vectors @ (values.clamp(min=0).sqrt() * noise)).numpy()
