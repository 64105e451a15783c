"""Random edits and crossovers of molecular graphs: the operators of a graph genetic algorithm, on RDKit's RWMol.

The set of moves follows Jensen 2019 (doi:10.1039/C8SC05372C: grow, insert, delete, change, ring closure, crossover at
ring and chain bonds), and whole substituents, common ones in medicinal chemistry (Ertl 2003, doi:10.1021/ci0255782),
are attached or exchanged; the code is our own and edits the graph itself instead of running reaction patterns.
A move either returns a molecule or None, when it does not apply or leaves an impossible molecule.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import BondType, RWMol

Generator = np.random.Generator
Move = Callable[[RWMol, Generator], "Chem.Mol | None"]

LARGEST_RING = 8
DRAWS = 8  # of atoms or bonds, until one fits
ELEMENTS = (6, 7, 8, 9, 16, 17, 35)
ELEMENT_WEIGHTS = np.array([0.5, 0.18, 0.18, 0.05, 0.05, 0.03, 0.01])
ORDERS = (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE)
ORDER_WEIGHTS = np.array([0.65, 0.3, 0.05])


GROUPS = (  # bound by their first atom
    "C(F)(F)F", "OC(F)(F)F", "OC", "C#N", "C(N)=O", "C(=O)O", "C(C)=O", "C(=O)OC", "NC(C)=O", "C(=O)NC", "S(N)(=O)=O",
    "S(C)(=O)=O", "NS(C)(=O)=O", "[N+](=O)[O-]", "N(C)C", "C(C)C", "C(C)(C)C", "C1CC1", "C1CCCCC1", "N1CCCCC1",
    "N1CCCC1", "N1CCOCC1", "N1CCNCC1", "c1ccccc1", "c1ccncc1", "c1cccnc1", "c1ccsc1", "c1ccoc1", "[nH]1cccn1",
    "[nH]1ccnc1", "c1nnn[nH]1", "c1cnoc1", "Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "C(=O)c1ccccc1", "C(=O)Nc1ccccc1",
    "c1ccc2ccccc2c1", "c1c[nH]c2ccccc12",
)  # fmt: skip


def mutate(mol: Chem.Mol, rng: Generator) -> Chem.Mol | None:
    """A random edit of an `editable` molecule; None where no move worked in a few trials."""
    for _ in range(4):
        move = MOVES[int(rng.choice(len(MOVES), p=MOVE_WEIGHTS))]
        child = finished(move(RWMol(mol), rng))
        if child is not None:
            return child
    return None


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


def editable(mol: Chem.Mol) -> Chem.Mol | None:
    """A copy with alternating single and double bonds in place of aromatic ones, ready to be edited."""
    mol = Chem.Mol(mol)
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


def finished(mol: Chem.Mol | None) -> Chem.Mol | None:
    """An edited molecule, sanitised; None where its valences or rings are impossible, or it fell to pieces."""
    if mol is None or mol.GetNumAtoms() == 0:
        return None
    if Chem.SanitizeMol(mol, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
        return None
    return mol if _rings_sound(mol) and len(Chem.GetMolFrags(mol)) == 1 else None


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
    site = _atom(mol, rng, _open)
    if site is None:
        return None
    new = mol.AddAtom(Chem.Atom(_element(rng)))
    mol.AddBond(site.GetIdx(), new, _order(rng))
    return mol


def insert_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Put a new atom into a random single bond."""
    ends = _removed(mol, rng, lambda b: b.GetBondType() == BondType.SINGLE)
    if ends is None:
        return None
    i, j = ends
    new = mol.AddAtom(Chem.Atom(_element(rng)))
    mol.AddBond(i, new, BondType.SINGLE)
    mol.AddBond(new, j, BondType.SINGLE)
    return mol


def delete_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove an atom with one or two neighbours; two neighbours are bound to each other."""
    atom = _atom(mol, rng, lambda a: a.GetDegree() in (1, 2))
    if atom is None or mol.GetNumAtoms() < 3:
        return None
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
    start = _atom(mol, rng, _open)
    if start is None:
        return None
    distances = Chem.GetDistanceMatrix(mol)[start.GetIdx()]
    size = int(rng.choice([3, 4, 5, 6, 7], p=[0.1, 0.05, 0.4, 0.4, 0.05]))
    ends = [i for i in np.flatnonzero(distances == size - 1).tolist() if _open(mol.GetAtomWithIdx(i))]
    if not ends:
        return None
    mol.AddBond(start.GetIdx(), _pick(ends, rng), BondType.SINGLE)
    return mol


def open_ring(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove a ring bond."""
    return None if _removed(mol, rng, lambda b: b.IsInRing()) is None else mol


