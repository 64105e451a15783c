"""Random edits of one molecular graph: the mutations of a graph genetic algorithm, on RDKit's RWMol.

The set of moves follows Jensen 2019 (doi:10.1039/C8SC05372C: grow, insert, delete, change, ring closure). Substituents
move, change places, or give way to others that are common in medicinal chemistry (Ertl 2003, doi:10.1021/ci0255782);
some moves keep the formula, because many scores hang on it. The code is our own and edits the graph itself instead of
running reaction patterns. A move either returns a molecule or None, when it does not apply or leaves an impossible one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from rdkit import Chem
from rdkit.Chem import BondType, RWMol

from molvae.search.graphs import (
    Generator,
    editable,
    finished,
    is_cuttable,
    is_open,
    pick,
    random_atom,
    random_bond,
    was_aromatic,
)

Move = Callable[[RWMol, Generator], Chem.Mol | None]

TRIALS = 4  # of moves, until one works
ELEMENTS = (6, 7, 8, 9, 16, 17, 35, 15, 53)
ELEMENT_WEIGHTS = np.array([0.49, 0.18, 0.18, 0.05, 0.05, 0.03, 0.01, 0.007, 0.003])
WIDENING = 0.2  # of the atoms that an aromatic ring could take in, most would spoil it
ORDERS = (BondType.SINGLE, BondType.DOUBLE, BondType.TRIPLE)
ORDER_WEIGHTS = np.array([0.65, 0.3, 0.05])

GROUPS = (  # bound by their first atom
    "C(F)(F)F", "OC(F)(F)F", "OC", "C#N", "C(N)=O", "C(=O)O", "C(C)=O", "C(=O)OC", "NC(C)=O", "C(=O)NC", "S(N)(=O)=O",
    "S(C)(=O)=O", "NS(C)(=O)=O", "[N+](=O)[O-]", "N(C)C", "C(C)C", "C(C)(C)C", "C1CC1", "C1CCCCC1", "N1CCCCC1",
    "N1CCCC1", "N1CCOCC1", "N1CCNCC1", "c1ccccc1", "c1ccncc1", "c1cccnc1", "c1ccsc1", "c1ccoc1", "[nH]1cccn1",
    "[nH]1ccnc1", "c1nnn[nH]1", "c1cnoc1", "Cc1ccccc1", "Oc1ccccc1", "Nc1ccccc1", "C(=O)c1ccccc1", "C(=O)Nc1ccccc1",
    "c1ccc2ccccc2c1", "c1c[nH]c2ccccc12",
)  # fmt: skip

LINKERS = (  # bound by their first and last atoms
    "C(=O)N", "C(=O)O", "NC(=O)N", "CC(=O)N", "S(=O)(=O)N", "CO", "CN", "CC", "C=C", "C#C", "CCO", "CCN", "c(cc1)ccc1",
    "c(ccc1)cc1", "c(cccc1)c1", "c(nc1)ccc1", "c(ccc1)nc1", "c(nc1)ncc1", "c(s1)ccc1", "c(o1)ccc1", "[nH](nc1)cc1",
    "[nH](cn1)cc1", "c(sc1)nc1", "c(on1)nc1", "c(o1)nnc1", "N(CC1)CCN1", "N(CC1)CCC1", "C(CC1)CCC1",
)  # fmt: skip


def mutate(mol: Chem.Mol, rng: Generator) -> Chem.Mol | None:
    """A random edit of an `editable` molecule; None where no move worked in a few trials."""
    for _ in range(TRIALS):
        child = moved(_MOVES[int(rng.choice(len(_MOVES), p=_WEIGHTS))], mol, rng)
        if child is not None:
            return child
    return None


def moved(move: Move, mol: Chem.Mol, rng: Generator) -> Chem.Mol | None:
    """An `editable` molecule after one move; None where it did not work."""
    return finished(move(RWMol(mol), rng))


# Atoms -------------------------------------------------------------------------------------------------------------


def append_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Bind a new atom to a random one."""
    return _appended(mol, _element(rng), rng)


def insert_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Put a new atom into a random single bond, which is seldom one of an aromatic ring."""
    return _inserted(mol, _element(rng), rng)


def delete_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove an atom with one or two neighbours; two neighbours are bound to each other."""
    return None if _taken_out(mol, rng) is None else mol


def move_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Take out an atom with one or two neighbours, and put it elsewhere: on another atom, or into a bond."""
    element = _taken_out(mol, rng)
    if element is None:
        return None
    mol.UpdatePropertyCache(strict=False)  # the neighbours have hydrogens instead
    put = _appended if rng.random() < 0.5 else _inserted
    return put(mol, element, rng)


def change_atom(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Turn an atom into another element that can hold its bonds."""
    atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
    others = np.array([z != atom.GetAtomicNum() and _holds(z, atom) for z in ELEMENTS])
    weights = ELEMENT_WEIGHTS * others
    if not weights.any():
        return None
    _turn(atom, ELEMENTS[int(rng.choice(len(ELEMENTS), p=weights / weights.sum()))])
    return mol


