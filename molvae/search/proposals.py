"""What proposes candidate molecules: free of oracle calls, and it may be wasteful, since the search sifts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from molvae.core.arrays import Array


class Candidate(NamedTuple):
    """A molecule worth looking at, and the name of what proposed it."""

    smiles: str
    origin: str


@dataclass(frozen=True)
class Parents:
    """Molecules to start from, best first.

    Attributes:
        smiles: P canonical SMILES, best first.
        rank_offset: how evenly parents are drawn: weight 1 / (rank_offset P + rank), rank = 1, 2, ... (the rank-based
            weights of Tripp et al. 2020, arXiv:2006.09191, who count from 0). Small is greedy.
    """

    smiles: tuple[str, ...]
    rank_offset: float = 0.05

    @property
    def weights(self) -> Array:
        """Probability of each parent, (P,)."""
        weights = 1.0 / (self.rank_offset * len(self.smiles) + 1 + np.arange(len(self.smiles)))
        return weights / weights.sum()

    def draw(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` parents, drawn with replacement by weight; none where there are no parents."""
        if not self.smiles:
            return []
        return [self.smiles[int(i)] for i in rng.choice(len(self.smiles), size=n, p=self.weights)]


class Proposer(ABC):
    """Makes candidates from parents.

    To add one: subclass, implement `propose`, add a spec with a new `kind` to `search/specs.py`.

    Attributes:
        at_once: make all proposals of a batch in its first inner generation, because many at once are cheaper.
    """

    name: str
    at_once: bool = False

    @abstractmethod
    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        """At most `n` candidates; they need not be distinct, new, canonical or even valid. All randomness is `rng`."""


def probabilities(shared: Sequence[tuple[Any, float]]) -> Array:
    """Of K kinds of proposal with their shares, which need not sum to 1: (K,)."""
    shares = np.array([share for _, share in shared])
    return shares / shares.sum()


def proposed(
    proposers: Sequence[tuple[Proposer, float]], counts: Sequence[int], parents: Parents, rng: np.random.Generator
) -> list[Candidate]:
    """So many candidates of each proposer; one that is to make none is not asked."""
    return [
        candidate
        for (proposer, _), count in zip(proposers, counts, strict=True)
        if count
        for candidate in proposer.propose(parents, count, rng)
    ]
