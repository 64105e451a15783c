"""What `evaluate` reports, recomputed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from small_model import small_molecules
from torch.distributions import Normal, kl_divergence

from molvae.core.errors import DataError
from molvae.evaluation.likelihood import Evaluation, evaluate
from molvae.generation import MoleculeVAE

UNREADABLE = ["C1CC", "CC[Au]", "CCO.Cl"]


@pytest.fixture(scope="module")
def evaluated(tiny_vae: MoleculeVAE) -> Evaluation:
    return evaluate(tiny_vae, [*small_molecules()[:60], *UNREADABLE], n_likelihood=20, k=16)


def test_reconstruction_counts_what_cannot_be_read_as_lost(tiny_vae: MoleculeVAE, evaluated: Evaluation) -> None:
    smiles = small_molecules()[:60]
    kept = sum(a == b for a, b in zip(tiny_vae.reconstruct(smiles), smiles, strict=True))
    assert (evaluated.n_molecules, evaluated.n_encoded) == (63, 60)
    assert evaluated.reconstruction == pytest.approx(kept / 63)
    assert evaluated.reconstruction > 0.5


def test_another_spelling_counts_as_the_same_molecule(tiny_vae: MoleculeVAE) -> None:
    one, other = (evaluate(tiny_vae, [s], n_likelihood=1, k=2) for s in ("OCc1ccccc1", "c1ccccc1CO"))
    assert one == other


def test_rates_equal_torch_distributions(tiny_vae: MoleculeVAE, evaluated: Evaluation) -> None:
    mean, std = (torch.from_numpy(part) for part in tiny_vae.posterior(small_molecules()[:60]))
    expected = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).mean(0)
    np.testing.assert_allclose(evaluated.rate_by_group_nats, expected, atol=1e-3)
    assert evaluated.rate_nats == pytest.approx(float(expected.sum()), rel=1e-4)
    assert evaluated.active_units == int((mean.var(0, unbiased=False) > 0.01).sum())


def test_bounds(tiny_vae: MoleculeVAE, evaluated: Evaluation) -> None:
    smiles = small_molecules()[:20]
    assert (evaluated.n_likelihood, evaluated.k) == (20, 16)
    assert evaluated.elbo_nats < evaluated.iwae_nats < 0
    assert evaluated.iwae_nats == pytest.approx(float(tiny_vae.log_prob(smiles, 16, rng=0).mean()), rel=1e-5)


def test_it_can_be_written_as_json(evaluated: Evaluation) -> None:
    value = json.loads(json.dumps(evaluated.as_dict(), allow_nan=False))
    assert value["n_molecules"] == 63
    assert len(value["rate_by_group_nats"]) == 8


def test_nothing_to_read_is_said(tiny_vae: MoleculeVAE) -> None:
    with pytest.raises(DataError, match="none of 3 molecules; the first: not a valid SMILES"):
        evaluate(tiny_vae, UNREADABLE)
    with pytest.raises(DataError, match="no molecules to evaluate"):
        evaluate(tiny_vae, [])


def test_bounds_are_of_the_first_molecules_that_can_be_read(tiny_vae: MoleculeVAE) -> None:
    smiles = small_molecules()[:6]
    found = evaluate(tiny_vae, [*UNREADABLE, *smiles], n_likelihood=4, k=2)
    assert found.n_likelihood == 4
    assert found.elbo_nats == pytest.approx(float(tiny_vae.log_prob(smiles[:4], 1, rng=0).mean()), rel=1e-5)
