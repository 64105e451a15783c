"""Diagonal Gaussians over the last dimension: posteriors, and priors that depend on something."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_STD_RANGE = (-7.0, 3.0)  # keeps a diverging network finite; far outside what training reaches


class Posterior(NamedTuple):
    """Mean and standard deviation of q(z|x), (B, Z) each."""

    mean: Tensor
    std: Tensor


def from_raw(raw: Tensor) -> Posterior:
    """The Gaussian that a network's output (..., 2 Z) means: its mean, and the logarithm of its deviation."""
    mean, log_std = raw.chunk(2, dim=-1)
    return Posterior(mean, log_std.clamp(*LOG_STD_RANGE).exp())


def gaussian_noise(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Standard normal numbers of a tensor's shape, on its device."""
    return torch.randn(like.shape, generator=generator, device=like.device)


def gaussian_log_prob(z: Tensor, gaussian: Posterior) -> Tensor:
    """log N(z; mean, std^2) in nats, (...,), of points (..., Z)."""
    mean, std = gaussian
    square = ((z - mean) / std).square().sum(-1)
    return -0.5 * (square + z.shape[-1] * math.log(2 * math.pi)) - std.log().sum(-1)


def gaussian_kl(posterior: Posterior, prior: Posterior | None = None) -> Tensor:
    """KL(posterior || prior) by dimension, (B, Z) nats; from N(0, 1) where there is no prior.

    Kingma and Welling 2014, arXiv:1312.6114, eq. 10.
    """
    mean, std = posterior
    if prior is None:
        return 0.5 * (mean.square() + std.square() - 1) - std.log()
    ratio = std / prior.std
    return 0.5 * (((mean - prior.mean) / prior.std).square() + ratio.square() - 1) - ratio.log()
