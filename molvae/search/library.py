"""Molecules that are there already: candidates that need not be invented, ranked without calling the oracle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydantic import Field
from rdkit import Chem
from scipy import sparse

from molvae.core.config import Spec
from molvae.search.ask_tell import LIBRARY_STREAM, sift
from molvae.search.features import CountFingerprint
from molvae.search.latent import LatentModel
from molvae.search.plausible import plausible_samples
from molvae.search.proposals import Candidate
from molvae.search.start import drawn_from_file


class LibrarySpec(Spec):
    """Molecules that may be proposed as they are, for instance a vendor's catalogue; one costs a call when picked."""

    file: Path | None = Field(None, description="molecules; without one, samples of the model")
    column: str = "smiles"
    n: int = Field(10_000, ge=1, description="how many of the file are taken, drawn by the seed; or how many samples")

    def molecules(self, model: LatentModel | None, seed: int) -> list[str]:
        """The SMILES; none where there is neither a file nor a model.

        Raises:
            DataError: the file is not there, or holds no valid molecule.
        """
        rng = np.random.default_rng([seed, LIBRARY_STREAM])
        if self.file is not None:
            return drawn_from_file(self.file, self.column, self.n, rng)
        return [] if model is None else plausible_samples(model, self.n, rng)


class Library:
    """Molecules with their fingerprints, computed once.

    Args:
        smiles: the molecules; invalid and unacceptable ones, and repetitions, are left out.
        fingerprint: the surrogate's.
        accept: whether a molecule may be proposed.
    """

    def __init__(
        self, smiles: Sequence[str], fingerprint: CountFingerprint, accept: Callable[[Chem.Mol], bool]
    ) -> None:
        self.candidates, mols = sift([Candidate(s, "library") for s in smiles], lambda s: False, accept)
        self.fingerprints = fingerprint(mols)

    def draw(
        self, n: int, rng: np.random.Generator, known: Callable[[str], bool]
    ) -> tuple[list[Candidate], sparse.csr_matrix]:
        """At most `n` random molecules without the known ones, and their fingerprints (n, F)."""
        rows = rng.choice(len(self.candidates), size=min(n, len(self.candidates)), replace=False)
        new = [i for i in rows.tolist() if not known(self.candidates[i].smiles)]
        return [self.candidates[i] for i in new], self.fingerprints[new]
