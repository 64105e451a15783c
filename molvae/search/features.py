"""What the surrogate sees of a molecule: environments and pairs of its atoms and its physico-chemical descriptors, all
as counts.

A count c of a feature is written in unary ("thermometer") code, as ones in the first c columns of that feature. Then
the sum of the minima of two molecules' counts is an inner product, and the Tanimoto ("MinMax") kernel costs one sparse
matrix product.

Features stand in blocks of columns, so that a kernel can weight each block. A similarity to a molecule depends on its
atoms' environments (Morgan counts); a pharmacophore or a shape on their roles (donor, acceptor, aromatic, ...) and on
how far apart atoms are; a score of several properties on composition, lipophilicity, polar surface. As counts of half a
logP unit, of 10 square angstrom and so on, the last stand in the same kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
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
EXACT = 6  # decimals of a descriptor that do not depend on the order of atoms
MOST = 64  # larger counts of a descriptor are cut to this


VIEWS: tuple[dict[str, float], ...] = (  # weights of the blocks that tell one structure from another
    {"inner": 1.0, "outer": 0.5},  # the largest environments are many, and seldom shared
    {"roles": 1.0, "pairs": 0.3},  # there are n (n - 1) / 2 pairs
)
DESCRIPTOR_WEIGHTS = (1.0, 0.0, 4.0, 16.0)  # of a descriptor's count beside an environment's


@dataclass(frozen=True)
class CountFingerprint:
    """Unary code of counts.

    ===========  ===============================================================================================
    block        features
    ===========  ===============================================================================================
    inner        environments of each atom, of a smaller radius than the largest (Morgan)
    outer        environments of the largest radius
    roles        environments of atoms that are told apart by pharmacophoric role instead of element ("FCFP")
    pairs        atom pairs with their distance in bonds (Carhart et al. 1985, doi:10.1021/ci00046a002)
    descriptors  composition and `DESCRIBED`
    ===========  ===============================================================================================

    Args:
        radius: bonds around each atom, at most.
        n_bits: width that each block but the descriptors is folded to.
        max_count: larger counts of a feature there are cut to this.
        roles: whether there are the blocks "roles" and "pairs".
        descriptors: whether there is a block of descriptors.
    """

    radius: int = 2
    n_bits: int = 4096
    max_count: int = 16
    roles: bool = True
    descriptors: bool = True

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks in the order of their columns."""
        structure = ("inner", "outer", "roles", "pairs") if self.roles else ("inner", "outer")
        return (*structure, "descriptors") if self.descriptors else structure

    @property
    def _sizes(self) -> list[tuple[int, int]]:
        """Width of each block, and the count at which its features are cut."""
        hashed, described = (self.n_bits, self.max_count), (N_DESCRIBED, MOST)
        return [described if block == "descriptors" else hashed for block in self.blocks]

    @property
    def most(self) -> Counts:
        """The count at which each feature is cut, (W,)."""
        return np.concatenate([np.full(width, most) for width, most in self._sizes])

    @property
    def ends(self) -> tuple[int, ...]:
        """The columns at which the blocks end; the last is F."""
        return tuple(np.cumsum([width * most for width, most in self._sizes]).tolist())

    def weights(self, descriptors: Sequence[float] = DESCRIPTOR_WEIGHTS) -> tuple[tuple[float, ...], ...]:
        """Weights of the blocks to choose from: each view of the structure with each of these for the descriptors."""
        views = VIEWS if self.roles else VIEWS[:1]
        beside = [{"descriptors": weight} for weight in descriptors] if self.descriptors else [{}]
        return tuple(tuple((view | more).get(block, 0.0) for block in self.blocks) for view in views for more in beside)

    def __call__(self, mols: Sequence[Chem.Mol], weights: Sequence[float] = ()) -> sparse.csr_matrix:
        """Unary code of N molecules, (N, F) CSR of ones; blocks with weight 0, if there are weights, stay empty."""
        return self.unary(self.counts(mols, weights))

    def counts(self, mols: Sequence[Chem.Mol], weights: Sequence[float] = ()) -> sparse.csr_matrix:
        """Counts of the W features, (N, W), block by block; those with weight 0 are not counted."""
        of_block = dict(zip(self.blocks, weights or (1.0,) * len(self.blocks), strict=True))
        found = {}
        if of_block["inner"] or of_block["outer"]:
            all_sizes = self._counted("environments", self.radius, mols)
            found["inner"] = self._counted("environments", self.radius - 1, mols) if self.radius else 0 * all_sizes
            found["outer"] = all_sizes - found["inner"]
        if of_block.get("roles"):
            found["roles"] = self._counted("roles", self.radius, mols)
        if of_block.get("pairs"):
            found["pairs"] = self._counted("pairs", 0, mols)
        if of_block.get("descriptors"):
            found["descriptors"] = sparse.csr_matrix(described(mols))
        for block, (width, _) in zip(self.blocks, self._sizes, strict=True):
            found.setdefault(block, sparse.csr_matrix((len(mols), width), dtype=np.int64))  # type: ignore[arg-type]
        return sparse.hstack([found[block] for block in self.blocks], format="csr")

    def _counted(self, kind: str, radius: int, mols: Sequence[Chem.Mol]) -> sparse.csr_matrix:
        """Counts (N, n_bits) of one kind of hashed feature."""
        vectors = _generator(kind, radius, self.n_bits).GetCountFingerprints(tuple(mols))
        found = [vector.GetNonzeroElements() for vector in vectors]
        bits = np.fromiter((bit for counts in found for bit in counts), dtype=np.int64)
        data = np.fromiter((count for counts in found for count in counts.values()), dtype=np.int64)
        return sparse.csr_matrix((data, bits, np.cumsum([0, *map(len, found)])), shape=(len(mols), self.n_bits))

    def unary(self, counts: Any) -> sparse.csr_matrix:
        """Unary code (N, F) of counts (N, W), sparse or dense."""
        counts = sparse.csr_matrix(counts)
        most = self.most
        levels = np.minimum(counts.data.astype(np.int64), most[counts.indices])
        step = np.arange(int(levels.sum())) - np.repeat(np.cumsum(levels) - levels, levels)
        indices = np.repeat((np.cumsum(most) - most)[counts.indices], levels) + step
        ends = np.concatenate([[0], np.cumsum(levels)])[counts.indptr]
        data = np.ones(len(indices))
        return sparse.csr_matrix((data, indices, ends), shape=(counts.shape[0], self.ends[-1]))

    def stacked(self, rows: Sequence[Any]) -> sparse.csr_matrix:
        """Unary code (N, F) of molecules given by the columns of their ones; stacking single rows takes far longer."""
        ends = np.cumsum([0, *map(len, rows)])
        columns = np.concatenate([*rows, np.zeros(0, dtype=np.int64)])
        return sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(rows), self.ends[-1]))


@cache
def _generator(kind: str, radius: int, n_bits: int) -> Any:
    """RDKit's generator of a kind of hashed feature."""
    if kind == "pairs":
        return rdFingerprintGenerator.GetAtomPairGenerator(fpSize=n_bits)
    roles = rdFingerprintGenerator.GetMorganFeatureAtomInvGen() if kind == "roles" else None
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=n_bits, atomInvariantsGenerator=roles)


def described(mols: Sequence[Chem.Mol]) -> Counts:
    """Elements and descriptors of N molecules as counts, (N, N_DESCRIBED), whatever the order of their atoms.

    Sums over atoms differ in their last digits with that order. Where one lies half-way between two counts, as a logP
    of -0.25 does, these digits would decide, and a search that is resumed would see another molecule.
    """
    rows = []
    for mol in mols:
        elements = element_counts(mol)
        composition = [*(elements[e] for e in ELEMENTS), elements["H"] // 2]  # or half of a molecule were hydrogen
        rows.append(composition + [round(times * round(of(mol), EXACT)) for of, times in DESCRIBED])
    return np.clip(np.array(rows, dtype=np.int64).reshape(len(mols), N_DESCRIBED), 0, MOST)
