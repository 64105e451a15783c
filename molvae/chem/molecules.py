"""Molecules in and out: parse, canonicalise, standardise.

Every SMILES goes through RDKit before anything else sees it: `selfies.encoder` would happily encode a *different*
molecule for a string that RDKit rejects.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from rdkit import Chem, RDLogger
from rdkit.Chem.MolStandardize import rdMolStandardize

from molvae.core.errors import ConfigError, MoleculeError

RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]  # RDKit prints every failed parse to stderr

Charges = Literal["keep", "neutralise"]
Fragments = Literal["largest", "reject"]

LARGEST_DRAWN = 300  # heavy atoms; the time for a picture grows with their cube, to minutes for thousands
MAX_SMILES_CHARACTERS = 5_000  # longer strings are no drug-like molecules and can take RDKit minutes


def parse(smiles: str) -> Chem.Mol | None:
    """The molecule, or None where `smiles` is not a non-empty valid SMILES."""
    if not isinstance(smiles, str) or not smiles.strip() or len(smiles) > MAX_SMILES_CHARACTERS:
        return None
    mol = Chem.MolFromSmiles(smiles)
    return mol if mol is not None and mol.GetNumAtoms() > 0 else None


def has_radicals(mol: Chem.Mol, smiles: str) -> bool:
    """Whether an atom of `mol`, parsed from `smiles`, has unpaired electrons; SMILES say so in brackets only."""
    return "[" in smiles and any(atom.GetNumRadicalElectrons() for atom in mol.GetAtoms())


def is_radical(smiles: str) -> bool:
    """Whether a molecule, given by a valid SMILES, has unpaired electrons."""
    return "[" in smiles and has_radicals(Chem.MolFromSmiles(smiles), smiles)


def canonical(smiles: str) -> str | None:
    """Canonical isomeric SMILES, or None where `smiles` is invalid.

    >>> canonical("OCC")
    'CCO'
    """
    mol = parse(smiles)
    return None if mol is None else Chem.MolToSmiles(mol)


@dataclass(frozen=True)
class Standardiser:
    """What is done to a molecule before it is encoded.

    Args:
        charges: "keep", or "neutralise" by adding or removing protons where possible.
        fragments: "largest" keeps the largest (by heavy atoms), "reject" refuses mixtures and salts.
        stereo: "keep", or "drop" all of it.

    Raises:
        ConfigError: charges or fragments is something else.
    """

    charges: Charges = "keep"
    fragments: Fragments = "reject"
    stereo: Literal["keep", "drop"] = "keep"

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("charges", self.charges, get_args(Charges)),
            ("fragments", self.fragments, get_args(Fragments)),
        ):
            if value not in choices:
                raise ConfigError(f"{name}: expected {' or '.join(map(repr, choices))}, got {value!r}")

    def __call__(self, smiles: str) -> str:
        """Canonical SMILES of the standardised molecule.

        Raises:
            MoleculeError: the string is no valid SMILES, is too long, is a mixture where mixtures are refused, or what
                is left without charges or stereo is no molecule that RDKit can read.
        """
        mol = parse(smiles)
        if mol is None:
            too_long = isinstance(smiles, str) and len(smiles) > MAX_SMILES_CHARACTERS
            long = f"longer than {MAX_SMILES_CHARACTERS:,} characters"
            raise MoleculeError(smiles, long if too_long else "not a valid SMILES")
        if len(Chem.GetMolFrags(mol)) > 1:
            if self.fragments == "reject":
                raise MoleculeError(smiles, "several fragments (fragments = 'largest' keeps the largest)")
            mol = max(Chem.GetMolFrags(mol, asMols=True), key=lambda m: (m.GetNumHeavyAtoms(), Chem.MolToSmiles(m)))
        if self.charges == "neutralise":
            mol = _uncharger().uncharge(mol)
        if self.stereo == "drop":
            Chem.RemoveStereochemistry(mol)
        standardised = Chem.MolToSmiles(mol)
        changed = "[" in smiles and (self.charges, self.stereo) != ("keep", "keep")
        if changed and parse(standardised) is None:  # RDKit makes c1cccc1 of the anion [CH-]1C=CC=C1
            raise MoleculeError(smiles, "no valid molecule after standardisation")
        return standardised


@cache
def _uncharger() -> rdMolStandardize.Uncharger:
    return rdMolStandardize.Uncharger()
