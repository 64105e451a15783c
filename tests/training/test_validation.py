"""What is measured while a model trains."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_model import SMALL_SPEC, small_molecules, small_vae

from molvae.data.shards import TokenShards
from molvae.generation import MoleculeVAE
from molvae.model.bottlenecks import LadderSpec
from molvae.model.objective import active_units
from molvae.training.validation import validate


def test_exact_tokens_are_the_molecules_that_come_back(tiny_vae: MoleculeVAE, tiny_prepared: Path) -> None:
    metrics, _ = validate(tiny_vae.network, TokenShards.open(tiny_prepared, "train"), 64, seed=0)
    smiles = small_molecules()[:64]
    back = tiny_vae.reconstruct(smiles)
    same = sum(one == other for one, other in zip(smiles, back, strict=True)) / 64
    assert 0 < metrics["exact_tokens"] <= same  # other tokens may spell the same molecule, the same tokens always do
    assert metrics["exact_tokens"] == pytest.approx(same, abs=0.05)


def test_distortion_and_rate_are_the_elbo(tiny_vae: MoleculeVAE, tiny_prepared: Path) -> None:
    shards = TokenShards.open(tiny_prepared, "train")
    runs = [validate(tiny_vae.network, shards, 64, seed=seed)[0] for seed in range(10)]
    found = sum(-m["distortion_nats"] - m["rate_nats"] for m in runs) / 10
    elbo = sum(float(tiny_vae.log_prob(small_molecules()[:64], k=1, rng=seed).mean()) for seed in range(10)) / 10
    assert found == pytest.approx(elbo, rel=0.05)


def test_a_ladder_is_judged_by_its_means_and_not_by_draws(tiny_prepared: Path) -> None:
    ladder = LadderSpec(widths=(2, 6), hidden_dim=8)
    vae = small_vae(steps=80, spec=SMALL_SPEC.model_copy(update={"bottleneck": ladder}))
    shards, smiles = TokenShards.open(tiny_prepared, "train"), small_molecules()[:64]
    runs = [validate(vae.network, shards, 64, seed=seed)[0] for seed in range(3)]
    (exact,) = {metrics["exact_tokens"] for metrics in runs}
    back = vae.reconstruct(smiles)
    assert exact == pytest.approx(sum(one == other for one, other in zip(smiles, back, strict=True)) / 64, abs=0.05)
    assert {metrics["active_units"] for metrics in runs} == {active_units(torch.from_numpy(vae.embed(smiles)))}
    assert all("mutual_information_nats" not in metrics for metrics in runs), "q(z|x) is no Gaussian"


def test_it_leaves_no_trace(tiny_vae: MoleculeVAE, tiny_prepared: Path) -> None:
    model, shards, state = tiny_vae.network, TokenShards.open(tiny_prepared, "valid"), torch.get_rng_state()
    for training in (True, False):
        model.train(training)
        first, again = (validate(model, shards, 20, seed=1)[0] for _ in range(2))
        assert model.training is training
        assert first == again
        assert first["n_molecules"] == 20
    assert torch.equal(torch.get_rng_state(), state)


def test_a_limit_beyond_the_split_is_the_split(tiny_vae: MoleculeVAE, tiny_prepared: Path) -> None:
    assert validate(tiny_vae.network, TokenShards.open(tiny_prepared, "valid"), 10**6, 0)[0]["n_molecules"] == 32
