"""Proposals that edit the molecule itself: its graph, or its SELFIES string. They need no model."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import selfies
from rdkit import Chem

from molvae.chem.molecules import parse
from molvae.search.graph_crossover import crossover
from molvae.search.graph_moves import mutate
from molvae.search.graphs import editable
from molvae.search.proposals import Candidate, Parents, Proposer
from molvae.tokens.tokenizer import default_constraints, pin

CITATION = (
    "Jensen 2019, doi:10.1039/C8SC05372C (graph genetic algorithm); "
    "Nigam et al. 2021, doi:10.1039/D1SC00231G (STONED: random edits of SELFIES)"
)

Edit = Callable[[Chem.Mol, np.random.Generator], "Chem.Mol | None"]


@lru_cache(maxsize=4096)
def _editable(smiles: str) -> Chem.Mol | None:
    """The molecule ready to be edited; parents come back again and again."""
    mol = parse(smiles)
    return None if mol is None else editable(mol)


class GraphMutation(Proposer):
    """A random edit of a parent's graph, followed by another one with probability `repeat`, and so on.

    Args:
        repeat: probability of one more edit.
        edit: what is done to a parent; see `graph_moves`.
    """

    name = "graph_mutation"

    def __init__(self, repeat: float = 0.3, edit: Edit = mutate) -> None:
        self.repeat, self.edit = repeat, edit

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        candidates = []
        for smiles in parents.draw(n, rng):
            child = self.edit(parent, rng) if (parent := _editable(smiles)) is not None else None
            while child is not None and rng.random() < self.repeat:
                child = _edited(child, self.edit, rng)
            candidates += _written(child, self.name)
        return candidates


class GraphCrossover(Proposer):
    """Parts of two parents joined at cut bonds, now and then with an edit on top.

    Args:
        mutation_rate: probability of that edit.
    """

    name = "graph_crossover"

    def __init__(self, mutation_rate: float = 0.1) -> None:
        self.mutation_rate = mutation_rate

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        candidates = []
        for first, second in zip(parents.draw(n, rng), parents.draw(n, rng), strict=True):
            a, b = _editable(first), _editable(second)
            child = crossover(a, b, rng) if a is not None and b is not None else None
            if child is not None and rng.random() < self.mutation_rate:
                child = _edited(child, mutate, rng)
            candidates += _written(child, self.name)
        return candidates


class SelfiesEdits(Proposer):
    """Symbols of a parent's SELFIES replaced, inserted or deleted; the result always decodes to some molecule.

    Args:
        edits: up to so many edits, uniformly drawn.
    """

    name = "selfies_edits"

    def __init__(self, edits: int = 3) -> None:
        self.edits = edits

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        alphabet = _alphabet()
        candidates = []
        for smiles in parents.draw(n, rng):
            symbols = list(_symbols(smiles))
            for _ in range(int(rng.integers(1, self.edits + 1))):
                _edit(symbols, alphabet, rng)
            candidates += _decoded(symbols, self.name)
        return candidates


class SelfiesCrossover(Proposer):
    """The beginning of one parent's SELFIES and the end of another's."""

    name = "selfies_crossover"

    def propose(self, parents: Parents, n: int, rng: np.random.Generator) -> list[Candidate]:
        candidates = []
        for first, second in zip(parents.draw(n, rng), parents.draw(n, rng), strict=True):
            a, b = _symbols(first), _symbols(second)
            if a and b:
                symbols = [*a[: int(rng.integers(1, len(a) + 1))], *b[int(rng.integers(0, len(b))) :]]
                candidates += _decoded(symbols, self.name)
        return candidates


def _edit(symbols: list[str], alphabet: tuple[str, ...], rng: np.random.Generator) -> None:
    """Replace, insert or delete one symbol in place."""
    kind = int(rng.integers(3))
    new = alphabet[int(rng.integers(len(alphabet)))]
    if kind == 0 or not symbols:
        symbols.insert(int(rng.integers(len(symbols) + 1)), new)
    elif kind == 1:
        symbols[int(rng.integers(len(symbols)))] = new
    else:
        del symbols[int(rng.integers(len(symbols)))]


def _decoded(symbols: list[str], origin: str) -> list[Candidate]:
    pin(default_constraints())
    smiles = selfies.decoder("".join(symbols))
    return [Candidate(smiles, origin)] if smiles and "." not in smiles else []


@lru_cache(maxsize=4096)
def _symbols(smiles: str) -> tuple[str, ...]:
    """SELFIES symbols of a canonical SMILES; none where SELFIES cannot express it."""
    pin(default_constraints())
    try:
        return tuple(selfies.split_selfies(selfies.encoder(smiles)))
    except selfies.EncoderError:
        return ()


def _alphabet() -> tuple[str, ...]:
    """The semantically robust alphabet without ions and exotic elements, in sorted order."""
    common = {"C", "N", "O", "F", "P", "S", "Cl", "Br", "I"}
    pin(default_constraints())
    symbols = selfies.get_semantic_robust_alphabet()
    kept = [s for s in symbols if "Ring" in s or "Branch" in s or s.strip("[]=#") in common]
    return tuple(sorted(kept))


def _edited(mol: Chem.Mol, edit: Edit, rng: np.random.Generator) -> Chem.Mol:
    """The molecule with one more edit, or as it is where none works."""
    ready = editable(mol)
    return mol if ready is None else edit(ready, rng) or mol


def _written(mol: Chem.Mol | None, origin: str) -> list[Candidate]:
    """The candidate that an edited molecule is; its SMILES is not canonical, since the search makes it so, once."""
    return [] if mol is None else [Candidate(Chem.MolToSmiles(mol, canonical=False), origin)]
