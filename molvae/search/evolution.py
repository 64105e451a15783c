"""A genetic algorithm on molecular graphs, without a surrogate: the baseline of one and of several objectives.

Selection is that of NSGA-II (Deb et al. 2002, doi:10.1109/4235.996017): non-dominated sorting (section III.A), crowding
distance (III.B), binary tournaments. Parents are the best of all that was scored, so that a batch as large as the
population is a generation. Children come from the same graph edits that the search of molvae proposes with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from molvae.core.arrays import Array
from molvae.search.ask_tell import Search
from molvae.search.pareto import front_mask
from molvae.search.proposals import Candidate, Parents, Proposer, probabilities, proposed

CITATION = "Deb et al. 2002, doi:10.1109/4235.996017 (NSGA-II)"

ROUNDS = 20  # of breeding before giving up on finding new molecules


class EvolutionSearch(Search):
    """Molecules bred from the best so far.

    Args:
        proposers: make children, with their shares.
        population: number of parents.
        meets: whether a molecule meets what every child is to meet; those that do not are parents only while none does.
        others: see `Search`.
    """

    def __init__(
        self,
        proposers: list[tuple[Proposer, float]],
        population: int = 100,
        meets: Callable[[str], bool] | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.proposers, self.population, self.meets = proposers, population, meets
        self._parents: list[str] = []

    def _observe(self, smiles: list[str], values: Array) -> None:
        pool = [s for s in dict.fromkeys([*self._parents, *smiles]) if np.isfinite(self.values[s]).all()]
        if self.meets is not None:
            pool = [s for s in pool if self.meets(s)] or pool
        if pool:
            order = survivors(np.array([np.atleast_1d(self.values[s]) for s in pool]), self.population)
            self._parents = [pool[i] for i in order]

    def _propose(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        found = self._gathered(n, (self._bred(2 * n, rng) for _ in range(ROUNDS)))
        return [found[int(i)] for i in rng.permutation(len(found))[:n]]

    def _bred(self, n: int, rng: np.random.Generator) -> list[Candidate]:
        """About `n` children."""
        parents = Parents(tuple(self._tournaments(n, rng)), rank_offset=1e6)  # winners mate evenly
        counts = rng.multinomial(n, probabilities(self.proposers)).tolist()
        return proposed(self.proposers, counts, parents, rng)

    def _tournaments(self, n: int, rng: np.random.Generator) -> list[str]:
        """Winners of `n` duels: the parents stand best first, so the smaller place wins."""
        parents = self._parents or list(self.values)[: self.population]  # all have failed: anything is a start
        if not parents:
            return []
        return [parents[int(i)] for i in rng.integers(len(parents), size=(n, 2)).min(axis=1)]


def survivors(objectives: Array, n: int) -> list[int]:
    """Rows of the `n` best of (N, Q): front by front, within a front the least crowded first."""
    order: list[int] = []
    left = np.arange(len(objectives))
    while len(left) and len(order) < n:
        mask = front_mask(objectives[left])
        front = left[mask]
        crowding = crowding_distance(objectives[front])
        order += [int(i) for i in front[np.argsort(-crowding, kind="stable")]]
        left = left[~mask]
    return order[:n]


def crowding_distance(objectives: Array) -> Array:
    """How far the neighbours of each row of (N, Q) are apart, summed over objectives; infinite at the ends."""
    distance = np.zeros(len(objectives))
    for column in objectives.T:
        order = np.argsort(column, kind="stable")
        spread = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if spread > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / spread
    return distance
