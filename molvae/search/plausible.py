"""Samples of a model's prior that look like molecules somebody could make."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rdkit import Chem

from molvae.chem.descriptors import sa_score
from molvae.search.latent import LatentModel

ROUNDS = 10  # of sampling before implausible molecules are taken, too
PLAUSIBLE = 4.0  # synthetic accessibility (1 easy, 10 hard); nine of ten molecules of ZINC250k are below


def plausible_samples(
    model: LatentModel,
    n: int,
    rng: np.random.Generator,
    accept: Callable[[Chem.Mol], bool] = lambda mol: True,
) -> list[str]:
    """At most `n` distinct samples of the prior that are accepted, those first that are not too hard to make.

    The prior of a VAE that reconstructs well also covers latent points that no molecule was trained on; a search that
    begins with what they decode to stays poor for long.
    """
    good: dict[str, None] = {}
    rest: dict[str, float] = {}
    for _ in range(ROUNDS):
        for smiles in model.sample(4 * n, rng=rng):
            mol = Chem.MolFromSmiles(smiles)
            if not accept(mol):
                continue
            hardness = sa_score(mol)
            if hardness <= PLAUSIBLE:
                good[smiles] = None
            else:
                rest[smiles] = hardness
        if len(good) >= n:
            break
    return [*good, *sorted(rest, key=lambda s: (rest[s], s))][:n]
