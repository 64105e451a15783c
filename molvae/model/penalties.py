"""Terms beside the ELBO that shape the latent space of a batch, in nats per molecule.

| symbol | shape | meaning |
|---|---|---|
| z | (B, Z) | draws of the posteriors of a batch |
| q(z), q(z_d) | | aggregate posterior, the mean of the batch's posteriors, and its marginals |
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from molvae.core.config import Spec
from molvae.nn.bottleneck import LatentSample

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TotalCorrelation(Spec):
    """weight * KL(q(z) || prod_d q(z_d)): how far latent dimensions are from independent of each other.

    beta-TC-VAE (Chen et al. 2018, arXiv:1802.04942, eq. 2). The aggregate posterior is that of the batch: the estimate
    differs from minibatch-weighted sampling by a constant, and has its gradients. Memory grows with B^2 Z.
    """

    kind: Literal["total_correlation"] = "total_correlation"
    weight: Weight = 1.0

    def __call__(self, latent: LatentSample) -> Tensor:
        z, (mean, std) = latent.z, latent.posterior
        log_q = -0.5 * ((z[:, None] - mean) / std).square() - std.log()  # (B, B, Z), [i, j] = log q(z_i | x_j) + const
        joint = torch.logsumexp(log_q.sum(2), 1) - math.log(len(z))
        marginals = torch.logsumexp(log_q, 1) - math.log(len(z))  # (B, Z)
        return self.weight * (joint - marginals.sum(1)).mean()


class Moments(Spec):
    """Second moments of the aggregate posterior drawn to those of N(0, I): independent dimensions, alike in size.

    DIP-VAE-II (Kumar et al. 2018, arXiv:1711.00848): off_diagonal * sum of squared covariances + diagonal
    * sum of squared differences of the variances from 1, of Cov(mean) + E[diag std^2].
    """

    kind: Literal["moments"] = "moments"
    off_diagonal: Weight = 1.0
    diagonal: Weight = 1.0

    def __call__(self, latent: LatentSample) -> Tensor:
        mean, std = latent.posterior
        centred = mean - mean.mean(0)
        covariance = centred.T @ centred / len(mean) + torch.diag(std.square().mean(0))
        variances = covariance.diagonal()
        others = covariance.square().sum() - variances.square().sum()
        return self.off_diagonal * others + self.diagonal * (variances - 1).square().sum()


Penalty = Annotated[TotalCorrelation | Moments, Field(discriminator="kind")]
