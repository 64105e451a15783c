"""One contract for all bottlenecks, and the Gaussian against Monte Carlo and torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from molvae.nn.bottleneck import Bottleneck, GaussianBottleneck, Posterior, gaussian_kl

D, B = 6, 10
BOTTLENECKS: dict[str, Callable[[], Bottleneck]] = {"gaussian": lambda: GaussianBottleneck(D, 3)}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=BOTTLENECKS)
def bottleneck(request: pytest.FixtureRequest) -> Bottleneck:
    torch.manual_seed(0)
    return BOTTLENECKS[request.param]()


@pytest.fixture
def h() -> torch.Tensor:
    return torch.randn(B, D, generator=seeded(1))


class TestContract:
    """What the rest of molvae relies on; list a new bottleneck in BOTTLENECKS."""

    def test_shapes(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        z, rate, aux, posterior = bottleneck(h, seeded(0))
        assert z.shape == posterior.mean.shape == posterior.std.shape == (B, bottleneck.latent_dim)
        assert rate.ndim == 2
        assert len(rate) == B
        assert aux.shape == ()
        assert bottleneck.sample(5).shape == (5, bottleneck.latent_dim)
        points, log_weight = bottleneck.importance(h, 4)
        assert points.shape == (4, B, bottleneck.latent_dim)
        assert log_weight.shape == (4, B)

    def test_rates_are_not_negative(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        assert bottleneck(h).rate.min() >= -1e-6
        assert bottleneck(h).aux >= 0

    def test_randomness_comes_from_the_generator(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        before = torch.get_rng_state()
        for draw in (
            lambda g: bottleneck(h, g).z,
            lambda g: bottleneck.sample(7, g),
            lambda g: bottleneck.importance(h, 3, g)[0],
        ):
            torch.testing.assert_close(draw(seeded(5)), draw(seeded(5)), rtol=0, atol=0)
            assert not torch.equal(draw(seeded(5)), draw(seeded(6)))
        assert torch.equal(torch.get_rng_state(), before)

    def test_encoding_is_deterministic_and_by_row(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        together = bottleneck.encode(h)
        for i in range(B):
            for one, all_of_them in zip(bottleneck.encode(h[i : i + 1]), together, strict=True):
                torch.testing.assert_close(one[0], all_of_them[i], rtol=1e-5, atol=1e-6)
        assert together.std.min() > 0

    def test_samples_have_the_moments_of_the_posterior(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        mean, std = bottleneck.encode(h[:1])
        z = bottleneck(h[:1].expand(20_000, -1), seeded(0)).z
        torch.testing.assert_close(z.mean(0), mean[0], rtol=0, atol=0.05)
        torch.testing.assert_close(z.std(0), std[0], rtol=0.05, atol=0)

    def test_rate_is_the_mean_log_ratio(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        """KL(q || p) = -E_q[log p(z) - log q(z|x)], by Monte Carlo."""
        _, log_weight = bottleneck.importance(h, 20_000, seeded(0))
        error = log_weight.std(0) / math.sqrt(20_000)
        assert ((-log_weight.mean(0) - bottleneck(h).rate.sum(1)).abs() < 5 * error + 1e-4).all()

    def test_importance_weights_average_to_one(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        """E_q[p(z) / q(z|x)] = 1, since both are densities."""
        _, log_weight = bottleneck.importance(h, 50_000, seeded(0))
        mean, error = log_weight.exp().mean(0), log_weight.exp().std(0) / math.sqrt(50_000)
        assert ((mean - 1).abs() < 6 * error + 1e-3).all()

    def test_gradients_reach_the_encoder(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        h = h.clone().requires_grad_()
        latent = bottleneck(h, seeded(0))
        (latent.z.sum() + latent.rate.sum() + latent.aux).backward()
        assert h.grad is not None
        assert h.grad.isfinite().all()
        assert h.grad.abs().sum() > 0

    def test_an_absurd_encoder_stays_finite(self, bottleneck: Bottleneck) -> None:
        latent = bottleneck(1e4 * torch.randn(B, D, generator=seeded(2)), seeded(0))
        assert all(part.isfinite().all() for part in (latent.z, latent.rate, latent.aux))


def test_what_a_bottleneck_lacks_is_said() -> None:
    with pytest.raises(TypeError, match="abstract method"):
        Bottleneck()  # type: ignore[abstract]


POSTERIOR = Posterior(torch.randn(8, 5, generator=seeded(3)), torch.rand(8, 5, generator=seeded(4)) * 1.5 + 0.1)


def test_gaussian_kl_against_torch_distributions() -> None:
    expected = kl_divergence(Normal(*POSTERIOR), Normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(POSTERIOR), expected)


def test_gaussian_kl_of_the_prior_is_zero() -> None:
    assert gaussian_kl(Posterior(torch.zeros(2, 3), torch.ones(2, 3))).abs().max() == 0


def test_gaussian_importance_weights_against_torch_distributions() -> None:
    torch.manual_seed(0)
    bottleneck, h = GaussianBottleneck(D, 3), torch.randn(B, D)
    z, log_weight = bottleneck.importance(h, 7, seeded(0))
    expected = Normal(0.0, 1.0).log_prob(z).sum(-1) - Normal(*bottleneck.encode(h)).log_prob(z).sum(-1)
    torch.testing.assert_close(log_weight, expected, rtol=1e-4, atol=1e-4)
