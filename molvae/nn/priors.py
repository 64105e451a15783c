"""Priors p(z): what is expected of a latent point before its molecule is seen.

A normal prior has nothing to learn. The others learn, with the rest of the model, where the encoder puts molecules, so
that less of the rate is lost on the difference between the aggregate posterior and the prior, and draws from the prior
look more like encoded molecules (Tomczak and Welling 2018, arXiv:1705.07120).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import cycle, islice

import torch
from torch import Tensor, nn

from molvae.nn.gaussian import LOG_STD_RANGE, Gaussian


class Prior(nn.Module, ABC):
    """A density over latent points (Z,)."""

    latent_dim: int

    @abstractmethod
    def log_prob(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """log p(z) in nats, (...,), of points (..., Z); or, where chance is needed to tell, an estimate of it whose
        exponential is p(z) in the mean."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n points (n, Z)."""

    def rate(self, posterior: Gaussian, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """KL(q(z|x) || p(z)) in nats by group, (B, G); here one group, estimated from the draw z (B, Z) alone."""
        return (posterior.log_prob(z) - self.log_prob(z, generator)).unsqueeze(-1)


class NormalPrior(Prior):
    """N(0, 1) in every dimension; the rate is exact, a group for each dimension."""

    origin: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)  # says which device

    def log_prob(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return -0.5 * (z.square().sum(-1) + self.latent_dim * math.log(2 * math.pi))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=generator, device=self.origin.device)

    def rate(self, posterior: Gaussian, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return posterior.kl()


class MixturePrior(Prior):
    """M diagonal Gaussians with learnt weights, the "MoG" of Tomczak and Welling 2018, arXiv:1705.07120."""

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent_dim))
        self.log_std = nn.Parameter(torch.zeros(components, latent_dim))

    @property
    def components(self) -> Gaussian:
        """Mean and standard deviation of each component, (M, Z)."""
        return Gaussian(self.mean, self.log_std.clamp(*LOG_STD_RANGE).exp())

    def log_prob(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        each = self.components.log_prob(z.unsqueeze(-2))  # (..., M)
        return torch.logsumexp(each + self.logits.log_softmax(0), -1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        if n == 0:  # which `multinomial` refuses
            return self.mean.new_zeros(0, self.latent_dim)
        chosen = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        return Gaussian(*(part[chosen] for part in self.components)).draw(generator)


class FlowPrior(Prior):
    """N(0, 1) sent through affine coupling layers (RealNVP: Dinh et al. 2017, arXiv:1605.08803).

    Args:
        latent_dim: Z.
        layers: couplings; each changes every second dimension, by turns.
        hidden_dim: width of a coupling's network.
    """

    def __init__(self, latent_dim: int, layers: int, hidden_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.base = NormalPrior(latent_dim)
        even = (torch.arange(latent_dim) % 2 == 0).float()
        masks = islice(cycle((even, 1 - even)), layers)
        self.couplings = nn.Sequential(*(AffineCoupling(mask, hidden_dim) for mask in masks))

    def log_prob(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        volume = z.new_zeros(z.shape[:-1])
        for coupling in reversed(list(self.couplings)):
            z, change = coupling.back(z)  # type: ignore[operator]
            volume = volume + change
        return self.base.log_prob(z) + volume

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        z: Tensor = self.couplings(self.base.sample(n, generator))
        return z


class AffineCoupling(nn.Module):
    """Shifts and scales some dimensions by what the others say (Dinh et al. 2017, eq. 9).

    Args:
        kept: (Z,), 1 where a dimension stays as it is and is looked at, 0 where it is changed.
        hidden_dim: width of the network.
    """

    kept: Tensor
    LARGEST_LOG_SCALE = 2.0  # of one layer; keeps a diverging model finite

    def __init__(self, kept: Tensor, hidden_dim: int) -> None:
        super().__init__()
        dim = len(kept)
        self.register_buffer("kept", kept, persistent=False)
        last = nn.Linear(hidden_dim, 2 * dim)
        nn.init.normal_(last.weight, std=1e-2)  # nearly the identity
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(
            nn.Linear(dim, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, hidden_dim), nn.SiLU(), last
        )

    def _affine(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithm of the scale, and shift, (..., Z); 0 for the dimensions that stay."""
        log_scale, shift = self.network(z * self.kept).chunk(2, dim=-1)
        bounded = self.LARGEST_LOG_SCALE * torch.tanh(log_scale / self.LARGEST_LOG_SCALE)
        return bounded * (1 - self.kept), shift * (1 - self.kept)

    def forward(self, z: Tensor) -> Tensor:
        """Points (..., Z), away from the base."""
        log_scale, shift = self._affine(z)
        return z * log_scale.exp() + shift

    def back(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Points (..., Z) towards the base, and the logarithm of the volume's change (...,)."""
        log_scale, shift = self._affine(z)
        return (z - shift) * (-log_scale).exp(), -log_scale.sum(-1)
