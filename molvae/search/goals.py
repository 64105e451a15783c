"""What a search strives for: which of the molecules observed are the best, and so the parents of the next ones."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from heapq import nlargest
from typing import Any

import numpy as np

from molvae.core.arrays import Array
from molvae.search.outcomes import Outcomes


class Goal(ABC):
    """Orders what was observed. Its state is a function of what it was shown, in that order."""

    @abstractmethod
    def observe(self, smiles: Sequence[str], values: Array) -> None:
        """Take in molecules with finite values: scores (M,), or outcomes (M, K)."""

    @abstractmethod
    def ranked(self, n: int) -> list[str]:
        """The `n` best molecules, best first."""

    @property
    @abstractmethod
    def progress(self) -> tuple[float, int]:
        """The score that improvement is measured against, in its own unit, and how many came after it."""

    @property
    def phase(self) -> int:
        """How often other molecules have become parents at a stroke; see `islands`."""
        return 0

    def parents(self, n: int) -> list[str]:
        """At most `n` molecules to build the next ones on, best first; of several objectives the whole front."""
        return self.ranked(n)


class Maximum(Goal):
    """One score, as large as possible."""

    def __init__(self) -> None:
        self._scores: dict[str, float] = {}

    def observe(self, smiles: Sequence[str], values: Array) -> None:
        self._scores.update(zip(smiles, values.tolist(), strict=True))

    def ranked(self, n: int) -> list[str]:
        return nlargest(n, self._scores, self._scores.__getitem__)

    @property
    def progress(self) -> tuple[float, int]:
        scores = list(self._scores.values())
        return (max(scores), len(scores) - 1 - int(np.argmax(scores))) if scores else (0.0, 0)


class ProposableFirst(Goal):
    """Builds on the molecules that could have been proposed themselves, and on the others while there are none.

    Start molecules and measured ones may break a constraint that every proposal is to meet. What is built on those
    would mostly break it, too.

    Args:
        goal, others: of the former and of the latter, alike and new.
        meets: whether a molecule meets what every proposal is to meet.
    """

    def __init__(self, goal: Goal, others: Goal, meets: Callable[[str], bool]) -> None:
        self.goal, self.others, self.meets = goal, others, meets

    def observe(self, smiles: Sequence[str], values: Array) -> None:
        met = np.array([self.meets(one) for one in smiles], dtype=bool)
        for goal, chosen in ((self.goal, met), (self.others, ~met)):
            if chosen.any():
                goal.observe([one for one, yes in zip(smiles, chosen, strict=True) if yes], values[chosen])

    def ranked(self, n: int) -> list[str]:
        first = self.goal.ranked(n)
        return first + self.others.ranked(n - len(first)) if len(first) < n else first

    def parents(self, n: int) -> list[str]:
        return self.goal.parents(n) or self.others.parents(n)

    @property
    def progress(self) -> tuple[float, int]:
        return self.goal.progress if self.goal.ranked(1) else self.others.progress

    @property
    def phase(self) -> int:
        return self.goal.phase + self.others.phase


class ParetoFront(Goal):
    """Several objectives, constrained outcomes, or both.

    Feasible molecules come first, those first that the fewest feasible ones dominate (Fonseca & Fleming 1993, "Genetic
    algorithms for multiobjective optimization", section 3); then the infeasible, the least broken first (Deb et al.
    2002, doi:10.1109/4235.996017, section VI). A newcomer costs O(N Q).
    """

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes
        self._smiles: list[str] = []
        self._objectives = np.zeros((0, outcomes.n_objectives))
        self._excess = np.zeros((0, len(outcomes.windows)))
        self._dominators = np.zeros(0, dtype=np.int64)  # how many feasible molecules dominate each
        self._stalled = 0  # molecules since one joined the front

    def observe(self, smiles: Sequence[str], values: Array) -> None:
        for one, row in zip(smiles, values, strict=True):
            y, excess = row[: self.outcomes.n_objectives], self.outcomes.excess(row[None])[0]
            feasible = self._feasible
            better = (self._objectives >= y).all(axis=1) & (self._objectives > y).any(axis=1)
            if not excess.any():
                self._dominators += (self._objectives <= y).all(axis=1) & (self._objectives < y).any(axis=1)
            self._stalled = 0 if not excess.any() and not (better & feasible).any() else self._stalled + 1
            self._smiles.append(one)
            self._objectives = np.vstack([self._objectives, y])
            self._excess = np.vstack([self._excess, excess])
            self._dominators = np.append(self._dominators, int((better & feasible).sum()))

    @property
    def _feasible(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        return np.asarray(~self._excess.any(axis=1))

    def ranked(self, n: int) -> list[str]:
        """The `n` best, best first; of several objectives the whole front, however large."""
        spread = self._excess.std(axis=0) if len(self._excess) else np.ones(len(self.outcomes.windows))
        broken = (self._excess / np.where(spread > 0, spread, 1.0)).sum(axis=1)  # windows have different units
        order = np.lexsort([np.where(self._feasible, self._dominators, 0), broken])
        several = self.outcomes.n_objectives > 1
        n_front = int((self._feasible & (self._dominators == 0)).sum()) if several else 0
        return self._named(order[: max(n, n_front)])

    @property
    def progress(self) -> tuple[float, int]:
        """The best feasible score (0 of several objectives, which have none; -inf while nothing is feasible), and how
        many molecules came since one joined the front."""
        if not self._feasible.any():
            return -math.inf, self._stalled
        best = float(self._objectives[self._feasible, 0].max()) if self.outcomes.n_objectives == 1 else 0.0
        return best, self._stalled

    def _named(self, rows: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
        return list(dict.fromkeys(self._smiles[int(i)] for i in rows))
