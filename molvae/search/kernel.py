"""The Tanimoto kernel on unary code of counts, and how much each block of features weighs in it.

K_ij = sum_f min(a_if, a_jf) / sum_f max(a_if, a_jf), "MinMax" of Ralaivola et al. 2005,
doi:10.1016/j.neunet.2005.07.009. Not to be confused with Tanimoto on bits: there a count of 2 equals a count of 1.

The similarity of two molecules is the same to the last bit whatever else is computed beside it, for codes with sorted
indices: what it is made of depends on its own rows alone, and sums run over ascending columns. A search may therefore
keep similarities that it would compute anew after it was resumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from molvae.core.arrays import Array

DENSE_ROWS = 128  # fingerprints written out at once


def tanimoto(a: sparse.csr_matrix, b: sparse.csr_matrix, sizes_a: Array | None = None) -> Array:
    """Tanimoto similarity of unary codes (N, F) and (M, F): (N, M); two empty ones have 1.

    Args:
        sizes_a: `sizes(a)`, where they are known.
    """
    return _of_inner_products(_inner_products(a, b), sizes(a) if sizes_a is None else sizes_a, sizes(b))


def sizes(code: sparse.csr_matrix) -> Array:
    """Squared length of each row, (N,)."""
    return np.asarray(code.multiply(code).sum(axis=1)).ravel()


def _of_inner_products(common: Array, sizes_a: Array, sizes_b: Array) -> Array:
    """Tanimoto similarity (N, M) by inner products (N, M)."""
    union = sizes_a[:, None] + sizes_b - common
    return np.where(union > 0, common / np.where(union > 0, union, 1.0), 1.0)


def _inner_products(a: sparse.csr_matrix, b: sparse.csr_matrix) -> Array:
    """Of sparse rows (N, F) and (M, F): (N, M); the fewer rows are made dense, in the columns where they have anything,
    which takes a third of the time."""
    n, m = a.shape[0], b.shape[0]
    if m > n:
        return _inner_products(b, a).T
    products = np.zeros((n, m))
    for first in range(0, m, DENSE_ROWS):
        part = b[first : first + DENSE_ROWS]
        columns, place = np.unique(part.indices, return_inverse=True)
        dense = np.zeros((1 + len(columns), part.shape[0]))  # row 0 is for all columns that `part` has not
        dense[1 + place, np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))] = part.data
        row = np.zeros(b.shape[1], dtype=np.int32)
        row[columns] = 1 + np.arange(len(columns))
        narrow = sparse.csr_matrix((a.data, row[a.indices], a.indptr), shape=(n, len(dense)))
        products[:, first : first + DENSE_ROWS] = narrow @ dense
    return products


@dataclass(frozen=True)
class Weighting:
    """How much each block of features counts: the choice that predicts best what was observed.

    What a score depends on is not known beforehand (see `features`). Of a few weightings, `TanimotoGP.adapt` takes the
    one with the least leave-one-out error. Its likelihood would not tell: the fixed amplitude favours the largest
    weights, whatever the score.

    Attributes:
        ends: the columns at which the blocks end.
        choices: weights of the blocks; the first until enough is observed.
    """

    ends: tuple[int, ...]
    choices: tuple[tuple[float, ...], ...]

    def applied(self, code: sparse.csr_matrix, weights: Sequence[float]) -> sparse.csr_matrix:
        """Unary code (N, F) such that inner products carry the weights; without the columns whose weight is 0."""
        data = np.sqrt(weights)[np.searchsorted(self.ends, code.indices, side="right")]
        counts = data > 0
        before = np.concatenate([[0], np.cumsum(counts)])
        return sparse.csr_matrix((data[counts], code.indices[counts], before[code.indptr]), shape=code.shape)

    def kernels(self, code: sparse.csr_matrix) -> Iterator[Array]:
        """The kernel (N, N) under each of the choices."""
        blocks = [code[:, start:end] for start, end in zip((0, *self.ends), self.ends, strict=False)]
        common = [_inner_products(block, block) for block in blocks]
        for weights in self.choices:
            weighted = (w * part for w, part in zip(weights, common, strict=True) if w)
            both = sum(weighted, np.zeros_like(common[0]))
            yield _of_inner_products(both, np.diag(both), np.diag(both))
