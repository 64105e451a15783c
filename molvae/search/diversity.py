"""Molecules that are not too near to each other: distance is 1 - Tanimoto similarity of ECFP4 bits.

Greedy selection takes the best first and leaves out what lies nearer than the least distance to one already taken (the
"sphere exclusion" of Hudson et al. 1996, doi:10.1002/qsar.19960150402, in order of the score).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field
from rdkit import Chem, DataStructs

from molvae.chem.fingerprints import generator
from molvae.core.bounds import just_below
from molvae.core.config import Spec
from molvae.search.ledger import Record


class SelectSpec(Spec):
    """A final selection of good molecules that differ."""

    k: int = Field(10, ge=1)
    distance: float = Field(0.6, ge=0, le=1, description="least Tanimoto distance between any two (ECFP4)")


class Spread:
    """A growing set of molecules, with a least distance between any two that join."""

    def __init__(self, distance: float, taken: Sequence[str] = ()) -> None:
        self.distance = distance
        self._taken: list[Any] = [_fingerprint(smiles) for smiles in taken]

    def nearest(self, smiles: str) -> float:
        """Distance of a valid SMILES to the nearest taken, 0 to 1; 1 where none is taken."""
        if not self._taken:
            return 1.0
        return 1.0 - max(DataStructs.BulkTanimotoSimilarity(_fingerprint(smiles), self._taken))

    def admits(self, smiles: str) -> bool:
        """Whether a molecule is far enough from all that are taken."""
        return self.distance <= 0 or self.nearest(smiles) >= just_below(self.distance)

    def take(self, smiles: str) -> None:
        """Add a molecule."""
        self._taken.append(_fingerprint(smiles))


def select(ranked: Sequence[Record], k: int, distance: float) -> list[Record]:
    """The first of `ranked`, then each next one that is at least `distance` from all taken before, at most `k`."""
    spread, chosen = Spread(distance), list[Record]()
    for record in ranked:
        if len(chosen) == k:
            break
        if spread.admits(record.smiles):
            spread.take(record.smiles)
            chosen.append(record)
    return chosen


def _fingerprint(smiles: str) -> Any:
    return generator("ECFP4").GetFingerprint(Chem.MolFromSmiles(smiles))
