"""The adapter against the process behind it, under BoTorch's own acquisition functions."""

import numpy as np
import pytest
import torch
from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement
from botorch.optim import optimize_acqf_discrete
from rdkit import Chem
from search_molecules import MOLECULES

from molvae.search import acquisition
from molvae.search.botorch_model import TanimotoModel
from molvae.search.features import CountFingerprint
from molvae.search.surrogate import TanimotoGP

MOLS = [Chem.MolFromSmiles(s) for s in MOLECULES]
FINGERPRINT = CountFingerprint(n_bits=1024)
COUNTS = torch.tensor(FINGERPRINT.counts(MOLS).toarray(), dtype=torch.double)


@pytest.fixture
def gp() -> TanimotoGP:
    gp = TanimotoGP(scaling="none")
    gp.append(FINGERPRINT(MOLS[:8]), np.linspace(0, 1, 8))
    return gp


def test_dense_counts_give_the_same_fingerprints() -> None:
    assert (FINGERPRINT.unary(COUNTS.numpy()) != FINGERPRINT(MOLS)).nnz == 0


def test_posterior_is_that_of_the_process(gp: TanimotoGP) -> None:
    belief, ours = gp.posterior(FINGERPRINT(MOLS)), TanimotoModel(gp, FINGERPRINT).posterior(COUNTS)
    np.testing.assert_allclose(ours.mean[:, 0], belief.mean)
    np.testing.assert_allclose(ours.distribution.covariance_matrix, belief.covariance())
    pairs = TanimotoModel(gp, FINGERPRINT).posterior(COUNTS.reshape(6, 2, -1))
    assert pairs.mean.shape == (6, 2, 1)
    np.testing.assert_allclose(pairs.distribution.covariance_matrix[1], belief.covariance()[2:4, 2:4])


def test_acquisition_functions_of_botorch_agree_with_ours(gp: TanimotoGP) -> None:
    model = TanimotoModel(gp, FINGERPRINT)
    theirs = LogExpectedImprovement(model, best_f=1.0)(COUNTS[8:, None])
    ours = acquisition.LogExpectedImprovement().draw(1.0, np.random.default_rng(0))(gp.posterior(FINGERPRINT(MOLS[8:])))
    np.testing.assert_allclose(theirs, ours, rtol=1e-6)
    chosen, value = optimize_acqf_discrete(LogExpectedImprovement(model, best_f=1.0), q=1, choices=COUNTS[8:])
    assert value.item() == pytest.approx(ours.max(), rel=1e-6)
    assert (chosen[0] == COUNTS[8 + int(np.argmax(ours))]).all()


def test_monte_carlo_acquisition_runs(gp: TanimotoGP) -> None:
    value = qLogExpectedImprovement(TanimotoModel(gp, FINGERPRINT), best_f=0.5)(COUNTS[8:].reshape(2, 2, -1))
    assert torch.isfinite(value).all()
