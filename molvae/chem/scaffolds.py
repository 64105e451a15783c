"""A part of a molecule that must stay: a SMARTS pattern, or the Bemis-Murcko scaffold of a lead.

Reference: Bemis, Murcko. J. Med. Chem. 39, 2887 (1996): rings and the chains between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import final

from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from molvae.chem.filters import Filter, query
from molvae.chem.molecules import parse
from molvae.core.errors import ConfigError

MURCKO = "murcko"


@cache
def murcko_scaffold(smiles: str) -> Chem.Mol:
    """Rings, the chains between them, and what is double-bonded to either.

    >>> Chem.MolToSmiles(murcko_scaffold("CC(C)c1ccc(CC2CCNC2=O)cc1"))
    'O=C1NCCC1Cc1ccccc1'

    Raises:
        ConfigError: the SMILES is invalid, or the molecule has no ring.
    """
    mol = parse(smiles)
    if mol is None:
        raise ConfigError(f"the lead {smiles!r} is not a valid SMILES")
    scaffold = MurckoScaffold.GetScaffoldForMol(mol)
    if scaffold.GetNumAtoms() == 0:
        raise ConfigError(f"the lead {smiles!r} has no ring and so no Murcko scaffold; name what stays by a SMARTS")
    return scaffold


@final
@dataclass(frozen=True)
class ScaffoldFilter(Filter):
    """The scaffold must be there, with all its atoms and bonds; what hangs on it, also further rings, is free.

    Args:
        scaffold: a SMARTS, or "murcko" for the scaffold of a lead.
        leads: SMILES whose scaffolds are meant by "murcko"; one of them is enough.
        stereo: whether the stereocentres within the scaffold must stay as well.
    """

    scaffold: str = MURCKO
    leads: tuple[str, ...] = ()
    stereo: bool = False

    def __post_init__(self) -> None:
        if self.scaffold == MURCKO and not self.leads:
            raise ConfigError("a Murcko scaffold needs the lead that it is the scaffold of")
        self._patterns()

    def reasons(self, mol: Chem.Mol) -> list[str]:
        if any(mol.HasSubstructMatch(pattern, useChirality=self.stereo) for pattern in self._patterns()):
            return []
        if self.scaffold != MURCKO:
            return [f"lacks {self.scaffold}"]
        return [f"lacks {' and '.join(map(Chem.MolToSmiles, self._patterns()))}"]

    def _patterns(self) -> list[Chem.Mol]:
        if self.scaffold == MURCKO:
            return [murcko_scaffold(smiles) for smiles in self.leads]
        return [query(self.scaffold)]
