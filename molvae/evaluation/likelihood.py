"""How well a model keeps molecules: exact reconstruction, likelihood bounds, and the use of every latent dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from molvae.chem.reading import read_each
from molvae.core.errors import DataError
from molvae.core.progress import progress
from molvae.generation import MoleculeVAE
from molvae.model.objective import active_units


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` measures.

    Attributes:
        n_molecules: molecules given.
        n_encoded: those the model can read (valid, short enough, no unknown token).
        reconstruction: share of *all* molecules given whose canonical isomeric SMILES comes back from the posterior
            mean, decoded greedily; what cannot be read counts as lost.
        n_likelihood: molecules the bounds were computed on (the first that the model can read).
        elbo_nats, iwae_nats: mean lower bounds of log p(x), with 1 and `k` samples.
        active_units: dimensions with a variance of the posterior mean above 0.01 (`molvae.model.objective`).
        rate_by_group_nats: mean KL(q(z|x) || p(z)) of each group of dimensions (beside a normal prior, each dimension);
            they add up to `rate_nats`.
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
    rate_by_group_nats: list[float]

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
        n_likelihood: how many of those that the model can read (the first) the likelihood bounds are computed on.
        k: importance samples.
        seed: of the importance samples, and of the draws that the rate of a learnt prior is told from.

    Raises:
        DataError: there are no molecules, or the model can read none of them.
    """
    if not smiles:
        raise DataError("no molecules to evaluate the model on; is the split named as in the file?")
    wanted = read_each(vae.tokenizer.standardiser, smiles, "nan")
    kept, readable, rng = 0, list[str](), np.random.default_rng(seed)
    means, rates = [], []
    with progress(len(smiles), "reconstructing", "molecules") as bar:
        for start in range(0, len(smiles), 1000):
            part = wanted[start : start + 1000]
            mean = vae.embed([s or "" for s in part], on_invalid="nan")
            rows = np.flatnonzero(np.isfinite(mean).all(axis=1))
            found = [part[row] or "" for row in rows]
            back = vae.decode(mean[rows], properties=vae.describe(found))
            kept += sum(one == other for one, other in zip(found, back, strict=True))
            readable += found
            means.append(mean[rows])
            if found:
                rates.append(vae.rate(found, rng))
            bar.advance(len(part))
    if not readable:
        raise DataError(f"the model can read none of {len(smiles):,} molecules; the first: {vae.reason(smiles[0])}")
    some = readable[:n_likelihood]
    rate = np.concatenate(rates).mean(0)
    return Evaluation(
        n_molecules=len(smiles),
        n_encoded=len(readable),
        reconstruction=kept / len(smiles),
        n_likelihood=len(some),
        k=k,
        elbo_nats=float(np.mean(vae.log_prob(some, 1, seed))),
        iwae_nats=float(np.mean(vae.log_prob(some, k, seed))),
        rate_nats=float(rate.sum()),
        active_units=active_units(torch.from_numpy(np.concatenate(means))),
        rate_by_group_nats=[round(float(r), 4) for r in rate],
    )
