"""Penalties against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from molvae.model.objective import Constant, Objective
from molvae.model.penalties import Moments, TotalCorrelation
from molvae.model.vae import VAEOutput
from molvae.nn.bottleneck import LatentSample
from molvae.nn.gaussian import Gaussian


def latent_of(mean: torch.Tensor, std: torch.Tensor, seed: int = 0) -> LatentSample:
    """One draw of each posterior."""
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
    posterior = Gaussian(mean, std)
    return LatentSample(mean + std * noise, posterior.kl(), torch.zeros(()), posterior)


def correlated(correlation: float, n: int = 1500) -> LatentSample:
    """Posteriors whose aggregate is a Gaussian of unit variances with this correlation."""
    generator, std = torch.Generator().manual_seed(1), 0.3
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]]) - std**2 * torch.eye(2)
    mean = torch.randn(n, 2, generator=generator) @ torch.linalg.cholesky(covariance).T
    return latent_of(mean, torch.full((n, 2), std))


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_total_correlation_of_a_gaussian(correlation: float) -> None:
    """TC = -log(1 - r^2) / 2 nats for two dimensions."""
    found = float(TotalCorrelation()(correlated(correlation)))
    assert found == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.05)
    assert float(TotalCorrelation(weight=3)(correlated(correlation))) == pytest.approx(3 * found)


@pytest.mark.parametrize("correlation", [0.0, 0.6])
def test_moments_of_a_gaussian(correlation: float) -> None:
    latent = correlated(correlation, 20_000)
    assert float(Moments(off_diagonal=5, diagonal=0)(latent)) == pytest.approx(5 * 2 * correlation**2, abs=0.1)
    assert float(Moments(off_diagonal=0, diagonal=2)(latent)) == pytest.approx(0, abs=0.01)


def test_moments_of_posteriors_that_are_the_prior() -> None:
    latent = latent_of(torch.zeros(50, 3), torch.full((50, 3), 2.0))
    assert float(Moments(off_diagonal=1, diagonal=1)(latent)) == pytest.approx(3 * (4 - 1) ** 2)


@pytest.mark.parametrize("penalty", [TotalCorrelation(weight=50), Moments(off_diagonal=50, diagonal=0)])
def test_a_penalty_takes_dimensions_apart(penalty: TotalCorrelation | Moments) -> None:
    """Going down its gradient makes correlated means less so."""
    mean = correlated(0.8, 200).posterior.mean.clone().requires_grad_()
    optimiser = torch.optim.Adam([mean], lr=0.05)
    for step in range(60):
        optimiser.zero_grad()
        penalty(latent_of(mean, torch.full((200, 2), 0.3), step)).backward()
        optimiser.step()
    assert abs(float(mean.detach().T.corrcoef()[0, 1])) < 0.3


def test_penalties_are_part_of_the_loss() -> None:
    latent = correlated(0.5, 100)
    output = VAEOutput(torch.full((100,), 7.0), latent)
    plain = Objective(beta=Constant(value=0.5))(output, 0)
    with_both = Objective(beta=Constant(value=0.5), penalties=(TotalCorrelation(weight=2), Moments()))(output, 0)
    expected = float(TotalCorrelation(weight=2)(latent) + Moments()(latent))
    assert float(plain.penalty) == 0
    assert float(with_both.penalty) == pytest.approx(expected)
    assert float(with_both.loss) == pytest.approx(float(plain.loss) + expected)
