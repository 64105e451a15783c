"""Looking at a model while it trains, without RDKit: token-exact reconstruction and the use of the latent space."""

from __future__ import annotations

from typing import Any

import torch

from molvae.data.loader import in_order
from molvae.data.shards import TokenShards
from molvae.model.objective import LatentDiagnosis, diagnose
from molvae.model.vae import SequenceVAE
from molvae.nn.bottleneck import GaussianBottleneck
from molvae.training.config import SEEDS


@torch.no_grad()
def validate(model: SequenceVAE, shards: TokenShards, limit: int, seed: int) -> tuple[dict[str, Any], LatentDiagnosis]:
    """Numbers on the first `limit` molecules of a split, and the latent diagnosis.

    Returns:
        distortion_nats and rate_nats per molecule (one posterior sample), exact_tokens (share of molecules whose greedy
        decoding from the posterior mean repeats every token), active_units, for a Gaussian bottleneck
        mutual_information_nats; and the diagnosis.
    """
    was_training = model.training
    model.eval()
    generator = torch.Generator(model.device).manual_seed(seed % SEEDS)
    longest = int(shards.lengths.max())
    distortion, exact, means, stds, rates = 0.0, 0, [], [], []
    for batch in in_order(shards, 256, limit):
        batch = batch.to(model.device)
        output = model(batch, generator)
        distortion += float(output.distortion.sum())
        posterior = model.encode(*batch)  # that of the sample depends, in a ladder, on what was drawn
        ids = model.decode(posterior.mean, longest, condition=batch.properties)
        width = max(ids.shape[1], batch.tokens.shape[1])
        same = _widened(ids, width) == _widened(batch.tokens, width)
        exact += int(same.all(1).sum())
        means.append(posterior.mean)
        stds.append(posterior.std)
        rates.append(output.latent.rate)
    std = torch.cat(stds) if isinstance(model.bottleneck, GaussianBottleneck) else None
    diagnosis = diagnose(torch.cat(means), std, torch.cat(rates), generator)
    n = sum(len(m) for m in means)
    model.train(was_training)
    metrics = {
        "n_molecules": n,
        "distortion_nats": distortion / n,
        "rate_nats": float(diagnosis.rate.sum()),
        "exact_tokens": exact / n,
        "active_units": diagnosis.active_units,
    }
    if diagnosis.mutual_information is not None:
        metrics["mutual_information_nats"] = diagnosis.mutual_information
    return metrics, diagnosis


def _widened(ids: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(ids, (0, width - ids.shape[1]))
