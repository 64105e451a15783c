"""How well a model keeps molecules: exact reconstruction, likelihood bounds, and the use of every latent dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from molvae.core.errors import DataError, MoleculeError
from molvae.core.runtime import progress
from molvae.generation import MoleculeVAE, Points


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measures.

    Attributes:
        n_molecules: molecules given.
        n_encoded: those the model can read (valid, short enough, no unknown token).
        reconstruction: share of *all* molecules given whose canonical isomeric SMILES comes back from the posterior
            mean, decoded greedily; what cannot be read counts as lost.
        n_likelihood: molecules the bounds were computed on (the first ones).
        elbo_nats, iwae_nats: mean lower bounds of log p(x), with 1 and `k` samples.
        active_units: dimensions with a variance of the posterior mean above 0.01.
        rate_by_dimension_nats: mean KL(q(z|x) || N(0, 1)) of each dimension; they add up to `rate_nats`.
    """

    n_molecules: int
    n_encoded: int
    reconstruction: float
    n_likelihood: int
    k: int
    elbo_nats: float
    iwae_nats: float
    rate_nats: float
    active_units: int
    rate_by_dimension_nats: list[float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def evaluate(
    vae: MoleculeVAE, smiles: Sequence[str], n_likelihood: int = 500, k: int = 64, seed: int = 0
) -> Evaluation:
    """Measure a model on held-out molecules.

    Args:
        vae: the model.
        smiles: the molecules.
        n_likelihood: how many of them (the first) the likelihood bounds are computed on.
        k: importance samples.
        seed: of the importance samples.

    Raises:
        DataError: the model can read none of the molecules.
    """
    wanted = [_standardised(vae, s) for s in smiles]
    kept = 0
    means, stds = [], []
    with progress(len(smiles), "reconstructing", "molecules") as bar:
        for start in range(0, len(smiles), 1000):
            part = wanted[start : start + 1000]
            mean, std = vae.posterior([s or "" for s in part], on_invalid="nan")
            readable = np.flatnonzero(np.isfinite(mean).all(axis=1))
            decoded = vae.decode(mean[readable])
            kept += sum(part[row] == molecule for row, molecule in zip(readable, decoded, strict=True))
            means.append(mean[readable])
            stds.append(std[readable])
            bar.advance(len(part))
    mean, std = np.concatenate(means), np.concatenate(stds)
    if not len(mean):
        raise DataError(f"the model can read none of the {len(smiles)} molecules; are they SMILES?")
    some = [s for s in wanted[:n_likelihood] if s is not None]
    rate = _rate(mean, std)
    return Evaluation(
        n_molecules=len(smiles),
        n_encoded=len(mean),
        reconstruction=kept / len(smiles),
        n_likelihood=len(some),
        k=k,
        elbo_nats=float(np.nanmean(vae.log_prob(some, 1, seed, on_invalid="nan"))),
        iwae_nats=float(np.nanmean(vae.log_prob(some, k, seed, on_invalid="nan"))),
        rate_nats=float(rate.sum()),
        active_units=int((mean.var(axis=0) > 0.01).sum()),
        rate_by_dimension_nats=[round(float(r), 4) for r in rate],
    )


def _standardised(vae: MoleculeVAE, smiles: str) -> str | None:
    try:
        return vae.tokenizer.standardiser(smiles)
    except MoleculeError:
        return None


def _rate(mean: Points, std: Points) -> Points:
    """Mean KL(N(mean, std^2) || N(0, 1)) by dimension, (Z,) nats (Kingma and Welling 2014, eq. 10)."""
    rate: Points = (0.5 * (mean**2 + std**2 - 1) - np.log(std)).mean(axis=0)
    return rate
