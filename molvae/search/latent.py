"""Proposals by way of a model's latent space: move latent points, decode them.

Symbols: N points, P parents, Z latent dimensions; a parent's posterior is Normal(mean (Z,), diag std^2 (Z,)).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from molvae.core.arrays import Points
from molvae.search.proposals import Candidate, Parents, Proposer, probabilities


class LatentModel(Protocol):
    """What the search needs of a model; `molvae.load(...)` gives one."""

    @property
    def latent_dim(self) -> int:
        """Z."""
        ...

    def posterior(self, smiles: Sequence[str], on_invalid: Any = ..., inversion: int = ...) -> tuple[Points, Points]:
        """Mean and std of each molecule's posterior, (N, Z) each; rows of NaN for molecules it cannot read.

        With `inversion` a mean from which the molecule is not decoded is moved, by so many gradient steps at most.
        """
        ...

    def decode(
        self, z: Points, temperature: float | None = None, top_p: float = 1.0, rng: Any = ...
    ) -> list[str | None]:
        """SMILES of latent points (N, Z); None where the decoder spells no molecule."""
        ...

    def redraw(
        self, smiles: Sequence[str], z: Points, copies: int = ..., edits: int = ..., rng: Any = ...
    ) -> list[list[str]]:
        """For each molecule `copies` variants, in which the decoder at z (N, Z) has rewritten a few tokens."""
        ...

    def prior(self, n: int, rng: Any = ...) -> Points:
        """`n` latent points from the prior, (n, Z)."""
        ...

    def sample(self, n: int, temperature: Any = ..., *, rng: Any = ...) -> list[str]:
        """`n` molecules from the prior."""
        ...


class LatentSpace:
    """Where molecules lie in a model's latent space.

    It remembers nothing: in other company a molecule's point differs in the last digits, and a search that is resumed
    must find what it would have found.

    Args:
        model: the model.
        inversion: gradient steps, at most, that move a mean from which the molecule is not decoded to a point from
            which it is; see `MoleculeVAE.invert`.
    """

    def __init__(self, model: LatentModel, inversion: int = 0) -> None:
        self.model, self.inversion = model, inversion

    @property
    def dim(self) -> int:
        """Z."""
        return self.model.latent_dim

    def posterior(self, smiles: Sequence[str]) -> tuple[Points, Points]:
        """Mean and std, (N, Z) each; rows of NaN for molecules outside the model's vocabulary or length."""
        if not smiles:
            empty = np.zeros((0, self.dim), dtype=np.float32)
            return empty, empty
        row = {molecule: i for i, molecule in enumerate(dict.fromkeys(smiles))}
        mean, std = self.model.posterior(list(row), on_invalid="nan", inversion=self.inversion)
        rows = [row[molecule] for molecule in smiles]
        return mean[rows], std[rows]


class LatentMove(ABC):
    """Makes latent points from the posteriors of drawn parents.

    Attributes:
        parents: how many parents a point has.
        temperature: how the point is decoded; None decodes greedily.
    """

    name: str
    parents: int = 1
    temperature: float | None = None

    @abstractmethod
    def points(self, mean: Points, std: Points, rng: np.random.Generator) -> Points:
        """Points (N, Z) from posteriors (parents, N, Z)."""


class Perturbation(LatentMove):
    """Noise scaled by the posterior's spread, times a factor drawn log-uniformly from `scale` for each point."""

    name = "latent_perturbation"

    def __init__(self, scale: tuple[float, float] = (0.3, 2.0)) -> None:
        self.scale = scale

    def points(self, mean: Points, std: Points, rng: np.random.Generator) -> Points:
        factor = np.exp(rng.uniform(np.log(self.scale[0]), np.log(self.scale[1]), size=(mean.shape[1], 1)))
        return mean[0] + factor * std[0] * rng.standard_normal(mean[0].shape)


class MaskCrossover(LatentMove):
    """Each coordinate from one of two parents, with a mixing probability drawn uniformly for each point."""

    name = "latent_crossover"
    parents = 2

    def points(self, mean: Points, std: Points, rng: np.random.Generator) -> Points:
        share = rng.uniform(size=(mean.shape[1], 1))
        return np.where(rng.uniform(size=mean[0].shape) < share, mean[0], mean[1])


