"""Molecular graphs as they are edited: opened for edits, closed again, and the places where they can be changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import numpy as np
from rdkit import Chem
from rdkit.Chem import BondType

Generator = np.random.Generator
Item = TypeVar("Item")

LARGEST_RING = 8
DRAWS = 8  # of atoms or bonds, until one fits
AROMATIC = "aromatic"  # a bond's property


def editable(mol: Chem.Mol) -> Chem.Mol | None:
    """A copy ready for edits, with single and double bonds by turns in place of aromatic ones (see `was_aromatic`)."""
    mol = Chem.Mol(mol)
    for bond in mol.GetBonds():
        bond.SetBoolProp(AROMATIC, bond.GetIsAromatic())
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


def was_aromatic(bond: Chem.Bond) -> bool:
    """Whether a bond of an `editable` molecule stands in the place of an aromatic one."""
    return bool(bond.HasProp(AROMATIC)) and bond.GetBoolProp(AROMATIC)


def is_open(atom: Chem.Atom) -> bool:
    """Whether an atom has a hydrogen to give for a bond."""
    return atom.GetTotalNumHs() > 0


def is_cuttable(bond: Chem.Bond) -> bool:
    """Whether a molecule falls into two where the bond is cut."""
    return bond.GetBondType() == BondType.SINGLE and not bond.IsInRing()


def random_atom(mol: Chem.Mol, rng: Generator, fits: Callable[[Chem.Atom], bool]) -> Chem.Atom | None:
    """A random atom that fits, or None; a few are drawn, which is cheaper than to look at them all."""
    for _ in range(DRAWS):
        atom = mol.GetAtomWithIdx(int(rng.integers(mol.GetNumAtoms())))
        if fits(atom):
            return atom
    return None


def random_bond(mol: Chem.Mol, rng: Generator, fits: Callable[[Chem.Bond], bool]) -> Chem.Bond | None:
    """A random bond that fits, or None; a few are drawn."""
    for _ in range(DRAWS if mol.GetNumBonds() else 0):
        bond = mol.GetBondWithIdx(int(rng.integers(mol.GetNumBonds())))
        if fits(bond):
            return bond
    return None


def pick(items: Sequence[Item], rng: Generator) -> Item:
    """A random one of them."""
    return items[int(rng.integers(len(items)))]
