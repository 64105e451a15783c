"""The Tanimoto process against scikit-learn and RDKit, grown against refitted, and with inputs that break factors."""

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator
from search_molecules import MOLECULES
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from molvae.search.surrogate import CountFingerprint, TanimotoGP, tanimoto

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
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=2048)
    reference = [generator.GetCountFingerprint(m) for m in MOLS]
    ours = CountFingerprint(radius, 2048, 64)(MOLS)
    expected = [DataStructs.BulkTanimotoSimilarity(a, reference) for a in reference]
    np.testing.assert_allclose(tanimoto(ours, ours), expected, atol=1e-12)


def test_counts_above_the_maximum_are_cut() -> None:
    chains = [Chem.MolFromSmiles("C" * n) for n in (20, 30)]
    assert tanimoto(*(CountFingerprint(0, 2048, 4)([m]) for m in chains))[0, 0] == 1.0


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