class Interpolation(LatentMove):
    """A random point on the line between two parents."""

    name = "latent_interpolation"
    parents = 2

    def points(self, mean: Points, std: Points, rng: np.random.Generator) -> Points:
        share = rng.uniform(size=(mean.shape[1], 1))
        return share * mean[0] + (1 - share) * mean[1]


class StochasticDecoding(LatentMove):
    """The parent's own point, decoded by sampling tokens instead of taking the likeliest."""

    name = "stochastic_decoding"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def points(self, mean: Points, std: Points, rng: np.random.Generator) -> Points:
        return mean[0]


class PriorDraw(LatentMove):
    """A point from the model's prior."""

    name = "prior_draw"
    parents = 0

    def __init__(self, model: LatentModel) -> None:
        self.model = model

    def points(self, mean: Points, std: Points, rng: np.random.Generator) -> Points:
        return self.model.prior(mean.shape[1], rng)


class LatentProposals(Proposer):
    """Several latent moves, decoded together: the moves of one call share a temperature, drawn by the shares.

    Args:
        space: the model.
        moves: kinds of move with their shares of the proposals.
    """

    name = "latent"
    at_once = True

    def __init__(self, space: LatentSpace, moves: Sequence[tuple[LatentMove, float]]) -> None:
        self.space, self.moves = space, tuple(moves)

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        usable = [(move, share) for move, share in self.moves if share > 0 and (parents.smiles or not move.parents)]
        if not usable:
            return []
        temperature = usable[int(rng.choice(len(usable), p=probabilities(usable)))][0].temperature
        usable = [(move, share) for move, share in usable if move.temperature == temperature]
        points, origins = [np.zeros((0, self.space.dim), dtype=np.float32)], list[str]()
        for (move, _), count in zip(usable, rng.multinomial(n, probabilities(usable)), strict=True):
            points.append(self._moved(move, parents, int(count), rng).astype(np.float32))
            origins += [move.name] * count
        decoding = np.random.default_rng(rng.integers(2**63))
        decoded = self.space.model.decode(np.concatenate(points), temperature=temperature, rng=decoding)
        return [Candidate(s, origin) for s, origin in zip(decoded, origins, strict=True) if s is not None]

    def _moved(self, move: LatentMove, parents: Parents, count: int, rng: np.random.Generator) -> Points:
        """Points (count, Z); rows of NaN, which decode to no molecule, where the model cannot read a parent."""
        if not move.parents:
            nothing = np.zeros((1, count, self.space.dim), dtype=np.float32)
            return move.points(nothing, nothing, rng)
        mean, std = self.space.posterior(parents.draw(move.parents * count, rng))
        shape = (move.parents, count, self.space.dim)
        return move.points(mean.reshape(shape), std.reshape(shape), rng)


class DecoderEdits(Proposer):
    """A few tokens of a parent redrawn from the decoder's distribution at a point near the parent's.

    Decoding a latent point gives a relative of the parent only where the model reconstructs the parent, which it
    seldom does for the unusual molecules that a search arrives at; here the parent's own tokens are kept but for a few.

    Args:
        space: the model.
        edits: changed tokens, at most.
        scale: distance from the parent's point, in posterior standard deviations.
        copies: variants of each parent drawn, which share its (costly) reading.
    """

    name = "decoder_edits"
    at_once = True

    def __init__(self, space: LatentSpace, edits: int = 3, scale: float = 0.5, copies: int = 6) -> None:
        self.space, self.edits, self.scale, self.copies = space, edits, scale, copies

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        drawn = parents.draw(-(-n // self.copies), rng)
        mean, std = self.space.posterior(drawn)
        readable = np.flatnonzero(np.isfinite(mean).all(axis=1))
        points = mean[readable] + self.scale * std[readable] * rng.standard_normal(mean[readable].shape)
        variants = self.space.model.redraw(
            [drawn[int(i)] for i in readable], points.astype(np.float32), self.copies, self.edits, rng
        )
        return [Candidate(smiles, self.name) for family in variants for smiles in family][:n]
