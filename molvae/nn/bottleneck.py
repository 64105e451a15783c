"""Bottlenecks: from the encoder's vector to a latent sample and what it costs.

| symbol | shape | meaning |
|---|---|---|
| h | (B, D) | encoder output |
| z | (B, Z) | latent sample |
| mean, std | (B, Z) | of the posterior q(z|x); of a Gaussian one they are all there is to know |
| rate | (B, G) | KL(q(z|x) || p(z)) in nats by group; G = Z for a diagonal Gaussian beside a normal prior |
| K | | importance samples |
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from molvae.nn.gaussian import Gaussian
from molvae.nn.priors import NormalPrior, Prior


class LatentSample(NamedTuple):
    """What a bottleneck gives: z (B, Z), rate (B, G) in nats, an auxiliary loss () in nats, and the posterior.

    For a ladder the posterior of a level is the one given the draws above it, in z, and not q(z|x); see `encode`.
    """

    z: Tensor
    rate: Tensor
    aux: Tensor
    posterior: Gaussian


class Bottleneck(nn.Module, ABC):
    """Contract of all bottlenecks; every variant of the model is one of these, never a subclass of the VAE."""

    latent_dim: int

    @abstractmethod
    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> LatentSample:
        """A sample of the posterior for h (B, D)."""

    @abstractmethod
    def encode(self, h: Tensor) -> Gaussian:
        """Mean and standard deviation of the posterior for h (B, D), without randomness."""

    @abstractmethod
    def importance(self, h: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """K posterior samples z (K, B, Z) with log p(z) - log q(z|x), (K, B) nats."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws from the prior, (n, Z)."""


class GaussianBottleneck(Bottleneck):
    """Diagonal Gaussian posterior (Kingma and Welling 2014, arXiv:1312.6114, appendix B); any prior, normal if none."""

    def __init__(self, input_dim: int, latent_dim: int, prior: Prior | None = None) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.project = nn.Linear(input_dim, 2 * latent_dim)
        self.prior = NormalPrior(latent_dim) if prior is None else prior

    def encode(self, h: Tensor) -> Gaussian:
        return Gaussian.from_raw(self.project(h))

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> LatentSample:
        posterior = self.encode(h)
        z = posterior.draw(generator)
        return LatentSample(z, self.prior.rate(posterior, z, generator), z.new_zeros(()), posterior)

    def importance(self, h: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        posterior = self.encode(h)
        z = Gaussian(posterior.mean.expand(k, -1, -1), posterior.std).draw(generator)
        return z, self.prior.log_prob(z, generator) - posterior.log_prob(z)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.prior.sample(n, generator)
