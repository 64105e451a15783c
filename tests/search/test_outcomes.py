"""Several outcomes over one factor: each is what a process of its own would say; windows, ranks and fronts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from rdkit import Chem
from scipy.stats import norm
from search_molecules import METHOD, MOLECULES

from molvae.core.errors import ConfigError
from molvae.search.acquisition import LogExpectedImprovement, UpperConfidenceBound
from molvae.search.feasibility import Feasible, log_between, log_feasibility, log_positive
from molvae.search.features import CountFingerprint
from molvae.search.goals import ParetoFront
from molvae.search.kernel import Weighting
from molvae.search.methods import Setting
from molvae.search.outcomes import UNKNOWN, Outcomes, OutcomesGP, Window
from molvae.search.pareto import front_mask, hypervolume, infer_reference
from molvae.search.surrogate import TanimotoGP

FINGERPRINTS = CountFingerprint()([Chem.MolFromSmiles(s) for s in MOLECULES])
VALUES = np.random.default_rng(0).normal(size=(8, 3)) * [1.0, 50.0, 1e-3] + [0.0, 300.0, 7.0]
TWO_AND_ONE = Outcomes(2, (Window(6.999, 7.001),))


@pytest.fixture
def gp() -> OutcomesGP:
    """Eight molecules, two objectives, one constrained outcome, told in three lots."""
    gp = OutcomesGP(TWO_AND_ONE)
    for lot in (slice(3), slice(3, 4), slice(4, 8)):
        gp.append(FINGERPRINTS[lot], VALUES[lot])
    return gp


@pytest.mark.parametrize(("column", "scaling"), [(0, "range"), (1, "range"), (2, "standard")])
def test_each_outcome_is_what_a_process_of_its_own_says(gp: OutcomesGP, column: int, scaling: str) -> None:
    alone = TanimotoGP(scaling=scaling)  # type: ignore[arg-type]
    alone.append(FINGERPRINTS[:8], VALUES[:, column])
    expected, ours = alone.posterior(FINGERPRINTS), gp.posterior(FINGERPRINTS).own_unit(column)
    np.testing.assert_allclose(ours.mean, expected.mean, rtol=1e-9)
    np.testing.assert_allclose(ours.std, expected.std, rtol=1e-9)
    np.testing.assert_allclose(ours.covariance(), expected.covariance(), rtol=1e-9, atol=1e-11)


def test_molecules_without_all_outcomes_are_left_out_and_nothing_observed_is_the_prior() -> None:
    empty = OutcomesGP(TWO_AND_ONE)
    assert empty.posterior(FINGERPRINTS).mean.tolist() == [[0.0] * 3] * len(MOLECULES)
    rows = VALUES.copy()
    rows[[1, 4], [0, 2]] = math.nan, math.inf
    empty.append(FINGERPRINTS[:8], rows)
    assert len(empty) == 6


def test_believed_molecules_lower_the_uncertainty_and_leave_the_means(gp: OutcomesGP) -> None:
    before = gp.posterior(FINGERPRINTS)
    with gp.believing(FINGERPRINTS[8:10]):
        believed = gp.posterior(FINGERPRINTS)
        assert len(gp) == 10
    np.testing.assert_allclose(believed.mean, before.mean, atol=1e-3)
    assert (believed.std <= before.std + 1e-12).all()
    assert (believed.std[8:10] < 0.05).all()
    after = gp.posterior(FINGERPRINTS)
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.std, before.std)


def test_columns_and_rows_are_views_of_the_belief(gp: OutcomesGP) -> None:
    belief = gp.posterior(FINGERPRINTS)
    part = belief.rows(np.array([9, 2])).columns(slice(1, 3))
    np.testing.assert_array_equal(part.mean, belief.mean[[9, 2], 1:])
    np.testing.assert_allclose(part.covariance(), belief.covariance()[np.ix_([9, 2], [9, 2])])
    np.testing.assert_allclose(part.standard(VALUES[:, 1:]).min(axis=0)[0], 0.0, atol=1e-12)


def test_windows_say_how_far_a_value_is_outside() -> None:
    assert [Window(1.0, 3.0).excess(v) for v in (0.5, 1.0, 2.0, 3.0, 5.0)] == [0.5, 0.0, 0.0, 0.0, 2.0]
    assert Window(low=1.0).excess(1e9) == Window(high=1.0).excess(-1e9) == 0.0
    assert Window(high=1.0).excess(math.nan) == UNKNOWN > 0
    assert Window(88.58, 88.58).excess(88.58000000000001) == 0.0, "a last digit that hangs on the order of atoms"
    with pytest.raises(ConfigError, match="low, high or both"):
        Window()
    with pytest.raises(ConfigError, match="above high"):
        Window(2.0, 1.0)


def test_probability_of_a_window_is_that_of_the_normal_distribution() -> None:
    a = np.array([-2.0, 0.5, -np.inf, 1.0, 37.0, -38.0, 5.0])
    b = np.array([1.0, 0.6, 0.3, np.inf, 38.0, -37.0, 5.0])
    expected = norm.cdf(b) - norm.cdf(a)
    np.testing.assert_allclose(np.exp(log_between(a, b))[:4], expected[:4], rtol=1e-12)
    assert log_between(a, b)[4] == pytest.approx(norm.logsf(37.0), rel=1e-6)  # far out, where the difference is 0
    assert log_between(a, b)[5] == pytest.approx(norm.logcdf(-37.0), rel=1e-6)
    assert log_between(a, b)[6] == -math.inf


def test_a_window_of_one_value_ranks_as_one_that_shrinks_to_it(gp: OutcomesGP) -> None:
    belief = gp.posterior(FINGERPRINTS)
    exact, narrow = (log_feasibility(belief, Outcomes(2, (Window(7.0 - width, 7.0 + width),))) for width in (0.0, 1e-9))
    np.testing.assert_allclose(exact - exact[0], narrow - narrow[0], atol=1e-5)


def test_feasibility_multiplies_the_acquisition(gp: OutcomesGP) -> None:
    outcomes = Outcomes(1, (Window(high=300.0), Window(low=7.0)))
    gp = OutcomesGP(outcomes)
    gp.append(FINGERPRINTS[:8], VALUES)
    belief, rng = gp.posterior(FINGERPRINTS), np.random.default_rng
    inside = norm.logcdf((300.0 - belief.own_unit(1).mean) / belief.own_unit(1).std)
    inside += norm.logsf((7.0 - belief.own_unit(2).mean) / belief.own_unit(2).std)
    np.testing.assert_allclose(log_feasibility(belief, outcomes), inside, rtol=1e-6)
    inner = LogExpectedImprovement().draw(0.3, rng(0))(belief.own_unit(0))
    joint = Feasible(LogExpectedImprovement(), outcomes)
    np.testing.assert_allclose(joint.draw(0.3, rng(0))(belief), inner + inside, rtol=1e-6)
    np.testing.assert_allclose(joint.draw(-math.inf, rng(0))(belief), inside, rtol=1e-6)
    bound = UpperConfidenceBound((0.0, 0.0)).draw(0.3, rng(0))(belief.own_unit(0))
    scaled = (bound - belief.offsets[0]) / belief.scales[0]
    ours = Feasible(UpperConfidenceBound((0.0, 0.0)), outcomes).draw(0.3, rng(0))(belief)
    good = scaled > 0.5
    np.testing.assert_allclose(np.exp(ours)[good], (scaled * np.exp(inside))[good], rtol=1e-4)


def test_soft_logarithm_rises_everywhere() -> None:
    x = np.linspace(-1e3, 3.0, 100_001)
    assert (np.diff(log_positive(x)) > 0).all()
    assert log_positive(np.array([1.0]))[0] == pytest.approx(0.0, abs=1e-8)


def test_ranking_puts_feasible_undominated_molecules_first() -> None:
    goal = ParetoFront(Outcomes(2, (Window(high=1.0),)))
    rows = [("worst", 0, 0, 0), ("left", 1, 3, 0), ("far out", 9, 9, 5), ("right", 3, 1, 1), ("near", 9, 9, 2)]
    rows += [("beaten", 2, 1, 0), ("equal", 3, 1, 0)]
    goal.observe([], np.zeros((0, 3)))
    assert goal.progress == (-math.inf, 0)
    goal.observe([r[0] for r in rows], np.array([r[1:] for r in rows], dtype=float))
    assert goal.ranked(9) == ["left", "right", "equal", "beaten", "worst", "near", "far out"]
    assert goal.ranked(1) == ["left", "right", "equal"]
    assert goal.progress == (0.0, 0)
    goal.observe(["late"], np.array([[0.0, 0.0, 0.0]]))
    assert goal.progress == (0.0, 1)


def test_front_of_a_goal_is_that_of_all_pairs() -> None:
    y = np.random.default_rng(1).integers(0, 9, size=(200, 3)).astype(float)
    goal = ParetoFront(Outcomes(3))
    goal.observe([str(i) for i in range(200)], y)
    beaten = [any((b >= a).all() and (b > a).any() for b in y) for a in y]
    assert goal.ranked(1) == [str(i) for i in range(200) if not beaten[i]]
    np.testing.assert_array_equal(front_mask(y), ~np.array(beaten))


def test_one_constrained_objective_is_ranked_by_feasible_score() -> None:
    goal = ParetoFront(Outcomes(1, (Window(low=0.0),)))
    goal.observe(list("abcd"), np.array([[1.0, 1], [5.0, -1], [3.0, 0], [2.0, 1]]))
    assert goal.ranked(3) == ["c", "d", "a"]
    assert goal.progress == (3.0, 1)


def test_hypervolume_against_monte_carlo_and_by_hand() -> None:
    assert hypervolume(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0], [1.0, 1.0]]), (0.0, 0.0)) == pytest.approx(6.0)
    assert hypervolume(np.array([[-1.0, 3.0], [math.nan, 9.0]]), (0.0, 0.0)) == 0.0
    rng = np.random.default_rng(0)
    front, points = rng.random((12, 3)), rng.random((200_000, 3))
    share = np.any([(points <= y).all(axis=1) for y in front], axis=0).mean()
    assert hypervolume(front, (0.0, 0.0, 0.0)) == pytest.approx(share, abs=0.004)


def test_inferred_reference_lies_a_tenth_of_the_range_below_the_front() -> None:
    y = np.array([[0.0, 10.0], [1.0, 0.0], [-5.0, -5.0]])
    assert infer_reference(y) == pytest.approx((-0.1, -1.0))


def test_covariances_are_those_of_the_weighted_kernel() -> None:
    weighting = Weighting(CountFingerprint().ends, CountFingerprint().weights((4.0,))[1:])
    gp, alone = OutcomesGP(TWO_AND_ONE, weighting=weighting), TanimotoGP(scaling="none", weighting=weighting)
    gp.append(FINGERPRINTS[:8], VALUES)
    alone.append(FINGERPRINTS[:8], VALUES[:, 0])
    ours, expected = gp.posterior(FINGERPRINTS), alone.posterior(FINGERPRINTS)
    np.testing.assert_allclose(ours.covariance(), expected.covariance(), atol=1e-11)
    np.testing.assert_allclose(np.diag(ours.covariance()), ours.std**2, atol=1e-9)


def test_a_window_of_one_value_is_searched_like_any_other() -> None:
    search = METHOD.build(Setting(start=MOLECULES[:6], outcomes=Outcomes(1, (Window(2.0, 2.0),))))
    first = [c.smiles for c in search.ask(6)]
    search.tell(first, [[1.0, float(i)] for i in range(6)])
    asked = [c.smiles for c in search.ask(5)]
    assert len(set(asked)) == 5, "none is asked for twice"
