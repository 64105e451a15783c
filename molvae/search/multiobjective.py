"""Acquisition functions for several objectives: a random scalarisation, and the expected growth of the hypervolume.

======  ========  ===============================================================================
symbol  shape     meaning
======  ========  ===============================================================================
M, Q    int       candidates, objectives
mean    (M, Q)    posterior means of y: each objective from 0 (worst) to 1 (best observed)
std     (M,)      posterior standard deviation of y, common to all objectives
w       (Q,)      weights of the objectives, sum 1
u       (M, Q)    mean + weight * std
======  ========  ===============================================================================
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.core.arrays import Array
from molvae.search.acquisition import Acquisition, Scorer
from molvae.search.outcomes import Outcomes, OutcomesPosterior
from molvae.search.pareto import infer_reference
from molvae.search.surrogate import Posterior, joined

if TYPE_CHECKING:
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement

PAREGO = (
    "Knowles 2006, doi:10.1109/TEVC.2005.851274 (ParEGO); Paria et al. 2019, arXiv:1805.12168 (random scalarisation)"
)
NEHVI = "Daulton et al. 2021, arXiv:2105.08195 (qNEHVI); Ament et al. 2023, arXiv:2310.20708 (its logarithm)"


class Chebyshev(Acquisition):
    """Upper bounds of all objectives, joined by an augmented Chebyshev scalarisation with random weights.

        1 - max_q w_q (1 - u_q) - rho sum_q w_q (1 - u_q)

    (Knowles 2006, eq. 2, with the ideal point 1; upper bounds as in Paria et al. 2019, section 3.) Weights are uniform
    on the simplex and, like the weight of std, new for each draw: each pick aims at another place of the front.
    """

    def __init__(self, log10_weight: tuple[float, float] = (-1.5, 0.5), rho: float = 0.05) -> None:
        self.log10_weight, self.rho = log10_weight, rho

    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        curiosity = 10.0 ** rng.uniform(*self.log10_weight)
        seed = int(rng.integers(2**63))

        def score(posterior: Posterior) -> Array:
            weights = np.random.default_rng(seed).dirichlet(np.ones(posterior.mean.shape[1]))
            lack = weights * (1.0 - posterior.mean - curiosity * posterior.std[:, None])
            return 1.0 - lack.max(axis=1) - self.rho * lack.sum(axis=1)

        return score


class JointAcquisition(Acquisition):
    """Ranks candidates by one function while proposals are made, and picks the batch by another."""

    @abstractmethod
    def choose(self, known: Posterior, pool: Posterior, scores: Array, n: int, rng: np.random.Generator) -> list[int]:
        """Rows of the `n` candidates of `pool` to pick.

        Args:
            known: the belief about the best molecules observed.
            scores: of the candidates, (M,), by the function drawn with `draw`.
        """


class HypervolumeImprovement(JointAcquisition):
    """BoTorch's qLogNEHVI over the best candidates, greedily one after another; each pick is pending for the next.

    Proposals are ranked by `inner` meanwhile, which is much cheaper. The cost of a pick grows with samples times known
    molecules, and for three objectives about ten times that of two.

    Args:
        outcomes: what the columns of the posterior are; its `reference` in the objectives' units, where given.
        inner: ranks the proposals, and chooses the shortlist.
        candidates: length of the shortlist.
        known: molecules of the front that improvement is measured against, at most; those furthest apart.
        samples: Monte Carlo samples.
    """

    def __init__(
        self, outcomes: Outcomes, inner: Acquisition, candidates: int = 100, known: int = 50, samples: int = 16
    ) -> None:
        self.outcomes, self.inner = outcomes, inner
        self.candidates, self.known, self.samples = candidates, known, samples

    def draw(self, best: float, rng: np.random.Generator, stalled: int = 0) -> Scorer:
        return self.inner.draw(best, rng, stalled)

    def choose(self, known: Posterior, pool: Posterior, scores: Array, n: int, rng: np.random.Generator) -> list[int]:
        import torch

        assert isinstance(known, OutcomesPosterior)
        assert isinstance(pool, OutcomesPosterior)
        q, seed = self.outcomes.n_objectives, int(rng.integers(2**31))
        kept = furthest_apart(known.mean[:, :q], self.known)
        shortlist = np.argsort(-scores, kind="stable")[: max(self.candidates, n)]
        belief = joined([known.rows(kept), pool.rows(shortlist)])
        choices = torch.arange(len(kept), len(kept) + len(shortlist), dtype=torch.double)[:, None]
        picked: list[int] = []
        for _ in range(min(n, len(shortlist))):
            pending = choices[picked] if picked else None
            with torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # jitter added to a covariance of nearly certain molecules
                values = self._function(belief, len(kept), pending, seed)(choices[:, None])
            values[picked] = -torch.inf
            picked.append(int(values.argmax()))
        return [int(shortlist[i]) for i in picked]

    def _function(
        self, belief: OutcomesPosterior, n_known: int, pending: Any, seed: int
    ) -> qLogNoisyExpectedHypervolumeImprovement:
        """The acquisition function over row numbers of `belief`, the first `n_known` of which were observed."""
        import torch
        from botorch.acquisition.multi_objective import logei
        from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
        from botorch.sampling import SobolQMCNormalSampler

        from molvae.search.joint_model import JointModel

        # BoTorch would compile C++ for minutes on first use, where there is a compiler, to run twice as fast afterwards
        logei._load_attempted = True
        q = self.outcomes.n_objectives
        return logei.qLogNoisyExpectedHypervolumeImprovement(
            model=JointModel(belief),
            ref_point=torch.tensor(self._reference(belief, n_known)),
            X_baseline=torch.arange(n_known, dtype=torch.double)[:, None],
            sampler=SobolQMCNormalSampler(torch.Size([self.samples]), seed=seed),
            objective=IdentityMCMultiOutputObjective(list(range(q)), num_outcomes=belief.mean.shape[1]),
            constraints=_broken(belief, self.outcomes),
            X_pending=pending,
            prune_baseline=False,
            cache_root=False,
        )

    def _reference(self, belief: OutcomesPosterior, n_known: int) -> list[float]:
        """The reference point in units of y: the one given, or one inferred from the known."""
        objectives = belief.columns(slice(self.outcomes.n_objectives))
        if self.outcomes.reference is not None:
            return [float(v) for v in objectives.standard(self.outcomes.reference)]
        return list(infer_reference(objectives.mean[:n_known]))


def furthest_apart(points: Array, n: int) -> list[int]:
    """Rows of at most `n` points (M, Q): the best of each objective, then always the one furthest from all chosen."""
    chosen = list(dict.fromkeys(int(i) for i in points.argmax(axis=0)))[:n]
    if len(points) <= n:
        return list(range(len(points)))
    distance = np.min([np.linalg.norm(points - points[i], axis=1) for i in chosen], axis=0)
    while len(chosen) < n:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[-1]], axis=1))
    return chosen


def _broken(belief: OutcomesPosterior, outcomes: Outcomes) -> Any:
    """For each end of each window, by how much samples (..., K) in units of y lie outside; None without windows."""
    ends = []
    for column, window in enumerate(outcomes.windows, start=outcomes.n_objectives):
        offset, scale = float(belief.offsets[column]), float(belief.scales[column])
        if window.low is not None:
            low = (window.low - offset) / scale
            ends.append(lambda samples, column=column, low=low: low - samples[..., column])
        if window.high is not None:
            high = (window.high - offset) / scale
            ends.append(lambda samples, column=column, high=high: samples[..., column] - high)
    return ends or None
