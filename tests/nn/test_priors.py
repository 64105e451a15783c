"""Priors: densities against torch.distributions and quadrature, and draws that follow them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from small_model import seeded
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from molvae.nn.diffusion import DiffusionPrior
from molvae.nn.gaussian import Gaussian
from molvae.nn.priors import FlowPrior, MixturePrior, NormalPrior, Prior

Z = 2
PRIORS: dict[str, Callable[[], Prior]] = {
    "normal": lambda: NormalPrior(Z),
    "mixture": lambda: MixturePrior(Z, 3),
    "flow": lambda: FlowPrior(Z, 4, 8),
    "diffusion": lambda: DiffusionPrior(Z, 4, 8),
}


@pytest.fixture(params=PRIORS)
def prior(request: pytest.FixtureRequest) -> Prior:
    """A prior away from where it begins; of diffusion not far, since its estimates scatter more the worse it is."""
    torch.manual_seed(0)
    made = PRIORS[request.param]()
    move(made, 0.03 if isinstance(made, DiffusionPrior) else 0.2)
    return made


@torch.no_grad()
def move(prior: Prior, distance: float) -> None:
    for parameter in prior.parameters():
        parameter.add_(distance * torch.randn(parameter.shape))


def grid(n: int = 600, reach: float = 15.0) -> torch.Tensor:
    axis = torch.linspace(-reach, reach, n)
    return torch.stack(torch.meshgrid(axis, axis, indexing="ij"), dim=-1)


@torch.no_grad()
def test_a_density_adds_up_to_one(prior: Prior) -> None:
    points = grid()
    cell = float(points[1, 0, 0] - points[0, 0, 0]) ** 2
    estimates = isinstance(prior, DiffusionPrior)  # which scatter
    total = torch.stack([prior.log_prob(points, seeded(i)).exp().sum() for i in range(16 if estimates else 1)]).mean()
    assert float(total) * cell == pytest.approx(1, abs=5e-3 if estimates else 1e-3)


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


@pytest.mark.parametrize("prior", ["normal", "mixture", "flow"], indirect=True)
def test_one_density_for_points_of_any_shape(prior: Prior) -> None:
    points = torch.randn(4, 5, Z, generator=seeded(2))
    together = prior.log_prob(points)
    assert together.shape == (4, 5)
    torch.testing.assert_close(together[1, 2], prior.log_prob(points[1, 2]))


@pytest.mark.parametrize("prior", ["mixture", "flow", "diffusion"], indirect=True)
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
    move(prior, 0.3)
    base = torch.randn(3, generator=seeded(5))
    jacobian = torch.autograd.functional.jacobian(prior.couplings, base)
    expected = -0.5 * float(base.square().sum()) - 1.5 * math.log(2 * math.pi) - float(torch.logdet(jacobian))
    assert float(prior.log_prob(prior.couplings(base)).detach()) == pytest.approx(expected, abs=1e-4)


@torch.no_grad()
def test_diffusion_begins_as_noise() -> None:
    """However the noise falls, before anything is learnt the density is that of N(0, 1)."""
    points = torch.randn(20_000, 8, generator=seeded(6))
    prior = DiffusionPrior(8, 20, 8)
    torch.testing.assert_close(prior.log_prob(points, seeded(7)), prior.base.log_prob(points), rtol=0, atol=1e-4)
    posterior = Gaussian(points, torch.ones_like(points))
    expected = (posterior.log_prob(points) - prior.base.log_prob(points)).mean()
    assert float(prior.rate(posterior, points, seeded(8)).mean()) == pytest.approx(float(expected), abs=0.2)


@torch.no_grad()
def test_a_density_by_diffusion_against_quadrature() -> None:
    """p(z) = int p(z | z_1) p(z_1 | z_2) p(z_2) over a grid of z_1, z_2, beside the mean of many estimates."""
    torch.manual_seed(0)
    prior = DiffusionPrior(1, 2, 8)
    move(prior, 0.05)
    axis = torch.linspace(-8, 8, 801)[:, None]
    first, second = (prior._back(axis, torch.full((801,), t)) for t in (1, 2))
    cell = float(axis[1] - axis[0])
    of_second = prior.base.log_prob(axis).exp()
    of_first = second.log_prob(axis[:, None]).exp() @ of_second * cell
    z = torch.tensor([[-1.0], [0.3], [1.7]])
    expected = first.log_prob(z[:, None]).exp() @ of_first * cell
    estimates = prior.log_prob(z.expand(200_000, 3, 1), seeded(0)).exp()
    torch.testing.assert_close(estimates.mean(0), expected, rtol=0.01, atol=0)


@pytest.mark.parametrize("make", [lambda: FlowPrior(Z, 6, 32), lambda: DiffusionPrior(Z, 10, 32)])
def test_a_prior_learns_a_ring(make: Callable[[], Prior]) -> None:
    """What no single Gaussian can be."""
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.rand(2000)
    ring = 2 * torch.stack([angle.cos(), angle.sin()], 1) + 0.15 * torch.randn(2000, Z)
    prior = make()
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