def swap_atoms(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Let two atoms of different elements change places; their bonds stay."""
    first = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
    one = first.GetAtomicNum()

    def fits(atom: Chem.Atom) -> bool:
        return bool(atom.GetAtomicNum() != one and _holds(one, atom) and _holds(atom.GetAtomicNum(), first))

    second = random_atom(mol, rng, fits)
    if second is None:
        return None
    _turn(first, second.GetAtomicNum())
    _turn(second, one)
    return mol


def _appended(mol: RWMol, element: int, rng: Generator) -> Chem.Mol | None:
    site = random_atom(mol, rng, is_open)
    if site is None:
        return None
    mol.AddBond(site.GetIdx(), mol.AddAtom(Chem.Atom(element)), _order(rng))
    return mol


def _inserted(mol: RWMol, element: int, rng: Generator) -> Chem.Mol | None:
    def fits(bond: Chem.Bond) -> bool:
        return bond.GetBondType() == BondType.SINGLE and (not was_aromatic(bond) or rng.random() < WIDENING)

    ends = _removed(mol, rng, fits)
    if ends is None:
        return None
    new = mol.AddAtom(Chem.Atom(element))
    for end in ends:
        mol.AddBond(end, new, BondType.SINGLE)
    return mol


def _taken_out(mol: RWMol, rng: Generator) -> int | None:
    """Remove an atom with one or two neighbours, see `delete_atom`; its element, or None where none was found."""
    atom = random_atom(mol, rng, lambda a: a.GetDegree() in (1, 2))
    if atom is None or mol.GetNumAtoms() < 3:
        return None
    element = atom.GetAtomicNum()
    ends = [n.GetIdx() for n in atom.GetNeighbors()]
    orders = [b.GetBondType() for b in atom.GetBonds()]
    if len(ends) == 2:
        if mol.GetBondBetweenAtoms(*ends) is not None:
            return None
        mol.AddBond(ends[0], ends[1], pick(orders, rng))
    mol.RemoveAtom(atom.GetIdx())
    return int(element)


def _holds(element: int, atom: Chem.Atom) -> bool:
    """Whether an atom of that element, without a charge, can have the bonds that `atom` has."""
    bonds = sum(bond.GetBondTypeAsDouble() for bond in atom.GetBonds())
    return bool(bonds <= max(Chem.GetPeriodicTable().GetValenceList(element)))


def _turn(atom: Chem.Atom, element: int) -> None:
    """Make an atom one of that element, without a charge."""
    atom.SetAtomicNum(element)
    atom.SetIsotope(0)
    atom.SetFormalCharge(0)
    atom.SetNoImplicit(False)
    atom.SetNumExplicitHs(0)
    atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)


# Bonds -------------------------------------------------------------------------------------------------------------


def change_bond(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Give a bond another order, which its atoms have hydrogens for."""
    order = _order(rng)

    def fits(bond: Chem.Bond) -> bool:
        more = int(order) - int(bond.GetBondType())
        return more != 0 and all(a.GetTotalNumHs() >= more for a in (bond.GetBeginAtom(), bond.GetEndAtom()))

    bond = random_bond(mol, rng, fits)
    if bond is None:
        return None
    bond.SetBondType(order)
    bond.SetStereo(Chem.BondStereo.STEREONONE)
    return mol


def close_ring(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Bind two atoms that are two to six bonds apart, mostly to a ring of five or six."""
    start = random_atom(mol, rng, is_open)
    if start is None:
        return None
    distances = Chem.GetDistanceMatrix(mol)[start.GetIdx()]
    size = int(rng.choice([3, 4, 5, 6, 7], p=[0.1, 0.05, 0.4, 0.4, 0.05]))
    ends = [i for i in np.flatnonzero(distances == size - 1).tolist() if is_open(mol.GetAtomWithIdx(i))]
    if not ends:
        return None
    mol.AddBond(start.GetIdx(), pick(ends, rng), BondType.SINGLE)
    return mol


def open_ring(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove a ring bond."""
    return None if _removed(mol, rng, lambda b: b.IsInRing()) is None else mol


# Groups ------------------------------------------------------------------------------------------------------------


def attach_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Bind a common substituent to a random atom."""
    site = random_atom(mol, rng, is_open)
    return None if site is None else _with_group(mol, site.GetIdx(), rng)


def delete_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Remove the smaller part beyond a bond."""
    cut = _cut(mol, rng)
    return None if cut is None else _without(mol, cut.group)


def exchange_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Put a common substituent in the place of the smaller part beyond a bond."""
    cut = _cut(mol, rng)
    return None if cut is None else _without(_with_group(mol, cut.site, rng), cut.group)


def move_group(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Cut a substituent off and bind it to another atom of the remaining molecule."""
    cut = _cut(mol, rng)
    if cut is None:
        return None
    spots = [a for a in cut.stem if a != cut.site and is_open(mol.GetAtomWithIdx(a))]
    if not spots:
        return None
    mol.AddBond(pick(spots, rng), cut.hook, BondType.SINGLE)
    return mol


def swap_groups(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Let the parts beyond two bonds change places."""
    first, second = random_bond(mol, rng, is_cuttable), random_bond(mol, rng, is_cuttable)
    if first is None or second is None or first.GetIdx() == second.GetIdx():
        return None
    (a, b), (c, d) = ends = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in (first, second)]
    for i, j in ends:
        mol.RemoveBond(i, j)
    part = {atom: k for k, atoms in enumerate(Chem.GetMolFrags(mol)) for atom in atoms}
    if part[a] not in (part[c], part[d]):
        a, b = b, a
    if part[c] != part[a]:
        c, d = d, c  # now a and c belong to the part in the middle, b and d to the others
    if a == c:
        return None
    mol.AddBond(a, d, BondType.SINGLE)
    mol.AddBond(c, b, BondType.SINGLE)
    return mol


def insert_linker(mol: RWMol, rng: Generator) -> Chem.Mol | None:
    """Put a common linker into a random single bond outside rings."""
    ends = _removed(mol, rng, is_cuttable)
    if ends is None:
        return None
    linker = pick(_molecules(LINKERS), rng)
    hooks = mol.GetNumAtoms(), mol.GetNumAtoms() + linker.GetNumAtoms() - 1
    whole = RWMol(Chem.CombineMols(mol, linker))
    for end, hook in zip(ends, hooks if rng.random() < 0.5 else hooks[::-1], strict=True):
        whole.AddBond(end, hook, BondType.SINGLE)
    return whole


class Cut(NamedTuple):
    """A molecule cut in two: the atoms of the larger part and of the smaller, and those of them that were bound."""

    stem: tuple[int, ...]
    group: tuple[int, ...]
    site: int
    hook: int


def _cut(mol: RWMol, rng: Generator) -> Cut | None:
    """Cut a random single bond outside rings, or None where none was found."""
    ends = _removed(mol, rng, is_cuttable)
    if ends is None:
        return None
    pieces = Chem.GetMolFrags(mol)
    if len(pieces) != 2:  # it had several fragments before
        return None
    group, stem = sorted(pieces, key=len)
    site, hook = ends if ends[0] in stem else ends[::-1]
    return Cut(stem, group, site, hook)


def _with_group(mol: Chem.Mol, site: int, rng: Generator) -> RWMol:
    """The molecule with a substituent on atom `site`."""
    whole = RWMol(Chem.CombineMols(mol, pick(_molecules(GROUPS), rng)))
    whole.AddBond(site, mol.GetNumAtoms(), BondType.SINGLE)
    return whole


def _without(mol: RWMol, atoms: Sequence[int]) -> RWMol:
    """The molecule with these atoms removed."""
    mol.BeginBatchEdit()
    for atom in atoms:
        mol.RemoveAtom(atom)
    mol.CommitBatchEdit()
    return mol


@cache
def _molecules(texts: tuple[str, ...]) -> tuple[Chem.Mol, ...]:
    return tuple(mol for text in texts if (mol := editable(Chem.MolFromSmiles(text))) is not None)


def _removed(mol: RWMol, rng: Generator, fits: Callable[[Chem.Bond], bool]) -> tuple[int, int] | None:
    """Remove a random bond that fits; the atoms that it bound, or None where none was found."""
    bond = random_bond(mol, rng, fits)
    if bond is None:
        return None
    ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    mol.RemoveBond(*ends)
    return ends


def _element(rng: Generator) -> int:
    return ELEMENTS[int(rng.choice(len(ELEMENTS), p=ELEMENT_WEIGHTS))]


def _order(rng: Generator) -> BondType:
    return ORDERS[int(rng.choice(len(ORDERS), p=ORDER_WEIGHTS))]


MOVES: dict[Move, float] = {  # and how often each is tried; `pipelines/benchmark_proposals.py` says what each is worth
    append_atom: 0.09,
    insert_atom: 0.10,
    delete_atom: 0.12,
    move_atom: 0.05,
    change_atom: 0.12,
    swap_atoms: 0.06,
    change_bond: 0.05,
    close_ring: 0.05,
    open_ring: 0.04,
    attach_group: 0.04,
    delete_group: 0.04,
    exchange_group: 0.03,
    move_group: 0.10,
    swap_groups: 0.08,
    insert_linker: 0.03,
}
_MOVES, _WEIGHTS = tuple(MOVES), np.array(list(MOVES.values()))
