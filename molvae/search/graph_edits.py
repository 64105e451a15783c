"""Random edits and crossovers of molecular graphs: the operators of a graph genetic algorithm, on RDKit's RWMol.

The set of moves follows Jensen 2019 (doi:10.1039/C8SC05372C: grow, insert, delete, change, ring closure, crossover at
ring and chain bonds); the code is our own and edits the graph itself instead of running reaction patterns.
A move either returns a molecule or None, when it does not apply or leaves an impossible molecule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import BondType, RWMol

from molvae.chem.molecules import parse

Generator = np.random.Generator
Move = Callable[[RWMol, Generator], "Chem.Mol | None"]

LARGEST_RING = 8
ELEMENTS = (6, 7, 8, 9, 16, 17, 35)
ELEMENT_WEIGHTS = np.array([0.5, 0.18, 0.18, 0.05, 0.05, 0.03, 0.01])
ORDERS = (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE)
ORDER_WEIGHTS = np.array([0.65, 0.3, 0.05])


def mutate(mol: Chem.Mol, rng: Generator) -> str | None:
    """SMILES (not canonical) of a random edit of a `kekulised` molecule; None where no move worked in a few trials."""
    for _ in range(4):
        move = MOVES[int(rng.choice(len(MOVES), p=MOVE_WEIGHTS))]
        child = finished(move(RWMol(mol), rng))
        if child is not None:
            return child
    return None


def crossover(a: Chem.Mol, b: Chem.Mol, rng: Generator) -> str | None:
    """SMILES (not canonical) of a child of two `kekulised` parents: a part of each, joined by one bond or, at rings, by
    two; None where none was found in a few trials."""
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


def kekulised(smiles: str) -> Chem.Mol | None:
    """The molecule with alternating single and double bonds in place of aromatic ones, ready to be edited."""
    mol = parse(smiles)
    if mol is None:
        return None
    try:
        Chem.Kekulize(mol, clearAromaticFlags=True)
    except Chem.KekulizeException:
        return None
    for atom in mol.GetAtoms():
        if atom.GetNumRadicalElectrons() == 0:
            atom.SetNoImplicit(False)  # hydrogens follow the bonds
            atom.SetNumExplicitHs(0)
    mol.UpdatePropertyCache(strict=False)
    return mol


def finished(mol: Chem.Mol | None) -> str | None:
    """SMILES of an edited molecule, or None where its valences or rings are impossible."""
    if mol is None or mol.GetNumAtoms() == 0:
        return None
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    if not _rings_sound(mol):
        return None
    smiles = Chem.MolToSmiles(mol, canonical=False)  # the search makes it canonical, once
    return None if "." in smiles else smiles


def _rings_sound(mol: Chem.Mol) -> bool:
    """Whether rings have a usual size and no allene or cumulated double bonds within (rules of Jensen 2019)."""
    if any(len(ring) > LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    return not any(mol.HasSubstructMatch(pattern) for pattern in _strained())


@cache
def _strained() -> tuple[Chem.Mol, ...]:
    texts = ("[R]=[R]=[R]", "[r3,r4]=[r3,r4]", "[R]#[R]", "[O,S,N;!a]-[O,F,Cl,Br,I]-[O,S,N;!a]")
    return tuple(Chem.MolFromSmarts(text) for text in texts)


# Moves -------------------------------------------------------------------------------------------------------------


def append_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Bind a new atom to a random one."""
    open_atoms = [a.GetIdx() for a in mol.GetAtoms() if a.GetTotalNumHs() > 0]
    if not open_atoms:
        return None
    new = mol.AddAtom(Chem.Atom(_element(rng)))
    mol.AddBond(_pick(open_atoms, rng), new, _order(rng))
    return mol


def insert_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Put a new atom into a random single bond."""
    bonds = [b for b in mol.GetBonds() if b.GetBondType() == BondType.SINGLE]
    if not bonds:
        return None
    bond = _pick(bonds, rng)
    i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    mol.RemoveBond(i, j)
    new = mol.AddAtom(Chem.Atom(_element(rng)))
    mol.AddBond(i, new, BondType.SINGLE)
    mol.AddBond(new, j, BondType.SINGLE)
    return mol


def delete_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove an atom with one or two neighbours; two neighbours are bound to each other."""
    atoms = [a for a in mol.GetAtoms() if a.GetDegree() in (1, 2)]
    if not atoms or mol.GetNumAtoms() < 3:
        return None
    atom = _pick(atoms, rng)
    ends = [n.GetIdx() for n in atom.GetNeighbors()]
    orders = [b.GetBondType() for b in atom.GetBonds()]
    if len(ends) == 2:
        if mol.GetBondBetweenAtoms(*ends) is not None:
            return None
        mol.AddBond(ends[0], ends[1], orders[int(rng.integers(2))])
    mol.RemoveAtom(atom.GetIdx())
    return mol


