"""A molecule that is parsed once and remembers what has been computed of it.

A multi-property objective asks for logP, TPSA and fingerprints several times; the well-known implementations parse the
SMILES again for every part, which is most of their time.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar, final

from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS, element_counts
from molvae.chem.fingerprints import FingerprintKind, fingerprint
from molvae.chem.molecules import MAX_SMILES_CHARACTERS, parse

T = TypeVar("T")


_AS_WRITTEN = Chem.SmilesParserParams()
_AS_WRITTEN.sanitize = False  # type: ignore[assignment]  # RDKit's stubs
_AS_WRITTEN.removeHs = False  # type: ignore[assignment]
_NEEDS_ALL = re.compile(r"\[\d*H|[\s|]")  # explicit hydrogens, which are removed, and what is more than a SMILES


def parse_without_stereo(smiles: str) -> Chem.Mol | None:
    """What `parse` gives, but for the perception of stereochemistry, a third of the time, which few components look at.

    Atoms, bonds, charges and what counts as invalid are the same. Chirality marks stay as they were written.
    """
    if not isinstance(smiles, str) or len(smiles) > MAX_SMILES_CHARACTERS or _NEEDS_ALL.search(smiles):
        return parse(smiles)
    mol = Chem.MolFromSmiles(smiles, _AS_WRITTEN)
    if mol is None or mol.GetNumAtoms() == 0:
        return None
    failed = Chem.SanitizeMol(mol, catchErrors=True)
    return mol if failed == Chem.SanitizeFlags.SANITIZE_NONE else None


@final
class ParsedMolecule:
    """An RDKit molecule with its SMILES as written; every component is computed on first use and kept.

    Attributes:
        smiles: as written.
        mol: the molecule; its stereochemistry has not been perceived, which the SA score does itself.
    """

    __slots__ = ("_known", "mol", "smiles")

    def __init__(self, smiles: str, mol: Chem.Mol) -> None:
        self.smiles, self.mol = smiles, mol
        self._known: dict[Any, Any] = {}

    @classmethod
    def from_smiles(cls, smiles: str) -> ParsedMolecule | None:
        """The molecule, or None where `smiles` is invalid."""
        mol = parse_without_stereo(smiles)
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
