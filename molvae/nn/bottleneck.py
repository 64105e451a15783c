"""Bottlenecks: from the encoder's vector to a latent sample and what it costs.

| symbol | shape | meaning |
|---|---|---|
| h | (B, D) | encoder output |
| z | (B, Z) | latent sample |
| mean, std | (B, Z) | of the posterior q(z|x) = N(mean, diag(std^2)) |
| rate | (B, G) | KL(q(z|x) || p(z)) in nats by group; G = Z for a diagonal Gaussian |
| K | | importance samples |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

LOG_STD_RANGE = (-7.0, 3.0)  # keeps a diverging encoder finite; far outside what training reaches


class Posterior(NamedTuple):
    """Mean and standard deviation of q(z|x), (B, Z) each."""

    mean: Tensor
    std: Tensor


class LatentSample(NamedTuple):
    """What a bottleneck gives: z (B, Z), rate (B, G) in nats, an auxiliary loss () in nats, and the posterior."""

    z: Tensor
    rate: Tensor
    aux: Tensor
    posterior: Posterior


class Bottleneck(nn.Module, ABC):
    """Contract of all bottlenecks; every variant of the model is one of these, never a subclass of the VAE."""

    latent_dim: int

    @abstractmethod
    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> LatentSample:
        """A sample of the posterior for h (B, D)."""

    @abstractmethod
    def encode(self, h: Tensor) -> Posterior:
        """The posterior for h (B, D)."""

    @abstractmethod
    def importance(self, h: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """K posterior samples z (K, B, Z) with log p(z) - log q(z|x), (K, B) nats."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws from the prior, (n, Z)."""


class GaussianBottleneck(Bottleneck):
    """Diagonal Gaussian posterior, standard normal prior (Kingma and Welling 2014, arXiv:1312.6114, appendix B)."""

    def __init__(self, input_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.project = nn.Linear(input_dim, 2 * latent_dim)

    def encode(self, h: Tensor) -> Posterior:
        mean, log_std = self.project(h).chunk(2, dim=1)
        return Posterior(mean, log_std.clamp(*LOG_STD_RANGE).exp())

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> LatentSample:
        posterior = self.encode(h)
        noise = torch.randn(posterior.mean.shape, generator=generator, device=h.device)
        z = posterior.mean + posterior.std * noise
        return LatentSample(z, gaussian_kl(posterior), z.new_zeros(()), posterior)

    def importance(self, h: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        mean, std = self.encode(h)
        noise = torch.randn((k, *mean.shape), generator=generator, device=h.device)
        z = mean + std * noise
        log_weight = 0.5 * (noise.square() - z.square()).sum(-1) + std.log().sum(-1)
        return z, log_weight

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        device = self.project.weight.device
        return torch.randn(n, self.latent_dim, generator=generator, device=device)


def gaussian_kl(posterior: Posterior) -> Tensor:
    """KL(N(mean, std^2) || N(0, 1)) by dimension, (B, Z) nats (Kingma and Welling 2014, eq. 10)."""
    mean, std = posterior
    return 0.5 * (mean.square() + std.square() - 1) - std.log()
