"""What training minimises, in nats per molecule throughout.

| symbol | meaning |
|---|---|
| distortion D | E_q[-log p(x|z)], summed over tokens, mean over the batch |
| rate R | KL(q(z|x) || p(z)), summed over groups, mean over the batch |
| beta | weight of the rate: loss = D + beta R (Higgins et al. 2017; D + R is the negative ELBO) |
| lambda | free bits: the rate of a group is not pushed below lambda nats (Kingma et al. 2016, arXiv:1606.04934) |
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor

from molvae.core.config import Spec
from molvae.model.penalties import Penalty
from molvae.model.vae import VAEOutput


class Constant(Spec):
    """The same value at every step."""

    kind: Literal["constant"] = "constant"
    value: float = Field(ge=0)

    def __call__(self, step: int) -> float:
        return self.value


class Linear(Spec):
    """From `start` to `end` over `steps` optimiser steps, then `end` (Bowman et al. 2016, arXiv:1511.06349)."""

    kind: Literal["linear"] = "linear"
    start: float = Field(0.0, ge=0)
    end: float = Field(ge=0)
    steps: int = Field(gt=0)

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)


class Cyclical(Spec):
    """`period`-step cycles: a linear rise over the first `rise` of each, then flat; after `cycles` of them, `end`.

    Fu et al. 2019, arXiv:1903.10145, eq. 6.
    """

    kind: Literal["cyclical"] = "cyclical"
    start: float = Field(0.0, ge=0)
    end: float = Field(ge=0)
    period: int = Field(gt=0)
    cycles: int = Field(4, gt=0)
    rise: float = Field(0.5, gt=0, le=1)

    def __call__(self, step: int) -> float:
        if step >= self.period * self.cycles:
            return self.end
        position = (step % self.period) / self.period
        return self.start + (self.end - self.start) * min(1.0, position / self.rise)


Schedule = Annotated[Constant | Linear | Cyclical, Field(discriminator="kind")]


class LossTerms(NamedTuple):
    """Scalars in nats per molecule: loss = distortion + beta * (sum over groups of max(rate, lambda)) + penalty.

    penalty is the bottleneck's auxiliary loss and all `Objective.penalties`.
    """

    loss: Tensor
    distortion: Tensor
    rate: Tensor
    penalty: Tensor


class Objective(Spec):
    """Beta-ELBO with free bits and penalties, the same for every bottleneck.

    Args:
        beta: schedule of the rate's weight by optimiser step; a plain number is constant.
        free_bits: lambda, nats per group.
        penalties: see `model/penalties.py`.
    """

    beta: Schedule = Constant(value=1.0)
    free_bits: float = Field(0.0, ge=0)
    penalties: tuple[Penalty, ...] = ()

    @field_validator("beta", mode="before")
    @classmethod
    def _constant_if_plain(cls, beta: object) -> object:
        return Constant(value=beta) if isinstance(beta, (int, float)) else beta

    def __call__(self, output: VAEOutput, step: int) -> LossTerms:
        """Loss terms of a batch at an optimiser step."""
        distortion = output.distortion.mean()
        by_group = output.latent.rate.mean(0)  # (G,)
        penalty = output.latent.aux + sum(penalty(output.latent) for penalty in self.penalties)
        loss = distortion + self.beta(step) * by_group.clamp_min(self.free_bits).sum() + penalty
        return LossTerms(loss, distortion, by_group.sum(), penalty)


class LatentDiagnosis(NamedTuple):
    """How the latent space is used.

    Attributes:
        active_units: see `active_units`.
        rate: mean KL by group, (G,) nats.
        mutual_information: estimate of I(x; z) = R - KL(q(z) || p(z)) in nats (Hoffman and Johnson 2016), which cannot
            exceed log N: near that it says "so much, or more"; None where q(z|x) is no Gaussian.
    """

    active_units: int
    rate: Tensor
    mutual_information: float | None


def active_units(mean: Tensor) -> int:
    """How many dimensions of posterior means (N, Z) have Var_x[E_q z] > 0.01.

    Burda et al. 2016, arXiv:1509.00519, section 5.2.
    """
    return int((mean.var(0, correction=0) > 0.01).sum())


def diagnose(
    mean: Tensor, std: Tensor | None, rate: Tensor, generator: torch.Generator | None = None
) -> LatentDiagnosis:
    """Diagnosis of N posteriors with mean (N, Z), with std (N, Z) if they are Gaussian, and with rates (N, G)."""
    information = None if std is None else _mutual_information(mean, std, generator)
    return LatentDiagnosis(active_units(mean.cpu().double()), rate.mean(0), information)


def _mutual_information(mean: Tensor, std: Tensor, generator: torch.Generator | None) -> float:
    """I(x; z) ~ mean_i [log q(z_i | x_i) - log (1/N) sum_j q(z_i | x_j)], bounded by log N: the aggregate posterior by
    minibatch weighting."""
    n = len(mean)
    z = mean + std * torch.randn(mean.shape, generator=generator, device=mean.device)
    z, mean, std = (part.cpu().double() for part in (z, mean, std))  # squares of small deviations cancel
    precision = std.square().reciprocal()
    square = z.square() @ precision.t() - 2 * z @ (mean * precision).t() + (mean.square() * precision).sum(1)
    log_density = -0.5 * square - std.log().sum(1)  # (N, N), [i, j] = log q(z_i | x_j) + constant
    return float((log_density.diagonal() - torch.logsumexp(log_density, 1) + math.log(n)).mean())


def collapse_warning(diagnosis: LatentDiagnosis, latent_dim: int) -> str | None:
    """Words for a collapsed or collapsing latent space, or None."""
    rate = float(diagnosis.rate.sum())
    if rate < 0.5 or diagnosis.active_units == 0:
        return (
            f"posterior collapse: rate {rate:.2f} nats, {diagnosis.active_units} of {latent_dim} dimensions active; "
            "lower beta, anneal it more slowly, or set free_bits"
        )
    if diagnosis.active_units < 0.1 * latent_dim:
        return (
            f"only {diagnosis.active_units} of {latent_dim} latent dimensions are active; lower beta or set free_bits"
        )
    return None