def move_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Cut a substituent off and bind it to another atom of the remaining molecule."""
    ends = _removed(mol, rng, _cuttable)
    if ends is None:
        return None
    i, j = ends
    parts = Chem.GetMolFrags(mol)
    stem, group = (parts[0], parts[1]) if len(parts[0]) >= len(parts[1]) else (parts[1], parts[0])
    hook = i if i in group else j
    spots = [a for a in stem if mol.GetAtomWithIdx(a).GetTotalNumHs() > 0 and a not in (i, j)]
    if not spots:
        return None
    mol.AddBond(_pick(spots, rng), hook, BondType.SINGLE)
    return mol


def attach_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Bind a common substituent to a random atom."""
    site = _atom(mol, rng, _open)
    return None if site is None else _with_group(mol, site.GetIdx(), rng)


def exchange_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Put a common substituent in the place of the smaller part beyond a bond."""
    ends = _removed(mol, rng, _cuttable)
    if ends is None:
        return None
    i, j = ends
    parts = sorted(Chem.GetMolFrags(mol), key=len)
    site = i if i in parts[-1] else j
    whole = _with_group(mol, site, rng)
    whole.BeginBatchEdit()
    for atom in parts[0]:
        whole.RemoveAtom(atom)
    whole.CommitBatchEdit()
    return whole


def _with_group(mol: Chem.Mol, site: int, rng: Generator) -> RWMol:
    """The molecule with a substituent on atom `site`."""
    whole = RWMol(Chem.CombineMols(mol, _pick(_groups(), rng)))
    whole.AddBond(site, mol.GetNumAtoms(), BondType.SINGLE)
    return whole


@cache
def _groups() -> tuple[Chem.Mol, ...]:
    return tuple(mol for text in GROUPS if (mol := editable(Chem.MolFromSmiles(text))) is not None)


MOVES: tuple[Move, ...] = (
    append_atom,
    insert_atom,
    delete_atom,
    change_atom,
    change_bond,
    close_ring,
    open_ring,
    move_group,
    attach_group,
    exchange_group,
)
MOVE_WEIGHTS = np.array([0.14, 0.10, 0.16, 0.16, 0.10, 0.07, 0.05, 0.07, 0.08, 0.07])


# Crossover ---------------------------------------------------------------------------------------------------------


class Part:
    """A piece of a molecule with the atoms where it was cut and the orders of the bonds that were cut."""

    def __init__(self, mol: Chem.Mol, atoms: Sequence[int], orders: Sequence[BondType]) -> None:
        self.mol, self.atoms, self.orders = mol, tuple(atoms), tuple(orders)


def cut_chain(mol: Chem.Mol, rng: Generator) -> Part | None:
    """One of the two pieces left when a random single bond outside rings is cut."""
    bond = _bond(mol, rng, _cuttable)
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


def _open(atom: Chem.Atom) -> bool:
    """Whether an atom has a hydrogen to give for a bond."""
    return atom.GetTotalNumHs() > 0


def _cuttable(bond: Chem.Bond) -> bool:
    """Whether a molecule falls into two where the bond is cut."""
    return bond.GetBondType() == BondType.SINGLE and not bond.IsInRing()


def _atom(mol: Chem.Mol, rng: Generator, fits: Callable[[Chem.Atom], bool]) -> Chem.Atom | None:
    """A random atom that fits, or None; a few are drawn, which is cheaper than to look at them all."""
    for _ in range(DRAWS):
        atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
        if fits(atom):
            return atom
    return None


def _bond(mol: Chem.Mol, rng: Generator, fits: Callable[[Chem.Bond], bool]) -> Chem.Bond | None:
    """A random bond that fits, or None; a few are drawn."""
    for _ in range(DRAWS if mol.GetNumBonds() else 0):
        bond = mol.GetBondWithIdx(int(rng.integers(mol.GetNumBonds())))
        if fits(bond):
            return bond
    return None


def _removed(mol: RWMol, rng: Generator, fits: Callable[[Chem.Bond], bool]) -> tuple[int, int] | None:
    """Remove a random bond that fits; the atoms that it bound, or None where none was found."""
    bond = _bond(mol, rng, fits)
    if bond is None:
        return None
    ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    mol.RemoveBond(*ends)
    return ends


def _pick(items: Sequence, rng: Generator):  # type: ignore[no-untyped-def, type-arg]
    return items[int(rng.integers(len(items)))]


def _element(rng: Generator) -> int:
    return ELEMENTS[int(rng.choice(len(ELEMENTS), p=ELEMENT_WEIGHTS))]


def _order(rng: Generator) -> BondType:
    return ORDERS[int(rng.choice(len(ORDERS), p=ORDER_WEIGHTS))]
