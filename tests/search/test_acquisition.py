"""Acquisition functions against BoTorch, Monte Carlo and theory."""

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import _log_ei_helper
from rdkit import Chem
from scipy import sparse
from search_molecules import MOLECULES

from molvae.search.acquisition import LogExpectedImprovement, ThompsonSampling, UpperConfidenceBound, log_h
from molvae.search.features import CountFingerprint
from molvae.search.surrogate import Posterior, TanimotoGP


def belief(mean: list[float], std: list[float]) -> Posterior:
    none = np.zeros((0, len(mean)))
    return Posterior(np.array(mean), np.array(std), sparse.csr_matrix((len(mean), 1)), none, 1.0, none, 0)


def test_log_h_equals_botorch_from_very_bad_to_very_good() -> None:
    z = np.r_[-np.logspace(9, -3, 200), 0.0, np.logspace(-3, 3, 100)]
    expected = _log_ei_helper(torch.tensor(z)).numpy()
    np.testing.assert_allclose(log_h(z), expected, rtol=1e-7, atol=1e-10)
    assert (np.diff(log_h(z)) >= 0).all()


def test_log_expected_improvement_equals_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    mean, std, best = [0.2, 0.9, 1.5], [0.5, 0.1, 0.3], 1.0
    score = LogExpectedImprovement().draw(best, rng)(belief(mean, std))
    draws = np.array(mean) + np.array(std) * rng.standard_normal((2_000_000, 3))
    np.testing.assert_allclose(np.exp(score), np.maximum(draws - best, 0).mean(axis=0), rtol=0.01)


def test_upper_confidence_bound_draws_its_weight() -> None:
    rng = np.random.default_rng(0)
    at = belief([0.0], [1.0])
    weights = np.array([UpperConfidenceBound((-2, 0)).draw(0.0, rng)(at)[0] for _ in range(2000)])
    assert weights.min() > 0.01
    assert weights.max() < 1.0
    assert np.log10(weights).mean() == pytest.approx(-1, abs=0.05)


def test_thompson_draws_follow_the_joint_posterior() -> None:
    fingerprints = CountFingerprint()([Chem.MolFromSmiles(s) for s in MOLECULES])
    gp = TanimotoGP(scaling="none")
    gp.append(fingerprints[:5], np.arange(5.0))
    posterior = gp.posterior(fingerprints[5:9])
    rng = np.random.default_rng(0)
    draws = np.array([ThompsonSampling().draw(0.0, rng)(posterior) for _ in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), posterior.mean, atol=0.06)
    np.testing.assert_allclose(np.cov(draws.T), posterior.covariance(), atol=0.08)


@pytest.mark.parametrize("acquisition", [UpperConfidenceBound(), LogExpectedImprovement(), ThompsonSampling()])
def test_a_draw_stays_fixed_and_depends_on_the_seed_alone(acquisition: UpperConfidenceBound) -> None:
    fingerprints = CountFingerprint()([Chem.MolFromSmiles(s) for s in MOLECULES])
    posterior = TanimotoGP().posterior(fingerprints)
    score = acquisition.draw(0.5, np.random.default_rng(3))
    np.testing.assert_array_equal(score(posterior), score(posterior))
    again = acquisition.draw(0.5, np.random.default_rng(3))
    np.testing.assert_array_equal(score(posterior), again(posterior))


def test_a_search_that_finds_nothing_better_gets_bolder_but_stays_greedy_now_and_then() -> None:
    def weights(stalled: int, boldest: float = 8.0) -> list[float]:
        bound, rng = UpperConfidenceBound((0, 0), patience=40, boldest=boldest), np.random.default_rng(0)
        return [float(bound.draw(0.0, rng, stalled)(belief([0.0], [1.0]))[0]) for _ in range(1000)]

    drawn = [weights(n) for n in (0, 40, 80, 120, 500)]
    assert [max(some) for some in drawn] == pytest.approx([1, 2, 4, 8, 8], rel=0.01)
    assert [min(some) for some in drawn] == pytest.approx([1, 1, 1, 1, 1], rel=0.01)
    assert max(weights(500, boldest=1.0)) == 1.0
