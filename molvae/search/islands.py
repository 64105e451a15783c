"""Beginnings anew: a search that has climbed a hill without finding a higher one climbs others beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from heapq import nlargest

from molvae.core.arrays import Array
from molvae.search.goals import Maximum

TEN = 10  # of the best are watched, as many as the area under the curve of PMO averages


class Islands(Maximum):
    """One score, sought from several beginnings.

    While the best improve, all molecules compete to be parents. When the ten best have stayed for `patience` scores, an
    island begins: the next molecules are built on those that were scored first, and on what has come out of them since,
    as if nothing better were known. The surrogate does know, so an island climbs faster than the first search. When its
    ten best stay for as long, all molecules compete again, those of the island among them, until the next one.

    Args:
        patience: scores without a better ten.
        n_first: how many of the molecules scored first an island begins with.
    """

    def __init__(self, patience: int, n_first: int) -> None:
        super().__init__()
        self.patience, self.n_first = patience, n_first
        self._phase = 0
        self._rivals: dict[str, float] = {}  # the molecules that may be parents, and in a phase join them
        self._ten: list[float] = []  # the best of their scores, in rising order
        self._best = -math.inf
        self._since_best = self._since_ten = 0

    @property
    def phase(self) -> int:
        return self._phase

    @property
    def progress(self) -> tuple[float, int]:
        """The best score among those that may be parents, and how many came after it in this phase."""
        return (self._best, self._since_best) if self._rivals else (0.0, 0)

    def parents(self, n: int) -> list[str]:
        return nlargest(n, self._rivals, self._rivals.__getitem__)

    def observe(self, smiles: Sequence[str], values: Array) -> None:
        super().observe(smiles, values)
        for one, value in zip(smiles, values.tolist(), strict=True):
            self._rivals[one] = value
            self._since_best = 0 if value > self._best else self._since_best + 1
            self._best = max(self._best, value)
            better = len(self._ten) < TEN or value > self._ten[0]
            beginning = len(self._scores) <= self.n_first  # these were given, and are no attempts
            self._since_ten = 0 if better or beginning else self._since_ten + 1
            self._ten = sorted([*self._ten, value])[-TEN:]
        if self._since_ten >= self.patience:
            self._phase += 1
            known = list(self._scores.items())
            self._build_on(dict(known[: self.n_first] if self._phase % 2 else known))

    def _build_on(self, rivals: dict[str, float]) -> None:
        """Begin a phase in which these, and what will be scored, may be parents."""
        self._rivals = rivals
        self._ten = sorted(rivals.values())[-TEN:]
        self._best = max(rivals.values(), default=-math.inf)
        self._since_best = self._since_ten = 0
