"""Diagonal Gaussians over the last dimension: posteriors, and priors that depend on something."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_STD_RANGE = (-7.0, 3.0)  # keeps a diverging network finite; far outside what training reaches


class Gaussian(NamedTuple):
    """Mean and standard deviation, (..., Z) each."""

    mean: Tensor
    std: Tensor

    @classmethod
    def from_raw(cls, raw: Tensor) -> Gaussian:
        """What a network's output (..., 2 Z) means: the mean, and the logarithm of the deviation."""
        mean, log_std = raw.chunk(2, dim=-1)
        return cls(mean, log_std.clamp(*LOG_STD_RANGE).exp())

    def draw(self, generator: torch.Generator | None = None) -> Tensor:
        """A point (..., Z)."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + self.std * noise

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density in nats, (...,), of points (..., Z)."""
        square = ((z - self.mean) / self.std).square().sum(-1)
        return -0.5 * (square + z.shape[-1] * math.log(2 * math.pi)) - self.std.log().sum(-1)

    def kl(self, prior: Gaussian | None = None) -> Tensor:
        """KL(self || prior) by dimension, (..., Z) nats; without a prior, from N(0, 1).

        Kingma and Welling 2014, arXiv:1312.6114, eq. 10.
        """
        if prior is None:
            return 0.5 * (self.mean.square() + self.std.square() - 1) - self.std.log()
        ratio = self.std / prior.std
        return 0.5 * (((self.mean - prior.mean) / prior.std).square() + ratio.square() - 1) - ratio.log()
