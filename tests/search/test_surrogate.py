"""The Tanimoto process against scikit-learn and RDKit, grown against refitted, and with inputs that break factors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import Crippen, rdFingerprintGenerator
from scipy import sparse
from search_molecules import MOLECULES
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from molvae.search.features import N_DESCRIBED, CountFingerprint
from molvae.search.kernel import DENSE_ROWS, Weighting, tanimoto
from molvae.search.outcomes import Outcomes, OutcomesGP
from molvae.search.surrogate import Posterior, TanimotoGP, leave_one_out_error, units

MOLS = [Chem.MolFromSmiles(s) for s in MOLECULES]
X = CountFingerprint()(MOLS)
Y = np.random.default_rng(0).normal(size=len(MOLS))


class Precomputed(Kernel):
    """A kernel of scikit-learn that looks its values up in our matrix: X holds row numbers."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix

    def __call__(self, x, y=None, eval_gradient=False):
        rows, columns = x[:, 0].astype(int), (x if y is None else y)[:, 0].astype(int)
        return self.matrix[np.ix_(rows, columns)]

    def diag(self, x):
        return np.diag(self.matrix)[x[:, 0].astype(int)]

    def is_stationary(self):
        return False


@pytest.mark.parametrize("radius", [2, 3])
def test_tanimoto_equals_rdkit_on_counts(radius: int) -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius)
    reference = [generator.GetSparseCountFingerprint(m) for m in MOLS]
    ours = CountFingerprint(radius, 2**20, 64, roles=False, descriptors=False)(MOLS)
    expected = [DataStructs.BulkTanimotoSimilarity(a, reference) for a in reference]
    np.testing.assert_allclose(tanimoto(ours, ours), expected, atol=1e-12)


