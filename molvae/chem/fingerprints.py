"""Fingerprints as sparse counts, and the Tanimoto (min-max) similarity between them.

Similarities are computed on *unfolded counts*: sum of minima over sum of maxima. Folding to 1,024 or 2,048 bits gives
other, larger numbers and must not be used where published scores are to be reproduced.

| kind  | what                                                              |
|-------|-------------------------------------------------------------------|
| ECFP4 | Morgan, radius 2, counts                                          |
| ECFP6 | Morgan, radius 3, counts                                          |
| FCFP4 | Morgan, radius 2, pharmacophoric atom classes, counts             |
| AP    | atom pairs at path distance 1 to 10, counts                       |
| PHCO  | Gobbi's 2-D pharmacophores of two and three points, presence only |

References:
    Rogers, Hahn. J. Chem. Inf. Model. 50, 742 (2010): Morgan / ECFP.
    Carhart, Smith, Venkataraghavan. J. Chem. Inf. Comput. Sci. 25, 64 (1985): atom pairs.
    Gobbi, Poppinger. Biotechnol. Bioeng. 61, 47 (1998): 2-D pharmacophores.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from itertools import combinations, combinations_with_replacement, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator

FingerprintKind = Literal["ECFP4", "ECFP6", "FCFP4", "AP", "PHCO"]


@cache
def generator(kind: FingerprintKind) -> Any:
    """RDKit's generator of a count fingerprint (any kind but PHCO); its bits, 2,048 of them, mean presence."""
    if kind == "AP":  # bits would otherwise say how often, by several for each pair; counts are the same
        return rdFingerprintGenerator.GetAtomPairGenerator(maxDistance=10, countSimulation=False)
    if kind == "FCFP4":
        invariants = rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
        return rdFingerprintGenerator.GetMorganGenerator(radius=2, atomInvariantsGenerator=invariants)
    return rdFingerprintGenerator.GetMorganGenerator(radius={"ECFP4": 2, "ECFP6": 3}[kind])


def fingerprint(mol: Chem.Mol, kind: FingerprintKind) -> Any:
    """The fingerprint in its natural form: RDKit's sparse count vector, or PHCO's set bits, (n,) integers."""
    return pharmacophore_bits(mol) if kind == "PHCO" else generator(kind).GetSparseCountFingerprint(mol)


def similarity_to(target: Chem.Mol, kind: FingerprintKind) -> Callable[[Any], float]:
    """A function that gives the Tanimoto similarity (0..1) of a `fingerprint(mol, kind)` to the target's.

    >>> ethanol, propanol = Chem.MolFromSmiles("CCO"), Chem.MolFromSmiles("CCCO")
    >>> similarity_to(ethanol, "ECFP4")(fingerprint(propanol, "ECFP4"))
    0.5
    """
    reference = fingerprint(target, kind)
    if kind != "PHCO":
        return lambda other: DataStructs.TanimotoSimilarity(other, reference)
    present = np.zeros(_PHARMACOPHORE_BITS, dtype=bool)
    present[reference] = True

    def tanimoto(bits: NDArray[np.int64]) -> float:
        common = int(np.count_nonzero(present[bits]))
        union = len(bits) + len(reference) - common
        return common / union if union else 0.0

    return tanimoto


# ------------------------------------------------------------------------------------------------ Gobbi pharmacophores
#
# RDKit's Generate.Gen2DFingerprint walks over every combination of feature families in Python, 5 ms a molecule. Here
# each family is matched once, each distance is binned once, and a table gives the bit of every (three families, three
# bins), so that all triples are one gather. Bits are numbered as RDKit numbers them.

_FAMILIES = (  # rdkit/Chem/Pharm2D/Gobbi_Pharm2D.py, in RDKit's order, which is alphabetical; each matches single atoms
    ("AG", "[$([C,S](=[O,S,P])-[O;H1])]"),
    ("AR", "[$([a;D3](@*)(@*)*)]"),
    (
        "BG",
        "[$([N;H2&+0][$([C,a]);!$([C,a](=O))]),$([N;H1&+0]([$([C,a]);!$([C,a](=O))])[$([C,a]);!$([C,a](=O))]),"
        "$([N;H0&+0]([C;!$(C(=O))])([C;!$(C(=O))])[C;!$(C(=O))]),$([N,n;X2;+0])]",
    ),
    (
        "HA",
        "[$([O,S;H1;v2]-[!$(*=[O,N,P,S])]),$([O,S;H0;v2]),$([O,S;-]),$([N&v3;H1,H2]-[!$(*=[O,N,P,S])]),$([N;v3;H0]),"
        "$([n,o,s;+0]),F]",
    ),
    ("HD", "[$([N;!H0;v3]),$([N;!H0;+1;v4]),$([O,S;H1;+0]),$([n;H1;+0])]"),
    ("LH", "[$([C;H2,H1](!=*)[C;H2,H1][C;H2,H1][$([C;H1,H2,H3]);!$(C=*)]),$(C([C;H2,H3])([C;H2,H3])[C;H2,H3])]"),
    ("RR", "[$([A;D3](@*)(@*)*)]"),
    ("X", "[!#1;!#6;!#7;!#8;!#9;!#16;!#17;!#35;!#53]"),
)
_BINS = 7  # 2, 3, ... 7 bonds, 8 to 99; an eighth value is "no bin": same atom, neighbours, other fragments
_FURTHEST = 100
_PHARMACOPHORE_BITS = 39_972  # RDKit's factory.GetSigSize()


