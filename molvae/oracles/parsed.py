"""A molecule that is parsed once and remembers what has been computed of it.

A multi-property objective asks for logP, TPSA and fingerprints several times; the well-known implementations parse the
SMILES again for every part, which is most of their time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar, final

from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS, element_counts
from molvae.chem.fingerprints import FingerprintKind, fingerprint
from molvae.chem.molecules import parse

T = TypeVar("T")


@final
class ParsedMolecule:
    """An RDKit molecule with its SMILES as written; every component is computed on first use and kept."""

    __slots__ = ("_known", "mol", "smiles")

    def __init__(self, smiles: str, mol: Chem.Mol) -> None:
        self.smiles, self.mol = smiles, mol
        self._known: dict[Any, Any] = {}

    @classmethod
    def from_smiles(cls, smiles: str) -> ParsedMolecule | None:
        """The molecule, or None where `smiles` is invalid."""
        mol = parse(smiles)
        return None if mol is None else cls(smiles, mol)

    def once(self, key: object, compute: Callable[[Chem.Mol], T]) -> T:
        """`compute(mol)`, computed the first time that `key` is asked for."""
        known = self._known
        if key not in known:
            known[key] = compute(self.mol)
        return known[key]

    def descriptor(self, name: str) -> float:
        """A number of `chem.descriptors.DESCRIPTORS`."""
        return self.once(name, DESCRIPTORS[name])

    def fingerprint(self, kind: FingerprintKind) -> Any:
        """A fingerprint of `chem.fingerprints`, in its natural form."""
        return self.once(kind, lambda mol: fingerprint(mol, kind))

    @property
    def elements(self) -> Counter[str]:
        """Atoms of each element, hydrogens included."""
        return self.once("elements", element_counts)
