"""Crossovers of molecular graphs: parts of two molecules, cut at chains or at rings, joined (Jensen 2019,
doi:10.1039/C8SC05372C; the code is our own)."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem
from rdkit.Chem import BondType, RWMol

from molvae.search.graphs import Generator, finished, is_cuttable, random_bond


def crossover(a: Chem.Mol, b: Chem.Mol, rng: Generator) -> Chem.Mol | None:
    """A child of two `editable` parents: a part of each, joined by one bond or, at rings, by two; None where none was
    found in a few trials."""
    cut = cut_ring if rng.random() < 0.5 else cut_chain
    for _ in range(4):
        left, right = cut(a, rng), cut(b, rng)
        if left is None or right is None:
            cut = cut_ring if cut is cut_chain else cut_chain
            continue
        child = finished(join(left, right, rng))
        if child is not None:
            return child
    return None


class Part:
    """A piece of a molecule with the atoms where it was cut and the orders of the bonds that were cut."""

    def __init__(self, mol: Chem.Mol, atoms: Sequence[int], orders: Sequence[BondType]) -> None:
        self.mol, self.atoms, self.orders = mol, tuple(atoms), tuple(orders)


def cut_chain(mol: Chem.Mol, rng: Generator) -> Part | None:
    """One of the two pieces left when a random single bond outside rings is cut."""
    bond = random_bond(mol, rng, is_cuttable)
    return None if bond is None else _piece(mol, [bond], rng)


def cut_ring(mol: Chem.Mol, rng: Generator) -> Part | None:
    """One of the two pieces left when two bonds of one ring are cut."""
    rings = mol.GetRingInfo().BondRings()
    if not rings:
        return None
    ring = rings[int(rng.integers(len(rings)))]
    chosen = rng.choice(len(ring), size=2, replace=False)
    return _piece(mol, [mol.GetBondWithIdx(ring[int(k)]) for k in chosen], rng)


def _piece(mol: Chem.Mol, bonds: Sequence[Chem.Bond], rng: Generator) -> Part | None:
    """One side of the cut through `bonds`, unless they do not separate the molecule into exactly two."""
    cut = RWMol(mol)
    ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in bonds]
    orders = [b.GetBondType() for b in bonds]
    for i, j in ends:
        cut.RemoveBond(i, j)
    mapping: list[tuple[int, ...]] = []
    pieces = Chem.GetMolFrags(cut, asMols=True, sanitizeFrags=False, fragsMolAtomMapping=mapping)
    if len(pieces) != 2:
        return None
    side = int(rng.integers(2))
    position = {atom: k for k, atom in enumerate(mapping[side])}
    atoms = [position[i] if i in position else position[j] for i, j in ends if i in position or j in position]
    return Part(pieces[side], atoms, orders) if len(atoms) == len(ends) else None


def join(left: Part, right: Part, rng: Generator) -> Chem.Mol | None:
    """The two parts bound together where they were cut; None where one was cut once and the other twice."""
    if len(left.atoms) != len(right.atoms):
        return None
    combined = RWMol(Chem.CombineMols(left.mol, right.mol))
    shift = left.mol.GetNumAtoms()
    order = rng.permutation(len(right.atoms))
    pairs = []
    for k, partner in enumerate(order):
        i, j = left.atoms[k], shift + right.atoms[int(partner)]
        if (i, j) in pairs or combined.GetBondBetweenAtoms(i, j) is not None:
            return None
        bond = left.orders[k] if rng.random() < 0.5 else right.orders[int(partner)]
        combined.AddBond(i, j, bond)
        pairs.append((i, j))
    return combined