@cache
def _queries() -> tuple[Chem.Mol, ...]:
    return tuple(Chem.MolFromSmarts(smarts) for _, smarts in _FAMILIES)


@cache
def _bin_of_distance() -> NDArray[np.int64]:
    bins = np.full(_FURTHEST + 1, _BINS)
    bins[2:_FURTHEST] = np.minimum(np.arange(2, _FURTHEST), 8) - 2
    return bins


def _triangle_possible(bins: tuple[int, ...]) -> bool:
    """Whether three distance bins can make a triangle, by RDKit's (generous) rule on the bins' limits."""
    low = [b + 2 for b in bins]
    high = [b + 3 if b < _BINS - 1 else _FURTHEST for b in bins]
    return all(high[i] + high[j] >= low[3 - i - j] for i, j in ((0, 1), (1, 2), (0, 2)))


@cache
def _bit_tables() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Bits of pairs [family, family, bin] and of triples [family x 3, bin x 3], flat, families ascending.

    Equal families make their points interchangeable; RDKit then orders the distances: all three descending, or the two
    that lead to the odd one out descending. What has no bit gets the number behind the last one.
    """
    families, none = range(len(_FAMILIES)), _PHARMACOPHORE_BITS
    pairs = np.full((8, 8, 8), none, np.int32)
    for index, (i, j) in enumerate(combinations_with_replacement(families, 2)):
        pairs[i, j, :_BINS] = index * _BINS + np.arange(_BINS)
    start = (index + 1) * _BINS
    scaffolds = [bins for bins in product(range(_BINS), repeat=3) if _triangle_possible(bins)]
    position = {bins: index for index, bins in enumerate(scaffolds)}
    triples = np.full((8,) * 6, none, np.int32)
    for index, (i, j, k) in enumerate(combinations_with_replacement(families, 3)):
        for bins in product(range(_BINS), repeat=3):
            ij, ik, jk = bins
            if i == j == k:
                ij, ik, jk = sorted(bins, reverse=True)
            elif i == j:
                ik, jk = max(ik, jk), min(ik, jk)
            elif j == k:
                ij, ik = max(ij, ik), min(ij, ik)
            if (ij, ik, jk) in position:
                triples[(i, j, k, *bins)] = start + index * len(scaffolds) + position[ij, ik, jk]
    return pairs.ravel(), triples.ravel()


@lru_cache(maxsize=128)
def _pairs(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.triu_indices(n, 1)


@lru_cache(maxsize=64)
def _triples(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All i < j < k below n, as flat positions in an (n, n) matrix: of (i, j), (i, k) and (j, k)."""
    i, j, k = np.array(list(combinations(range(n), 3)), dtype=np.int64).reshape(-1, 3).T
    return i * n + j, i * n + k, j * n + k


def pharmacophore_bits(mol: Chem.Mol) -> NDArray[np.int64]:
    """Set bits, ascending, of Gobbi's 2-D pharmacophore fingerprint; equal to RDKit's `Gen2DFingerprint`.

    Returns:
        (n,) integers in 0..39,971.
    """
    points = [(atom, family) for family, query in enumerate(_queries()) for (atom,) in mol.GetSubstructMatches(query)]
    n = len(points)
    if n < 2:
        return np.zeros(0, np.int64)
    atoms, family = np.array(points).T
    distances = np.minimum(Chem.GetDistanceMatrix(mol)[atoms[:, None], atoms], _FURTHEST).astype(np.int64)  # (n, n)
    bins = _bin_of_distance()[distances]
    pair_bits, triple_bits = _bit_tables()
    seen = np.zeros(_PHARMACOPHORE_BITS + 1, dtype=bool)
    i, j = _pairs(n)
    seen[pair_bits[family[i] * 64 + family[j] * 8 + bins[i, j]]] = True
    # A triple's place in the table is a sum of three terms, each known from one pair.
    first = ((family[:, None] * 8 + family) * 4096 + bins * 64).ravel()  # of (i, j)
    second = (family * 512 + bins * 8).ravel()  # of (i, k)
    third = bins.ravel()  # of (j, k)
    if n <= 64:
        ij, ik, jk = _triples(n)
        seen[triple_bits[first[ij] + second[ik] + third[jk]]] = True
    else:  # a macrocyclic peptide has millions of triples: one leading point at a time keeps memory small
        for lead in range(n - 2):
            j, k = (index + lead + 1 for index in _pairs(n - lead - 1))
            seen[triple_bits[first[lead * n + j] + second[lead * n + k] + third[j * n + k]]] = True
    return np.flatnonzero(seen[:-1])
