"""Per-atom quantities remembered by atom environment.

Crippen's atom types depend on an atom and its near neighbourhood only, but finding them means matching up to a hundred
SMARTS patterns against every molecule. Here each environment is matched once: a new one costs a full evaluation by
RDKit, whose values are then kept under the environment's key. Values are RDKit's own and do not depend on what has been
seen before.

A key is a 64-bit hash of everything the patterns look at: of each atom within the radius its element, aromaticity,
hydrogens, charge and degree, and of each bond its type. Two different environments share a key with a probability of
about n^2 / 4e19 for n environments: 3e-10 for a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar, final

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

Value = TypeVar("Value")

_MOST_KEPT = 2_000_000  # environments; a hundred times what a large screening library holds
_MASK = (1 << 64) - 1


class Environments(NamedTuple):
    """All atoms of a molecule: RDKit's invariant of each (element, hydrogens, charge, degree, isotope) and two keys."""

    invariants: list[int]
    near: list[int]  # atom and neighbours
    far: list[int]  # and their neighbours


def _mixed(x: int) -> int:
    """SplitMix64 (Steele, Lea, Flood. OOPSLA 2014): a bijection of the 64-bit integers without visible structure."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


# A factor for each bond order times two (2 single, 3 aromatic, 4 double, ...); 0 where there is no bond.
_OF_BOND = np.array([0, 0, *(_mixed(1000 + order) | 1 for order in range(2, 14))], dtype=np.uint64)
_SELF, _MULTIPLY, _SHIFT = np.uint64(_mixed(1) | 1), np.uint64(_mixed(2) | 1), np.uint64(31)
_DATIVE = Chem.MolFromSmarts("*->*")  # counts as a single bond in the matrix, but not in SMARTS
_hash_of: dict[int, int] = {}  # invariant -> its 64-bit hash; some hundred exist


def _new_hash(invariant: int) -> int:
    value = _hash_of[invariant] = _mixed(invariant)
    return value


def environments(mol: Chem.Mol) -> Environments | None:
    """Keys of a molecule's atoms; None where they would not tell enough: explicit hydrogens, unusual bonds.

    RDKit's invariants say nothing of aromaticity; the matrix does: an aromatic atom is one that has an aromatic bond.
    """
    orders = Chem.GetAdjacencyMatrix(mol, useBO=True)  # (n, n)
    if mol.GetNumAtoms() != mol.GetNumHeavyAtoms() or np.count_nonzero(orders) != 2 * mol.GetNumBonds():
        return None
    if mol.HasSubstructMatch(_DATIVE):
        return None
    invariants = list(rdMolDescriptors.GetConnectivityInvariants(mol, includeRingMembership=False))
    known = _hash_of
    atoms = np.array([known[i] if i in known else _new_hash(i) for i in invariants], dtype=np.uint64)
    aromatic = (orders == 1.5).any(axis=1)
    atoms += aromatic * _MULTIPLY
    bonds = _OF_BOND[(orders * 2).astype(np.intp)]
    near = atoms * _SELF + bonds @ atoms  # a sum over neighbours: their order does not matter
    mixed = (near ^ (near >> _SHIFT)) * _MULTIPLY
    mixed ^= mixed >> _SHIFT  # else it would be lost in the second sum who is whose neighbour
    return Environments(invariants, near.tolist(), (mixed * _SELF + bonds @ mixed).tolist())


@final
class EnvironmentTable(Generic[Value]):
    """Remembers what `compute` gives for atoms.

    Args:
        compute: gives a molecule's values, one for each atom.
        far: atomic numbers for which the values depend on atoms two bonds away; for all others, on neighbours only.
    """

    def __init__(self, compute: Callable[[Chem.Mol], Sequence[Value]], far: frozenset[int]) -> None:
        self.compute, self.far = compute, far
        self._known: dict[int, Value] = {}
        self._looks_far: dict[int, bool] = {}  # invariant -> whether its element is one of `far`

    def values(self, mol: Chem.Mol) -> Sequence[Value]:
        """One value for each atom, as `compute` would give."""
        keys = environments(mol)
        if keys is None:
            return self.compute(mol)
        looks_far, known = self._looks_far, self._known
        try:
            return [
                known[far if looks_far[invariant] else near]
                for invariant, near, far in zip(keys.invariants, keys.near, keys.far, strict=True)
            ]
        except KeyError:
            return self._learn(mol, keys)

    def _learn(self, mol: Chem.Mol, keys: Environments) -> Sequence[Value]:
        values = self.compute(mol)
        if len(self._known) < _MOST_KEPT:
            for atom, invariant, near, far, value in zip(mol.GetAtoms(), *keys, values, strict=True):
                looks_far = self._looks_far.setdefault(invariant, atom.GetAtomicNum() in self.far)
                self._known[far if looks_far else near] = value
        return values