def test_tanimoto_of_many_molecules_is_that_of_each_pair() -> None:
    many = sparse.vstack([X] * (2 * DENSE_ROWS // len(MOLS) + 1), format="csr")
    rows, columns = np.arange(many.shape[0]) % len(MOLS), np.arange(len(MOLS))
    pairs = np.array([[tanimoto(X[i], X[j])[0, 0] for j in columns] for i in columns])
    np.testing.assert_array_equal(tanimoto(many, X), pairs[rows])
    np.testing.assert_array_equal(tanimoto(many[:5], many), pairs[rows[:5]][:, rows])


def test_counts_above_the_maximum_are_cut() -> None:
    chains = [Chem.MolFromSmiles("C" * n) for n in (20, 30)]
    assert tanimoto(*(CountFingerprint(0, 2048, 4, roles=False, descriptors=False)([m]) for m in chains))[0, 0] == 1.0


def test_posterior_equals_scikit_learn() -> None:
    train, test = np.arange(8), np.arange(8, 12)
    gp = TanimotoGP(noise=1e-2, scaling="none")
    gp.append(X[train], Y[train])
    reference = GaussianProcessRegressor(Precomputed(tanimoto(X, X)), alpha=1e-2, optimizer=None)
    reference.fit(train[:, None], Y[train])
    mean, covariance = reference.predict(test[:, None], return_cov=True)
    belief = gp.posterior(X[test])
    np.testing.assert_allclose(belief.mean, mean, atol=1e-10)
    np.testing.assert_allclose(belief.std, np.sqrt(np.diag(covariance)), atol=1e-8)
    np.testing.assert_allclose(belief.covariance(), covariance, atol=1e-8)
    np.testing.assert_allclose(belief.covariance_with(2), covariance[2], atol=1e-8)


@pytest.mark.parametrize("scaling", ["none", "range", "standard"])
@pytest.mark.parametrize("sizes", [(12,), (1,) * 12, (5, 4, 3)])
def test_grown_equals_refitted(sizes: tuple[int, ...], scaling: str) -> None:
    whole, grown = TanimotoGP(scaling=scaling), TanimotoGP(scaling=scaling)
    whole.append(X, Y)
    at = 0
    for size in sizes:
        grown.append(X[at : at + size], Y[at : at + size])
        at += size
    others = CountFingerprint()([Chem.MolFromSmiles(s) for s in ("CCO", "c1ccccc1CC(=O)O")])
    for a, b in ((whole.posterior(others), grown.posterior(others)), (whole.posterior(X), grown.posterior(X))):
        np.testing.assert_allclose(a.mean, b.mean, atol=1e-7)
        np.testing.assert_allclose(a.std, b.std, atol=1e-7)


@pytest.mark.parametrize("scaling", ["none", "range", "standard"])
def test_what_is_forgotten_counts_for_the_scaling_only(scaling: str) -> None:
    kept = [1, 2, 5, 9]
    gp, few = TanimotoGP(scaling=scaling), TanimotoGP(scaling="none")
    gp.append(X[:10], Y[:10])
    offset, scale = units(Y[:10], scaling)
    few.append(X[kept], (Y[kept] - offset) / scale)
    gp.keep(kept)
    assert len(gp) == 4
    np.testing.assert_allclose(gp.posterior(X).mean, offset + scale * few.posterior(X).mean, atol=1e-9)
    np.testing.assert_allclose(gp.posterior(X).std, scale * few.posterior(X).std, atol=1e-9)
    gp.append(X[10:], Y[10:])
    assert len(gp) == 6


@pytest.mark.parametrize("scaling", ["none", "range", "standard"])
def test_errors_of_measurement_equal_scikit_learn(scaling: str) -> None:
    errors = np.r_[np.linspace(0.05, 0.8, 5), np.zeros(3)]  # the five measured first, then three exact scores
    gp = TanimotoGP(noise=1e-3, scaling=scaling)
    gp.append(X[:5], Y[:5], errors[:5])
    for i in range(5, 8):
        gp.append(X[[i]], Y[[i]] + i)  # the range of the scores grows, and with it the unit of the errors
    scores = np.r_[Y[:5], Y[5:8] + np.arange(5, 8)]
    offset = {"none": 0.0, "range": scores.min(), "standard": scores.mean()}[scaling]
    scale = {"none": 1.0, "range": np.ptp(scores), "standard": scores.std()}[scaling]
    reference = GaussianProcessRegressor(
        Precomputed(tanimoto(X, X)), alpha=1e-3 + errors / scale**2, optimizer=None
    ).fit(np.arange(8)[:, None], (scores - offset) / scale)
    mean, std = reference.predict(np.arange(12)[:, None], return_std=True)
    belief = gp.posterior(X)
    np.testing.assert_allclose(belief.mean, offset + scale * mean, atol=1e-9)
    np.testing.assert_allclose(belief.std, scale * std, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_range_scaling_does_not_depend_on_the_unit(factor: float) -> None:
    one, other = TanimotoGP(), TanimotoGP()
    one.append(X[:8], Y[:8])
    other.append(X[:8], 100 + factor * Y[:8])
    a, b = one.posterior(X[8:]), other.posterior(X[8:])
    np.testing.assert_allclose((b.mean - 100) / factor, a.mean, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(b.std / factor, a.std, rtol=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(12),
        np.full(12, 1e30),
        np.r_[1e30, -1e30, np.zeros(10)],
        np.r_[1.7e308, -1.7e308, np.zeros(10)],
        np.r_[np.nan, np.inf, -np.inf, np.ones(9)],
        np.full(12, np.nan),
    ],
    ids=["zero", "constant", "huge", "largest", "not finite", "all NaN"],
)
@pytest.mark.parametrize("scaling", ["none", "range", "standard"])
def test_survives_bad_scores(values: np.ndarray, scaling: str) -> None:
    gp = TanimotoGP(scaling=scaling)
    gp.append(X, values)
    gp.append(X[:3], values[:3])
    assert len(gp) == np.isfinite(values).sum() + np.isfinite(values[:3]).sum()
    belief = gp.posterior(X)
    assert np.isfinite(belief.mean).all()
    assert np.isfinite(belief.std).all()
    assert (belief.std > 0).all()


@pytest.mark.parametrize("noise", [1e-4, 1e-12])
def test_survives_duplicates(noise: float) -> None:
    gp = TanimotoGP(noise=noise, scaling="none")
    for _ in range(5):
        gp.append(X[[0, 0, 1, 1, 2]], np.array([1.0, 1.0, 2.0, 2.0, 3.0]))
    np.testing.assert_allclose(gp.posterior(X[:3]).mean, [1, 2, 3], atol=1e-2)


def test_without_observations_believes_the_prior() -> None:
    belief = TanimotoGP().posterior(X)
    assert (belief.mean == 0).all()
    assert (belief.std == 1).all()


SAMPLE = Path(__file__).parents[2] / "data" / "sample.smi"
SAMPLED = [Chem.MolFromSmiles(line.split()[0]) for line in SAMPLE.read_text(encoding="utf-8").splitlines()[:60]]
FINGERPRINT = CountFingerprint()
WEIGHTING = Weighting(FINGERPRINT.ends, FINGERPRINT.weights())


@pytest.mark.parametrize("choice", range(len(WEIGHTING.choices)))
def test_weighted_kernel_is_the_ratio_of_weighted_sums(choice: int) -> None:
    counts = np.minimum(FINGERPRINT.counts(MOLS).toarray(), FINGERPRINT.most)
    widths = [FINGERPRINT.n_bits] * 4 + [N_DESCRIBED]
    weights = np.repeat(WEIGHTING.choices[choice], widths)
    least, largest = (f(counts[:, None], counts) @ weights for f in (np.minimum, np.maximum))
    weighted = WEIGHTING.applied(X, WEIGHTING.choices[choice])
    np.testing.assert_allclose(tanimoto(weighted, weighted), least / largest, atol=1e-12)
    np.testing.assert_allclose(list(WEIGHTING.kernels(X))[choice], least / largest, atol=1e-12)


@pytest.mark.parametrize("y", [Y, np.stack([Y, Y**2], axis=1)], ids=["one outcome", "two"])
def test_leave_one_out_error_is_that_of_leaving_one_out(y: np.ndarray) -> None:
    covariance = tanimoto(X, X) + 0.01 * np.eye(len(MOLS))
    errors = []
    for i in range(len(MOLS)):
        others = np.delete(np.arange(len(MOLS)), i)
        predicted = covariance[i, others] @ np.linalg.solve(covariance[np.ix_(others, others)], y[others])
        errors.append((predicted - y[i]) ** 2)
    assert leave_one_out_error(covariance, y) == pytest.approx(float(np.mean(errors)))


def test_what_the_score_depends_on_counts() -> None:
    def similarity(generator: Any) -> np.ndarray:
        prints = list(generator.GetCountFingerprints(SAMPLED))
        return np.array(DataStructs.BulkTanimotoSimilarity(prints[0], prints))

    scores = {
        "environments": similarity(rdFingerprintGenerator.GetMorganGenerator(2)),
        "pairs": similarity(rdFingerprintGenerator.GetAtomPairGenerator()),
        "logp": np.array([Crippen.MolLogP(mol) for mol in SAMPLED]),
    }
    chosen = {}
    for name, y in scores.items():
        gp = TanimotoGP(weighting=WEIGHTING)
        gp.append(FINGERPRINT(SAMPLED), y)
        gp.adapt()
        chosen[name] = dict(zip(FINGERPRINT.blocks, gp.weights, strict=True))
    assert chosen["environments"]["inner"] > 0
    assert chosen["pairs"]["pairs"] > 0
    assert chosen["logp"]["descriptors"] == 16.0
    assert max(chosen[name]["descriptors"] for name in ("environments", "pairs")) <= 1.0


def test_a_changed_weight_is_that_of_a_process_that_had_it_from_the_beginning() -> None:
    y = np.array([Crippen.MolLogP(mol) for mol in SAMPLED])
    grown = TanimotoGP(weighting=WEIGHTING)
    for lot in (slice(0, 10), slice(10, 30), slice(30, 50)):
        grown.append(FINGERPRINT(SAMPLED[lot]), y[lot])
        grown.adapt()
    assert grown.weights in WEIGHTING.choices[1:]
    fixed = TanimotoGP(weighting=Weighting(WEIGHTING.ends, (grown.weights,)))
    fixed.append(FINGERPRINT(SAMPLED[:50]), y[:50])
    ours, expected = (gp.posterior(FINGERPRINT(SAMPLED[50:])) for gp in (grown, fixed))
    np.testing.assert_allclose(ours.mean, expected.mean, atol=1e-8)
    np.testing.assert_allclose(ours.std, expected.std, atol=1e-8)
    np.testing.assert_allclose(ours.covariance_with(0), expected.covariance_with(0), atol=1e-8)


def same(a: Posterior, b: Posterior) -> bool:
    """To the last bit: a search that kept a belief goes on like one that was resumed and had to compute it anew."""
    parts = [np.array_equal(getattr(a, part), getattr(b, part)) for part in ("mean", "std", "projection")]
    parts += [np.array_equal(a.covariance_with(0), b.covariance_with(0)), (a.fingerprints != b.fingerprints).nnz == 0]
    return all(parts)


ROLES = Weighting(WEIGHTING.ends, (WEIGHTING.choices[5],))  # and pairs, and descriptors


@pytest.mark.parametrize("several", [False, True])
def test_a_belief_kept_is_that_computed_anew(several: bool) -> None:
    codes, asked = FINGERPRINT(SAMPLED[:50]), FINGERPRINT(SAMPLED[50:])
    y: Any = np.array([Crippen.MolLogP(mol) for mol in SAMPLED[:50]])
    gp: Any = TanimotoGP(weighting=ROLES)
    if several:
        y, gp = np.stack([y, -y], axis=1), OutcomesGP(Outcomes(2), weighting=ROLES)
    before = gp.posterior(asked)
    gp.append(codes[:20], y[:20])
    early = gp.posterior(asked)
    assert same(gp.renewed(before), early)
    gp.append(codes[20:], y[20:])
    late = gp.posterior(asked)
    assert same(gp.renewed(early), late)
    assert same(gp.renewed(early.rows([7, 2])), gp.posterior(asked[[7, 2]]))
    with gp.believing(codes[:3]):
        believed = gp.posterior(asked)
        assert same(gp.renewed(late), believed)
    assert same(gp.renewed(believed), late)
    with gp.believing(codes[5:7]):
        assert same(gp.renewed(believed), gp.posterior(asked)), "it was believed of others"
        with gp.believing(codes[8:9]):
            twice = gp.posterior(asked)
    assert same(gp.renewed(twice), gp.posterior(asked))
    late = gp.posterior(asked)
    gp.keep([*range(5, 25), 40])
    assert same(gp.renewed(late), gp.posterior(asked))
    assert same(gp.posterior_of([20, 3]), gp.posterior(codes[[40, 8]]))


def test_a_belief_is_of_no_use_for_its_kernel_once_other_weights_are_chosen() -> None:
    codes, y = FINGERPRINT(SAMPLED), np.array([Crippen.MolLogP(mol) for mol in SAMPLED])
    gp = TanimotoGP(weighting=WEIGHTING)
    gp.append(codes[:50], y[:50])
    first, weights = gp.posterior(codes[50:]), gp.weights
    gp.adapt()
    assert gp.weights != weights
    one_kernel = Weighting(WEIGHTING.ends, (gp.weights,))
    assert not np.array_equal(first.kernel, gp.posterior(codes[50:]).kernel)
    renewed = gp.renewed(replace(first, fingerprints=one_kernel.applied(codes[50:], gp.weights)))
    assert same(renewed, gp.posterior(codes[50:]))


def test_the_belief_about_the_observed_needs_no_fingerprints() -> None:
    codes, y = FINGERPRINT(SAMPLED), np.array([Crippen.MolLogP(mol) for mol in SAMPLED])
    gp = TanimotoGP(weighting=WEIGHTING)
    for part in (slice(0, 30), slice(30, 47), slice(47, None)):
        gp.append(codes[part], y[part])
        gp.adapt()
    assert gp.weights != WEIGHTING.choices[0]
    assert same(gp.posterior_of([50, 3, 4]), gp.posterior(codes[[50, 3, 4]]))
    gp.keep([3, 9, 50])
    assert same(gp.posterior_of([2, 0]), gp.posterior(codes[[50, 3]]))


def test_beliefs_leave_no_trace() -> None:
    codes, y = FINGERPRINT(SAMPLED[:50]), np.array([Crippen.MolLogP(mol) for mol in SAMPLED[:50]])
    never, once = TanimotoGP(weighting=WEIGHTING), TanimotoGP(weighting=WEIGHTING)
    for gp in (never, once):
        gp.append(codes, y)
    with once.believing(FINGERPRINT(SAMPLED[50:])):
        pass
    for gp in (never, once):
        gp.adapt()
    np.testing.assert_array_equal(never.posterior(codes).mean, once.posterior(codes).mean)


def test_a_range_whose_square_is_nothing_counts_as_constant() -> None:
    gp = TanimotoGP()
    gp.append(X[:3], np.array([0.0, 1e-170, 0.0]))
    assert np.isfinite(gp.posterior(X).mean).all()
    assert units(np.array([0.0, 1e-90]), "range") == (0.0, 1e-90)
