"""Priors: densities against torch.distributions and quadrature, and draws that follow them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from molvae.nn.priors import FlowPrior, MixturePrior, NormalPrior, Prior

Z = 2
PRIORS: dict[str, Callable[[], Prior]] = {
    "normal": lambda: NormalPrior(Z),
    "mixture": lambda: MixturePrior(Z, 3),
    "flow": lambda: FlowPrior(Z, 4, 8),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=PRIORS)
def prior(request: pytest.FixtureRequest) -> Prior:
    """A prior away from where it begins."""
    torch.manual_seed(0)
    made = PRIORS[request.param]()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return made


def grid(n: int = 600, reach: float = 15.0) -> torch.Tensor:
    axis = torch.linspace(-reach, reach, n)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1)


@torch.no_grad()
def test_a_density_adds_up_to_one(prior: Prior) -> None:
    points = grid()
    cell = float(points[1, 0, 0] - points[0, 0, 0]) ** 2
    assert float(prior.log_prob(points).exp().sum()) * cell == pytest.approx(1, abs=1e-3)


@torch.no_grad()
def test_draws_follow_the_density(prior: Prior) -> None:
    """Means and covariances of draws, and those that the density gives by quadrature."""
    points, drawn = grid().flatten(0, 1), prior.sample(100_000, seeded(1))
    weight = prior.log_prob(points).exp()
    weight /= weight.sum()
    mean = weight @ points
    covariance = (points - mean).T @ (weight[:, None] * (points - mean))
    torch.testing.assert_close(drawn.mean(0), mean, rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.T.cov(), covariance, rtol=0.03, atol=0.03)


def test_one_density_for_points_of_any_shape(prior: Prior) -> None:
    points = torch.randn(4, 5, Z, generator=seeded(2))
    together = prior.log_prob(points)
    assert together.shape == (4, 5)
    torch.testing.assert_close(together[1, 2], prior.log_prob(points[1, 2]))


@pytest.mark.parametrize("prior", ["mixture", "flow"], indirect=True)
def test_every_parameter_of_a_prior_learns(prior: Prior) -> None:
    prior.log_prob(torch.randn(20, Z, generator=seeded(3))).sum().backward()
    for name, parameter in prior.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_mixture_against_torch_distributions() -> None:
    torch.manual_seed(1)
    prior = MixturePrior(Z, 3)
    with torch.no_grad():
        prior.logits.copy_(torch.randn(3))
        prior.log_std.copy_(torch.randn(3, Z))
    each = Independent(Normal(prior.mean, prior.log_std.exp()), 1)
    expected = MixtureSameFamily(Categorical(logits=prior.logits), each)
    points = torch.randn(50, Z, generator=seeded(4))
    torch.testing.assert_close(prior.log_prob(points), expected.log_prob(points))


def test_a_flow_goes_back_where_it_came_from_and_measures_the_volume() -> None:
    torch.manual_seed(1)
    prior = FlowPrior(3, 5, 8)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    base = torch.randn(3, generator=seeded(5))
    jacobian = torch.autograd.functional.jacobian(prior.couplings, base)
    expected = -0.5 * float(base.square().sum()) - 1.5 * math.log(2 * math.pi) - float(torch.logdet(jacobian))
    assert float(prior.log_prob(prior.couplings(base)).detach()) == pytest.approx(expected, abs=1e-4)


def test_a_flow_learns_a_ring() -> None:
    """What no single Gaussian can be."""
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.rand(2000)
    ring = 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.15 * torch.randn(2000, Z)
    prior = FlowPrior(Z, 6, 32)
    optimiser = torch.optim.Adam(prior.parameters(), lr=5e-3)
    for _ in range(300):
        optimiser.zero_grad()
        loss = -prior.log_prob(ring).mean()
        loss.backward()
        optimiser.step()
    gaussian = -Independent(Normal(ring.mean(0), ring.std(0)), 1).log_prob(ring).mean()
    assert float(loss.detach()) < float(gaussian) - 0.8
    radius = prior.sample(1000, seeded(0)).norm(dim=1)
    assert float(((radius > 1.2) & (radius < 2.8)).float().mean()) > 0.9
