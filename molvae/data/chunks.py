"""The work of preparing, cut into chunks: rows in, checked and tokenised molecules out, one file for each chunk.

A chunk depends on its rows and the recipe only, so chunks can be made in any order, by any number of workers, and those
that a killed run left behind are used again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS
from molvae.chem.molecules import Standardiser
from molvae.core.arrays import AnyArray
from molvae.core.errors import MoleculeError
from molvae.core.files import atomic_path
from molvae.core.tables import Row
from molvae.data.splits import ColumnSplit, RandomSplit, ScaffoldSplit, SingleSplit, assign
from molvae.tokens.tokenizer import to_symbols

HYDROGEN_FIRST = re.compile(r"\[\d*H")  # perhaps nothing but hydrogen; saves counting the atoms of all others


@dataclass(frozen=True)
class Recipe:
    """What is done to every molecule; the cells of a row are (SMILES, split or "", properties...)."""

    standardiser: Standardiser
    constraints: dict[str, int]
    split: ColumnSplit | RandomSplit | ScaffoldSplit | SingleSplit
    max_length: int
    elements: frozenset[str] | None
    min_heavy_atoms: int
    max_heavy_atoms: int | None
    properties: tuple[str, ...]
    descriptors: tuple[str, ...] = ()


class Dropped(NamedTuple):
    """A row that was left out."""

    source: int
    row: int
    smiles: str
    reason: str


@dataclass(frozen=True)
class Chunk:
    """Molecules of consecutive rows; M of them kept so far.

    Attributes:
        source: (M,) index of the input file.
        row: (M,) row in it.
        key: (M, 2) uint64, a 128-bit hash of the canonical SMILES: equal keys are taken to be equal molecules.
        split: (M,) index into `splits`.
        lengths: (M,) SELFIES symbols of each, the end token not counted.
        symbols: (sum of lengths,) indices into `alphabet`.
        properties: (M, P) float32, NaN where the cell was empty; descriptors behind columns.
        smiles: M strings as they came.
        splits, alphabet: names, in order of appearance.
        dropped: rows left out.
    """

    source: AnyArray
    row: AnyArray
    key: AnyArray
    split: AnyArray
    lengths: AnyArray
    symbols: AnyArray
    properties: AnyArray
    smiles: list[str]
    splits: list[str]
    alphabet: list[str]
    dropped: list[Dropped]

    ARRAYS = ("source", "row", "key", "split", "lengths", "symbols", "properties")

    def __len__(self) -> int:
        return len(self.row)

    def save(self, path: Path) -> None:
        """Write the chunk; it is whole or absent."""
        texts = {"smiles": self.smiles, "splits": self.splits, "alphabet": self.alphabet, "dropped": self.dropped}
        encoded = np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)
        with atomic_path(path) as temporary, open(temporary, "wb") as handle:
            np.savez(handle, texts=encoded, **{name: getattr(self, name) for name in self.ARRAYS})

    @classmethod
    def load(cls, path: Path) -> Chunk:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            texts = json.loads(arrays["texts"].tobytes())
            texts["dropped"] = [Dropped(*row) for row in texts["dropped"]]
            return cls(**{name: arrays[name] for name in cls.ARRAYS}, **texts)


def make_chunk(recipe: Recipe, rows: Sequence[tuple[int, Row]], refused: Mapping[int, str] | None = None) -> Chunk:
    """Check, standardise and tokenise rows.

    Args:
        recipe: what to do.
        rows: (index of the file, row) pairs.
        refused: positions in `rows` that are not to be touched, each with the reason (they have killed a worker).
    """
    refused = refused or {}
    kept: list[tuple[int, int, str, bytes, str, list[str], list[float]]] = []
    dropped = []
    for position, (source, (number, cells)) in enumerate(rows):
        smiles, cell, *values = cells
        if reason := refused.get(position):
            dropped.append(Dropped(source, number, smiles, reason))
            continue
        try:
            canonical, symbols = _checked(recipe, smiles)
            split = assign(recipe.split, canonical, cell)
            numbers = [_number(smiles, name, value) for name, value in zip(recipe.properties, values, strict=True)]
            numbers += _described(recipe, canonical)
        except MoleculeError as error:
            dropped.append(Dropped(source, number, smiles, error.reason))
            continue
        key = blake2b(canonical.encode(), digest_size=16).digest()
        kept.append((source, number, smiles, key, split, symbols, numbers))
    return _packed(kept, dropped, len(recipe.properties) + len(recipe.descriptors))


def _checked(recipe: Recipe, smiles: str) -> tuple[str, list[str]]:
    """Canonical SMILES and symbols of a molecule that passes every test."""
    if not smiles:
        raise MoleculeError(smiles, "no SMILES in the row")
    canonical = recipe.standardiser(smiles)
    bounded = recipe.elements is not None or recipe.min_heavy_atoms > 1 or recipe.max_heavy_atoms is not None
    if bounded or HYDROGEN_FIRST.match(canonical):
        _check_atoms(recipe, canonical)
    symbols = to_symbols(canonical, recipe.constraints)
    if len(symbols) + 1 > recipe.max_length:
        raise MoleculeError(smiles, f"longer than {recipe.max_length - 1} tokens")
    return canonical, symbols


def _check_atoms(recipe: Recipe, canonical: str) -> None:
    mol = Chem.MolFromSmiles(canonical)
    heavy = mol.GetNumHeavyAtoms()
    if heavy < recipe.min_heavy_atoms:
        raise MoleculeError(canonical, f"fewer than {recipe.min_heavy_atoms} heavy atoms")
    if recipe.max_heavy_atoms is not None and heavy > recipe.max_heavy_atoms:
        raise MoleculeError(canonical, f"more than {recipe.max_heavy_atoms} heavy atoms")
    if recipe.elements is not None:
        foreign = sorted({atom.GetSymbol() for atom in mol.GetAtoms()} - recipe.elements)
        if foreign:
            raise MoleculeError(canonical, f"element {foreign[0]} is not allowed")


def _number(smiles: str, name: str, cell: str) -> float:
    if not cell:
        return math.nan
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if abs(value) > float(np.finfo(np.float32).max):
        raise MoleculeError(smiles, f"property {name} is not a finite number")
    return value


def _described(recipe: Recipe, canonical: str) -> list[float]:
    """The descriptors asked for."""
    if not recipe.descriptors:
        return []
    mol = Chem.MolFromSmiles(canonical)
    return [DESCRIPTORS[name](mol) for name in recipe.descriptors]


def _packed(kept: list[Any], dropped: list[Dropped], n_properties: int) -> Chunk:
    sources, numbers, smiles, keys, splits, symbols, values = zip(*kept, strict=True) if kept else ((),) * 7
    split_names, alphabet = list(dict.fromkeys(splits)), list(dict.fromkeys(s for mol in symbols for s in mol))
    index = {symbol: i for i, symbol in enumerate(alphabet)}
    return Chunk(
        source=np.array(sources, dtype=np.uint16),
        row=np.array(numbers, dtype=np.int64),
        key=np.frombuffer(b"".join(keys), dtype="<u8").reshape(-1, 2),
        split=np.array([split_names.index(s) for s in splits], dtype=np.uint8 if len(split_names) < 256 else np.uint16),
        lengths=np.array([len(mol) for mol in symbols], dtype=np.uint16),
        symbols=np.array([index[s] for mol in symbols for s in mol], dtype=np.uint16),
        properties=np.array(values, dtype=np.float32).reshape(len(kept), n_properties),
        smiles=list(smiles),
        splits=split_names,
        alphabet=alphabet,
        dropped=dropped,
    )
