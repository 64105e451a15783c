"""Schedules, the loss, the diagnosis of the latent space, and the bounds of the evidence."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from small_model import seeded
from torch import Tensor
from torch.distributions import Normal

from molvae.model.objective import (
    Constant,
    Cyclical,
    Linear,
    Objective,
    Schedule,
    active_units,
    collapse_warning,
    diagnose,
)
from molvae.model.vae import VAEOutput
from molvae.nn.bottleneck import GaussianBottleneck, LatentSample
from molvae.nn.gaussian import Gaussian

# --- schedules ------------------------------------------------------------------------------------------------------


def test_constant() -> None:
    assert {Constant(value=0.3)(step) for step in (0, 1, 10**6)} == {0.3}


def test_a_plain_number_is_constant() -> None:
    assert Objective.model_validate({"beta": 0.3}) == Objective(beta=Constant(value=0.3))
    with pytest.raises(ValidationError):
        Objective.model_validate({"beta": -0.3})


def test_linear() -> None:
    schedule = Linear(start=0.2, end=1.0, steps=4)
    assert [schedule(step) for step in (0, 1, 2, 4, 5, 1000)] == pytest.approx([0.2, 0.4, 0.6, 1, 1, 1])


def test_linear_may_fall() -> None:
    assert Linear(start=1.0, end=0.0, steps=2)(1) == 0.5


def test_cyclical() -> None:
    schedule = Cyclical(end=1.0, period=10, cycles=2, rise=0.5)
    one = [0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1, 1]
    assert [schedule(step) for step in range(24)] == pytest.approx([*one, *one, 1, 1, 1, 1])


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "linear", "end": 1, "steps": 0},
        {"kind": "constant", "value": -1},
        {"kind": "cyclical", "end": 1, "period": 5, "rise": 0},
        {"kind": "cosine", "end": 1},
    ],
)
def test_impossible_schedules_are_refused(value: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Schedule).validate_python(value)


# --- loss -----------------------------------------------------------------------------------------------------------


def output(rate: Tensor, distortion: Tensor, aux: float = 0.0) -> VAEOutput:
    zeros = torch.zeros(len(rate), 2)
    return VAEOutput(distortion, LatentSample(zeros, rate, torch.tensor(aux), Gaussian(zeros, zeros + 1)))


RATE = torch.tensor([[0.1, 2.0, 0.5], [0.3, 4.0, 0.1]])  # means 0.2, 3.0, 0.3
DISTORTION = torch.tensor([10.0, 20.0])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_loss_is_distortion_plus_beta_times_rate(beta: float) -> None:
    loss, distortion, rate, penalty = Objective(beta=Constant(value=beta))(output(RATE, DISTORTION, 0.25), 0)
    assert float(distortion) == 15
    assert float(rate) == pytest.approx(3.5)
    assert float(penalty) == 0.25
    assert float(loss) == pytest.approx(15 + beta * 3.5 + 0.25)


def test_beta_follows_its_schedule() -> None:
    objective = Objective(beta=Linear(end=1.0, steps=10))
    assert float(objective(output(RATE, DISTORTION), 4).loss) == pytest.approx(15 + 0.4 * 3.5)


def test_free_bits_hold_groups_and_not_molecules() -> None:
    """Groups below lambda cost lambda and get no gradient; the reported rate is the true one."""
    rate = RATE.clone().requires_grad_()
    terms = Objective(free_bits=0.3001)(output(rate, DISTORTION), 0)
    assert float(terms.loss.detach()) == pytest.approx(15 + 0.3001 + 3.0 + 0.3001)
    assert float(terms.rate.detach()) == pytest.approx(3.5)
    terms.loss.backward()
    assert rate.grad is not None
    assert rate.grad.tolist() == [[0, 0.5, 0], [0, 0.5, 0]]


def test_the_loss_is_per_molecule_and_not_per_batch() -> None:
    twice = Objective()(output(RATE.repeat(2, 1), DISTORTION.repeat(2)), 0)
    assert float(twice.loss) == pytest.approx(float(Objective()(output(RATE, DISTORTION), 0).loss))


# --- diagnosis ------------------------------------------------------------------------------------------------------


def diagnosed(mean: Tensor, std: Tensor) -> tuple[int, Tensor, float]:
    units, rate, information = diagnose(mean, std, Gaussian(mean, std).kl(), seeded(0))
    assert information is not None
    return units, rate, information


def test_a_collapsed_model_is_found_and_said() -> None:
    found = diagnose(torch.zeros(500, 8), torch.ones(500, 8), torch.zeros(500, 8), seeded(0))
    assert found.active_units == 0
    assert found.mutual_information == pytest.approx(0, abs=1e-3)
    warning = collapse_warning(found, 8)
    assert warning is not None
    assert "posterior collapse" in warning
    assert "beta" in warning
    assert "free_bits" in warning


def test_active_units_are_those_whose_mean_moves() -> None:
    mean = torch.randn(1000, 10, generator=seeded(1)) * torch.tensor([1.0] * 4 + [0.01] * 6)
    assert diagnosed(mean, torch.full_like(mean, 0.5))[0] == 4
    assert active_units(torch.tensor([[0.0, 0.0], [0.19, 0.21]])) == 1, "variances of 0.009 and 0.011"
    assert active_units(mean[:1]) == 0


def test_few_active_units_are_warned_of_and_many_are_not() -> None:
    mean = torch.randn(500, 32, generator=seeded(1))
    for active, words in ((2, "only 2 of 32"), (16, None)):
        moved = mean * (torch.arange(32) < active)
        kl = Gaussian(moved, torch.full_like(moved, 0.3)).kl()
        warning = collapse_warning(diagnose(moved, torch.full_like(moved, 0.3), kl, seeded(0)), 32)
        assert (warning is None) if words is None else (warning is not None and words in warning)


def test_mutual_information_of_a_gaussian_channel() -> None:
    """mean ~ N(0, s^2), z|x ~ N(mean, t^2): I(x; z) = 0.5 log(1 + s^2/t^2) for each dimension."""
    s, t, n_dim = 1.0, 0.5, 2
    mean = s * torch.randn(4000, n_dim, generator=seeded(1))
    found = diagnosed(mean, torch.full_like(mean, t))[2]
    assert found == pytest.approx(0.5 * n_dim * math.log(1 + s**2 / t**2), rel=0.03)


def test_mutual_information_of_molecules_told_apart_is_log_n() -> None:
    mean = 100.0 * torch.arange(50)[:, None].float()
    assert diagnosed(mean, torch.full_like(mean, 0.1))[2] == pytest.approx(math.log(50), rel=1e-4)


def test_without_a_gaussian_posterior_mutual_information_is_unknown() -> None:
    assert diagnose(RATE, None, RATE).mutual_information is None


def test_mutual_information_is_at_most_the_rate() -> None:
    """R = I + KL(q(z) || p(z)); here the second term is zero, then large."""
    mean = torch.randn(3000, 1, generator=seeded(1))
    for shift in (0.0, 3.0):
        std = torch.full_like(mean, 0.5)
        _, rate, information = diagnosed(mean * math.sqrt(0.75) + shift, std)
        assert information == pytest.approx(0.5 * math.log(4), rel=0.05)
        assert float(rate.sum()) == pytest.approx(information + 0.5 * shift**2, rel=0.05)


def test_one_molecule_is_enough_to_look() -> None:
    assert diagnosed(torch.zeros(1, 3), torch.ones(1, 3))[0] == 0


# --- bounds of the evidence -----------------------------------------------------------------------------------------


class LinearGaussian:
    """p(z) = N(0, 1), p(x|z) = N(w z, s^2), so p(x) = N(0, w^2 + s^2) exactly; q(z|x) by a GaussianBottleneck."""

    def __init__(self, exact_posterior: bool) -> None:
        self.w, self.s = 1.5, 0.7
        variance = 1 / (1 + self.w**2 / self.s**2)
        slope, std = self.w / self.s**2 * variance, math.sqrt(variance)
        if not exact_posterior:
            slope, std = 0.7 * slope, 1.6 * std
        self.bottleneck = GaussianBottleneck(1, 1)
        with torch.no_grad():
            self.bottleneck.project.weight.copy_(torch.tensor([[slope], [0.0]]))
            self.bottleneck.project.bias.copy_(torch.tensor([0.0, math.log(std)]))
        self.x = torch.linspace(-3, 3, 9)[:, None]

    def evidence(self) -> Tensor:
        return Normal(0.0, math.sqrt(self.w**2 + self.s**2)).log_prob(self.x[:, 0])

    @torch.no_grad()
    def bound(self, k: int, repeats: int = 1000) -> Tensor:
        """Mean IWAE bound (9,) of k samples, over repeats."""
        z, log_weight = self.bottleneck.importance(self.x, k * repeats, seeded(k))
        terms = Normal(self.w * z[..., 0], self.s).log_prob(self.x[:, 0]) + log_weight
        return (torch.logsumexp(terms.view(repeats, k, -1), 1) - math.log(k)).mean(0)


def test_an_exact_posterior_makes_every_bound_tight() -> None:
    model = LinearGaussian(exact_posterior=True)
    for k in (1, 8):
        torch.testing.assert_close(model.bound(k, 5), model.evidence(), rtol=0, atol=1e-4)


def test_the_bound_rises_with_k_to_the_evidence() -> None:
    """ELBO = IWAE(1) <= IWAE(k) <= log p(x) (Burda et al. 2016, theorem 1)."""
    model = LinearGaussian(exact_posterior=False)
    bounds = [float(model.bound(k).mean()) for k in (1, 2, 4, 16, 64, 256)]
    evidence = float(model.evidence().mean())
    assert all(low <= high + 0.01 for low, high in zip(bounds, [*bounds[1:], evidence], strict=True))
    assert evidence - bounds[0] > 0.3
    assert bounds[-1] == pytest.approx(evidence, abs=0.02)


def test_the_elbo_is_minus_distortion_minus_rate() -> None:
    model = LinearGaussian(exact_posterior=False)
    latent = model.bottleneck(model.x.repeat(20_000, 1), seeded(0))
    log_likelihood = Normal(model.w * latent.z, model.s).log_prob(model.x.repeat(20_000, 1))
    elbo = log_likelihood.view(20_000, 9).mean(0) - latent.rate.view(20_000, 9).mean(0)
    torch.testing.assert_close(elbo.detach(), model.bound(1, 20_000), rtol=0, atol=0.1)
