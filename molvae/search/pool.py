"""The candidates of one batch, what the surrogate believes of them, and which of them are asked for."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace

import numpy as np

from molvae.search.acquisition import Scorer
from molvae.search.diversity import Spread
from molvae.search.proposals import Candidate
from molvae.search.surrogate import Posterior, joined


@dataclass(frozen=True)
class Reserve:
    """What a batch left for the next one: candidates, the belief about them, and the features' weights in it."""

    candidates: list[Candidate]
    belief: Posterior
    weights: tuple[float, ...]


class Pool:
    """All candidates of one batch, with the surrogate's belief about them.

    Args:
        told: molecules with known scores, which are no candidates.
        scorer: the acquisition function of the inner search.
        noise: of the surrogate.

    Attributes:
        standing: of the candidates and of other molecules that may be parents, what the acquisition function gives.
    """

    def __init__(self, told: Container[str], scorer: Scorer, noise: float) -> None:
        self.told, self.scorer, self.noise = told, scorer, noise
        self.standing: dict[str, float] = {}
        self.index: dict[str, int] = {}  # SMILES to row
        self.candidates: list[Candidate] = []
        self.beliefs: list[Posterior] = []

    def knows(self, smiles: str) -> bool:
        """Whether a molecule is a candidate, or can be none."""
        return smiles in self.told or smiles in self.index

    def rank(self, smiles: Sequence[str], belief: Posterior) -> None:
        """Give molecules a standing."""
        self.standing.update(zip(smiles, self.scorer(belief).tolist(), strict=True))

    def add(self, candidates: Sequence[Candidate], belief: Posterior) -> None:
        """Take in new candidates."""
        self.rank([c.smiles for c in candidates], belief)
        self.beliefs.append(belief)
        self.index.update({c.smiles: row for row, c in enumerate(candidates, len(self.index))})
        self.candidates += candidates

    def best_without(self, picked: Sequence[Candidate]) -> list[Candidate]:
        """The candidates that were not picked, best first."""
        return sorted(set(self.candidates) - set(picked), key=lambda c: (-self.standing[c.smiles], c))

    def belief(self) -> Posterior:
        """The belief about all of its candidates, of which there must be one."""
        self.beliefs = [joined(self.beliefs)]
        return self.beliefs[0]

    def belief_in(self, candidates: Sequence[Candidate]) -> Posterior:
        """The belief about some of its candidates."""
        return self.belief().rows([self.index[c.smiles] for c in candidates])

    def pick(self, n: int, draw: Callable[[], Scorer], spread: Spread) -> list[Candidate]:
        """`n` candidates one after another; each pick counts as observed at its mean, which lowers the std of its kin.

        The first pick maximises the function the inner search used, each other one a fresh draw; those that `spread`
        does not admit are passed over.
        """
        if not self.candidates:
            return []
        belief = self.belief()
        picked: list[int] = []
        variance = belief.std**2
        factors = np.zeros((0, len(variance)))  # rows of the pivoted Cholesky factor of the posterior covariance
        for _ in range(min(n, len(self.candidates))):
            scorer = draw() if picked else self.scorer
            scores = scorer(replace(belief, std=np.sqrt(variance)))
            ranked = (int(j) for j in np.argsort(-scores, kind="stable"))
            i = next((j for j in ranked if j not in picked and spread.admits(self.candidates[j].smiles)), -1)
            if i < 0:
                break
            spread.take(self.candidates[i].smiles)
            picked.append(i)
            row = belief.covariance_with(i) - factors[:, i] @ factors
            row /= np.sqrt(max(row[i], 0.0) + self.noise * belief.scale**2)
            factors = np.vstack([factors, row])
            variance = np.maximum(variance - row**2, 1e-12 * belief.scale**2)
        return [self.candidates[i] for i in picked]