def change_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Turn an atom into another element."""
    atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
    element = _element(rng)
    if element == atom.GetAtomicNum():
        return None
    atom.SetAtomicNum(element)
    atom.SetFormalCharge(0)
    atom.SetNoImplicit(False)
    atom.SetNumExplicitHs(0)
    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    return mol


def change_bond(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Give a bond another order."""
    if mol.GetNumBonds() == 0:
        return None
    bond = mol.GetBondWithIdx(int(rng.integers(mol.GetNumBonds())))
    order = _order(rng)
    if order == bond.GetBondType():
        return None
    bond.SetBondType(order)
    bond.SetStereo(Chem.BondStereo.STEREONONE)
    return mol


def close_ring(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Bind two atoms that are two to six bonds apart, mostly to a ring of five or six."""
    open_atoms = [a.GetIdx() for a in mol.GetAtoms() if a.GetTotalNumHs() > 0]
    if len(open_atoms) < 2:
        return None
    start = _pick(open_atoms, rng)
    distances = Chem.GetDistanceMatrix(mol)[start]
    size = int(rng.choice([3, 4, 5, 6, 7], p=[0.1, 0.05, 0.4, 0.4, 0.05]))
    ends = [i for i in open_atoms if distances[i] == size - 1]
    if not ends:
        return None
    mol.AddBond(start, _pick(ends, rng), BondType.SINGLE)
    return mol


def open_ring(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove a ring bond."""
    bonds = [b for b in mol.GetBonds() if b.IsInRing()]
    if not bonds:
        return None
    bond = _pick(bonds, rng)
    mol.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
    return mol


def move_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Cut a substituent off and bind it to another atom of the remaining molecule."""
    bonds = [b for b in mol.GetBonds() if b.GetBondType() == BondType.SINGLE and not b.IsInRing()]
    if not bonds:
        return None
    bond = _pick(bonds, rng)
    i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    mol.RemoveBond(i, j)
    parts = Chem.GetMolFrags(mol)
    stem, group = (parts[0], parts[1]) if len(parts[0]) >= len(parts[1]) else (parts[1], parts[0])
    hook = i if i in group else j
    spots = [a for a in stem if mol.GetAtomWithIdx(a).GetTotalNumHs() > 0 and a not in (i, j)]
    if not spots:
        return None
    mol.AddBond(_pick(spots, rng), hook, BondType.SINGLE)
    return mol


MOVES: tuple[Move, ...] = (
    append_atom,
    insert_atom,
    delete_atom,
    change_atom,
    change_bond,
    close_ring,
    open_ring,
    move_group,
)
MOVE_WEIGHTS = np.array([0.18, 0.12, 0.18, 0.18, 0.12, 0.08, 0.06, 0.08])


# Crossover ---------------------------------------------------------------------------------------------------------


class Part:
    """A piece of a molecule with the atoms where it was cut and the orders of the bonds that were cut."""

    def __init__(self, mol: Chem.Mol, atoms: Sequence[int], orders: Sequence[BondType]) -> None:
        self.mol, self.atoms, self.orders = mol, tuple(atoms), tuple(orders)


def cut_chain(mol: Chem.Mol, rng: Generator) -> Part | None:
    """One of the two pieces left when a random single bond outside rings is cut."""
    for _ in range(6):  # drawing until one fits is cheaper than listing them all
        bond = mol.GetBondWithIdx(int(rng.integers(mol.GetNumBonds()))) if mol.GetNumBonds() else None
        if bond is not None and bond.GetBondType() == BondType.SINGLE and not bond.IsInRing():
            return _piece(mol, [bond], rng)
    return None


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


def _pick(items: Sequence, rng: Generator):  # type: ignore[no-untyped-def, type-arg]
    return items[int(rng.integers(len(items)))]


def _element(rng: Generator) -> int:
    return ELEMENTS[int(rng.choice(len(ELEMENTS), p=ELEMENT_WEIGHTS))]


def _order(rng: Generator) -> BondType:
    return ORDERS[int(rng.choice(len(ORDERS), p=ORDER_WEIGHTS))]
