"""Molecules of our own making for the tests of data: distinct, valid, with rings, charges and stereo."""

from __future__ import annotations

import random
from itertools import product

from rdkit import Chem

RINGS = ["c1ccccc1", "c1ccncc1", "C1CCNCC1", "c1ccsc1", "C1CC1", "c1ccc2[nH]ccc2c1"]
LINKERS = ["", "C", "CC", "C(=O)N", "OC", "S(=O)(=O)N", "/C=C/"]
ENDS = ["F", "Cl", "Br", "O", "C#N", "C(=O)[O-]", "[NH3+]", "[C@H](C)O", "C(F)(F)F"]


def made_molecules(n: int) -> list[str]:
    """The first `n` of 378 distinct canonical SMILES."""
    all_of_them = dict.fromkeys(
        Chem.CanonSmiles(ring + linker + end) for ring, linker, end in product(RINGS, LINKERS, ENDS)
    )
    return list(all_of_them)[:n]


def another_order(smiles: str, seed: int) -> str:
    """The same molecule, written with its atoms in another order."""
    mol = Chem.MolFromSmiles(smiles)
    order = list(range(mol.GetNumAtoms()))
    random.Random(seed).shuffle(order)
    return Chem.MolToSmiles(Chem.RenumberAtoms(mol, order), canonical=False)
