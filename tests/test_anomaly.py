"""Outliers, by scikit-learn's protocol."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from small_model import small_molecules

from molvae.anomaly import MoleculeOutliers
from molvae.core.errors import DataError

KNOWN = small_molecules()[:64]
STRANGE = ["CCCCCCCCCCCCC(=O)OCCCCC", "C1CC1C1CC1C1CC1C1CC1", "OOOOOO"]
UNREADABLE = ["no molecule", "C[Si](C)(C)C", "C" * 60]


@pytest.fixture(scope="module")
def fitted(tiny_model: Path) -> MoleculeOutliers:
    return MoleculeOutliers(str(tiny_model), device="cpu").fit(KNOWN)


def test_what_was_learnt_from_is_ordinary_and_what_is_strange_is_not(fitted: MoleculeOutliers) -> None:
    assert (fitted.predict(KNOWN) == 1).mean() == pytest.approx(0.95, abs=0.04)
    assert fitted.predict(STRANGE).tolist() == [-1, -1, -1]
    assert fitted.score_samples(KNOWN).min() > fitted.score_samples(STRANGE).max()


def test_what_the_model_cannot_read_is_an_outlier(fitted: MoleculeOutliers) -> None:
    assert np.isneginf(fitted.score_samples(UNREADABLE)).all()
    assert fitted.predict([KNOWN[0], *UNREADABLE]).tolist() == [1, -1, -1, -1]


def test_scores_are_those_of_a_gaussian_over_likelihood_and_length(fitted: MoleculeOutliers) -> None:
    """Up to a constant, twice the logarithm of the density."""
    vae = fitted.vae
    lengths = np.array([len(vae.tokenizer.encode(s)) for s in KNOWN])
    numbers = np.column_stack([vae.log_prob(KNOWN, 16, 0) / lengths, np.log(lengths)])
    gaussian = multivariate_normal(numbers.mean(0), np.cov(numbers.T, bias=True))
    difference = fitted.score_samples(KNOWN) - 2 * gaussian.logpdf(numbers)
    np.testing.assert_allclose(difference, difference[0], rtol=1e-4)


def test_contamination_is_the_share_of_outliers_among_the_reference(tiny_model: Path) -> None:
    for share in (0.1, 0.5):
        detector = MoleculeOutliers(str(tiny_model), contamination=share, device="cpu")
        assert (detector.fit_predict(KNOWN) == -1).mean() == pytest.approx(share, abs=0.02)


def test_it_is_cloned_and_pickled_without_weights(fitted: MoleculeOutliers) -> None:
    with pytest.raises(NotFittedError):
        clone(fitted).predict(KNOWN)
    content = pickle.dumps(fitted)
    assert len(content) < 5000
    np.testing.assert_array_equal(pickle.loads(content).predict(STRANGE), fitted.predict(STRANGE))


def test_too_few_readable_molecules_are_said(tiny_model: Path) -> None:
    with pytest.raises(DataError, match="can read 3 of 6 reference molecules; at least 10"):
        MoleculeOutliers(str(tiny_model), device="cpu").fit([*KNOWN[:3], *UNREADABLE])
    with pytest.raises(ValueError, match="expected a list or array of SMILES"):
        MoleculeOutliers(str(tiny_model), device="cpu").fit("CCO")
