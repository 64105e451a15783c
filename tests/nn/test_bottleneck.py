"""One contract for all bottlenecks, and the Gaussian against Monte Carlo and torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from small_model import seeded
from torch.distributions import Categorical, Normal, kl_divergence

from molvae.nn.bottleneck import Bottleneck, GaussianBottleneck
from molvae.nn.diffusion import DiffusionPrior
from molvae.nn.gaussian import Gaussian
from molvae.nn.ladder import LadderBottleneck
from molvae.nn.priors import FlowPrior, MixturePrior
from molvae.nn.vq import VQBottleneck

D, B = 6, 10
BOTTLENECKS: dict[str, Callable[[], Bottleneck]] = {
    "gaussian": lambda: GaussianBottleneck(D, 3),
    "mixture": lambda: GaussianBottleneck(D, 3, MixturePrior(3, 4)),
    "flow": lambda: GaussianBottleneck(D, 3, FlowPrior(3, 4, 8)),
    "diffusion": lambda: GaussianBottleneck(D, 3, DiffusionPrior(3, 6, 8)),
    "vq": lambda: VQBottleneck(D, groups=2, codes=3, width=2),
    "ladder": lambda: LadderBottleneck(D, [2, 1, 3], 8),
}


@pytest.fixture(params=BOTTLENECKS)
def bottleneck(request: pytest.FixtureRequest) -> Bottleneck:
    torch.manual_seed(0)
    return BOTTLENECKS[request.param]()


@pytest.fixture
def h() -> torch.Tensor:
    return torch.randn(B, D, generator=seeded(1))


@torch.no_grad()
def doubtful(bottleneck: Bottleneck) -> None:
    """Make Gaussian posteriors wide."""
    if isinstance(bottleneck, GaussianBottleneck):
        bottleneck.project.bias[bottleneck.latent_dim :] += 0.7
    if isinstance(bottleneck, LadderBottleneck):
        for of_level in bottleneck.project.bias.split([2 * width for width in bottleneck.widths]):
            of_level[len(of_level) // 2 :] += 2.0


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

    @torch.no_grad()
    def test_rates_are_not_negative(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        """On the average of many draws; beside a learnt prior one draw may say less than 0."""
        latent = bottleneck(h.repeat(200_000, 1), seeded(0))
        assert latent.rate.view(200_000, B, -1).mean(0).min() >= 0
        assert latent.aux >= 0

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
        """Of a ladder, those of the top level; below, they depend on what was drawn above."""
        known = bottleneck.widths[0] if isinstance(bottleneck, LadderBottleneck) else bottleneck.latent_dim
        mean, std = bottleneck.encode(h[:1])
        z = bottleneck(h[:1].expand(20_000, -1), seeded(0)).z
        torch.testing.assert_close(z.mean(0)[:known], mean[0, :known], rtol=0, atol=0.05)
        torch.testing.assert_close(z.std(0)[:known], std[0, :known], rtol=0.05, atol=0)

    def test_rate_is_the_mean_log_ratio(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        """KL(q || p) = -E_q[log p(z) - log q(z|x)], by Monte Carlo."""
        _, log_weight = bottleneck.importance(h, 20_000, seeded(0))
        rate = bottleneck(h.repeat(20_000, 1), seeded(1)).rate.sum(1).view(20_000, B)
        error = (log_weight.std(0) + rate.std(0)) / math.sqrt(20_000)
        assert ((-log_weight.mean(0) - rate.mean(0)).abs() < 5 * error + 1e-4).all()

    def test_importance_weights_average_to_one(self, bottleneck: Bottleneck, h: torch.Tensor) -> None:
        """E_q[p(z) / q(z|x)] = 1, since both are densities; the mean converges where q has the longer tails."""
        doubtful(bottleneck)
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


POSTERIOR = Gaussian(torch.randn(8, 5, generator=seeded(3)), torch.rand(8, 5, generator=seeded(4)) * 1.5 + 0.1)


def test_gaussian_kl_against_torch_distributions() -> None:
    expected = kl_divergence(Normal(*POSTERIOR), Normal(0.0, 1.0))
    torch.testing.assert_close(POSTERIOR.kl(), expected)


def test_gaussian_kl_of_the_prior_is_zero() -> None:
    assert Gaussian(torch.zeros(2, 3), torch.ones(2, 3)).kl().abs().max() == 0


def test_gaussian_importance_weights_against_torch_distributions() -> None:
    torch.manual_seed(0)
    bottleneck, h = GaussianBottleneck(D, 3), torch.randn(B, D)
    z, log_weight = bottleneck.importance(h, 7, seeded(0))
    expected = Normal(0.0, 1.0).log_prob(z).sum(-1) - Normal(*bottleneck.encode(h)).log_prob(z).sum(-1)
    torch.testing.assert_close(log_weight, expected, rtol=1e-4, atol=1e-4)


# --- levels ---------------------------------------------------------------------------------------------------------


def test_gaussian_kl_from_another_gaussian_against_torch_distributions() -> None:
    other = Gaussian(torch.randn(8, 5, generator=seeded(5)), torch.rand(8, 5, generator=seeded(6)) + 0.2)
    expected = kl_divergence(Normal(*POSTERIOR), Normal(*other))
    torch.testing.assert_close(POSTERIOR.kl(other), expected)


def test_a_level_of_a_ladder_is_the_product_of_what_is_seen_and_what_is_expected() -> None:
    """The posterior of a level is proportional to N(z; seen) N(z; expected): their difference in logs is constant."""
    torch.manual_seed(0)
    bottleneck, h = LadderBottleneck(D, [2, 1], 8), torch.randn(1, D)
    top, below = bottleneck._descend(h, lambda posterior: posterior.mean)
    raw = bottleneck.project(h)[:, 4:]
    seen, z = Normal(raw[:, :1], raw[:, 1:].exp()), torch.linspace(-2, 2, 9)[:, None]
    expected = Normal(*bottleneck._prior([top.z], h))
    difference = seen.log_prob(z) + expected.log_prob(z) - Normal(*below.posterior).log_prob(z)
    assert float(difference.detach().std()) < 1e-5
    assert torch.equal(below.prior.mean, expected.mean)


# --- codes ----------------------------------------------------------------------------------------------------------


def test_rates_of_codes_against_torch_distributions() -> None:
    torch.manual_seed(0)
    bottleneck, h = VQBottleneck(D, groups=2, codes=5, width=3), torch.randn(B, D)
    with torch.no_grad():
        bottleneck.prior_logits.copy_(torch.randn(2, 5))
        bottleneck.log_width.copy_(torch.tensor([0.3, -0.4]))
    e = bottleneck.project(h).view(B, 2, 1, 3)
    distance = (e - bottleneck.codebook).square().sum(-1)
    q = Categorical(logits=-distance / (2 * torch.tensor([0.3, -0.4]).exp().square())[:, None])
    expected = kl_divergence(q, Categorical(logits=bottleneck.prior_logits))
    torch.testing.assert_close(bottleneck(h).rate, expected)


def test_a_sure_posterior_chooses_the_nearest_code() -> None:
    torch.manual_seed(0)
    bottleneck, h = VQBottleneck(D, groups=2, codes=5, width=3), torch.randn(B, D)
    with torch.no_grad():
        bottleneck.log_width.fill_(-6)
    e = bottleneck.project(h).view(B, 2, 1, 3)
    nearest = (e - bottleneck.codebook).square().sum(-1).argmin(-1)
    expected = torch.stack([bottleneck.codebook[[0, 1], row].flatten() for row in nearest])
    torch.testing.assert_close(bottleneck(h, seeded(0)).z, expected)
    torch.testing.assert_close(bottleneck.encode(h).mean, expected, rtol=1e-3, atol=1e-3)


def test_prior_draws_of_codes_have_their_frequencies() -> None:
    torch.manual_seed(0)
    bottleneck = VQBottleneck(D, groups=1, codes=3, width=1)
    with torch.no_grad():
        bottleneck.codebook.copy_(torch.tensor([[[0.0], [1.0], [2.0]]]))
        bottleneck.prior_logits.copy_(torch.tensor([[0.2, 0.3, 0.5]]).log())
    counts = torch.bincount(bottleneck.sample(50_000, seeded(0)).flatten().long()) / 50_000
    torch.testing.assert_close(counts, torch.tensor([0.2, 0.3, 0.5]), rtol=0, atol=0.01)


def test_gradients_reach_the_codebook_as_those_of_the_expected_code() -> None:
    torch.manual_seed(0)
    bottleneck, h = VQBottleneck(D, groups=2, codes=3, width=2), torch.randn(B, D)
    wanted = torch.randn(B, 4)
    (bottleneck(h, seeded(0)).z * wanted).sum().backward()
    straight = bottleneck.codebook.grad
    bottleneck.zero_grad()
    (bottleneck.encode(h).mean * wanted).sum().backward()
    assert straight is not None
    torch.testing.assert_close(straight, bottleneck.codebook.grad)
