"""What the surrogate sees of a molecule: its atoms' environments and its physico-chemical descriptors, all as counts.

A count c of a feature is written in unary ("thermometer") code, as ones in the first c columns of that feature. Then
the sum of the minima of two molecules' counts is an inner product, and the Tanimoto ("MinMax") kernel costs one sparse
matrix product.

Environments alone (Morgan counts) say badly what scores of several properties depend on: composition, lipophilicity,
polar surface. As counts of half a logP unit, of 10 square angstrom and so on, those stand in the same kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors
from scipy import sparse

from molvae.chem.crippen import logp
from molvae.chem.descriptors import element_counts, tpsa

Counts = np.ndarray[Any, np.dtype[np.int64]]

LOGP_FROM = -5.0  # lower values count like this one
ELEMENTS = ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I", "B", "Si")
DESCRIBED: tuple[tuple[Callable[[Chem.Mol], float], float], ...] = (  # a function, and how often a unit of it counts
    (lambda mol: logp(mol) - LOGP_FROM, 2.0),
    (tpsa, 0.1),
    (lambda mol: rdMolDescriptors.CalcNumRotatableBonds(mol, False), 1.0),  # by the plain definition, which is quick
    (rdMolDescriptors.CalcNumRings, 2.0),
    (rdMolDescriptors.CalcNumAromaticRings, 2.0),
    (rdMolDescriptors.CalcNumLipinskiHBD, 2.0),
)
N_DESCRIBED = len(ELEMENTS) + 1 + len(DESCRIBED)  # 1 for hydrogen
MOST = 64  # larger counts of a descriptor are cut to this


@dataclass(frozen=True)
class CountFingerprint:
    """Unary code of Morgan counts and descriptors.

    Args:
        radius: bonds around each atom.
        n_bits: width the environments are folded to.
        max_count: larger counts of an environment are cut to this.
        descriptors: whether there are columns for composition and descriptors behind those of the environments.
    """

    radius: int = 3
    n_bits: int = 4096
    max_count: int = 16
    descriptors: bool = True

    @property
    def n_columns(self) -> int:
        """F."""
        return self.n_environment_columns + (N_DESCRIBED * MOST if self.descriptors else 0)

    @property
    def n_environment_columns(self) -> int:
        """The first columns of F, before those of the descriptors."""
        return self.n_bits * self.max_count

    @property
    def most(self) -> Counts:
        """The count at which each feature is cut, (W,)."""
        described = np.full(N_DESCRIBED if self.descriptors else 0, MOST)
        return np.concatenate([np.full(self.n_bits, self.max_count), described])

    def __call__(self, mols: Sequence[Chem.Mol]) -> sparse.csr_matrix:
        """Unary code of N molecules, (N, F) CSR of ones."""
        return self.unary(self.counts(mols))

    def counts(self, mols: Sequence[Chem.Mol]) -> sparse.csr_matrix:
        """Counts of the W features, (N, W): environments first, then descriptors."""
        generator = rdFingerprintGenerator.GetMorganGenerator(radius=self.radius, fpSize=self.n_bits)
        found = [generator.GetCountFingerprint(mol).GetNonzeroElements() for mol in mols]
        bits = np.fromiter((bit for counts in found for bit in counts), dtype=np.int64)
        data = np.fromiter((count for counts in found for count in counts.values()), dtype=np.int64)
        ends = np.cumsum([0, *map(len, found)])
        environments = sparse.csr_matrix((data, bits, ends), shape=(len(mols), self.n_bits))
        if not self.descriptors:
            return environments
        descriptors = sparse.csr_matrix(described(mols))
        return sparse.hstack([environments, descriptors], format="csr")

    def unary(self, counts: Any) -> sparse.csr_matrix:
        """Unary code (N, F) of counts (N, W), sparse or dense."""
        counts = sparse.csr_matrix(counts)
        most = self.most
        levels = np.minimum(counts.data.astype(np.int64), most[counts.indices])
        step = np.arange(int(levels.sum())) - np.repeat(np.cumsum(levels) - levels, levels)
        indices = np.repeat((np.cumsum(most) - most)[counts.indices], levels) + step
        ends = np.concatenate([[0], np.cumsum(levels)])[counts.indptr]
        data = np.ones(len(indices))
        return sparse.csr_matrix((data, indices, ends), shape=(counts.shape[0], self.n_columns))

    def stacked(self, rows: Sequence[Any]) -> sparse.csr_matrix:
        """Unary code (N, F) of molecules given by the columns of their ones; stacking single rows takes far longer."""
        ends = np.cumsum([0, *map(len, rows)])
        columns = np.concatenate([*rows, np.zeros(0, dtype=np.int64)])
        return sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(rows), self.n_columns))


def described(mols: Sequence[Chem.Mol]) -> Counts:
    """Elements and descriptors of N molecules as counts, (N, N_DESCRIBED)."""
    rows = []
    for mol in mols:
        elements = element_counts(mol)
        composition = [*(elements[e] for e in ELEMENTS), elements["H"] // 2]  # or half of a molecule were hydrogen
        rows.append(composition + [round(times * of(mol)) for of, times in DESCRIBED])
    return np.clip(np.array(rows, dtype=np.int64).reshape(len(mols), N_DESCRIBED), 0, MOST)
