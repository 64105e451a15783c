"""Small changes of a token sequence, drawn from a model's distribution at each place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from molvae.core.arrays import AnyArray
from molvae.tokens.vocabulary import BOS, EOS, PAD


def rewritten(ids: Sequence[int], chances: AnyArray, edits: int, rng: np.random.Generator) -> list[int]:
    """Ids that end with EOS, with 1 to `edits` of them replaced, inserted or left out.

    Args:
        chances: (T, V), probability of each token at each place, given those before it.
    """
    spelt = list(zip(ids, range(len(ids)), strict=True))  # each token with the place it came from
    for _ in range(int(rng.integers(1, edits + 1))):
        i = int(rng.integers(len(spelt)))
        token, place = spelt[i]
        kind = "insert" if token == EOS else ("replace", "replace", "insert", "remove")[int(rng.integers(4))]
        weights = chances[place].astype(np.float64)
        weights[[PAD, BOS, EOS, token]] = 0.0
        if kind == "remove":
            del spelt[i]
        elif (total := weights.sum()) > 0:
            new = int(rng.choice(len(weights), p=weights / total))
            spelt[i : i + (kind == "replace")] = [(new, place)]
    return [token for token, _ in spelt]
