"""Whatever its bottleneck, a loaded model is used in the same way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_model import SMALL_BOTTLENECKS, SMALL_SPEC, small_molecules, small_vae

from molvae.generation import MoleculeVAE
from molvae.model.bottlenecks import BottleneckSpec
from molvae.search import optimise
from molvae.search.bayesian import InnerSpec
from molvae.search.methods import BayesianSpec
from molvae.search.specs import DecoderEditsSpec, InterpolationSpec, PerturbationSpec, PriorDrawSpec


@pytest.mark.parametrize("bottleneck", SMALL_BOTTLENECKS.values(), ids=SMALL_BOTTLENECKS.keys())
def test_a_model_is_used_in_the_same_way(bottleneck: BottleneckSpec) -> None:
    vae = small_vae(steps=40, spec=SMALL_SPEC.model_copy(update={"bottleneck": bottleneck}))
    molecules = small_molecules()[:10]
    z = vae.embed(molecules)
    assert z.shape == (10, 8)
    assert [vae.prior(n).shape for n in (0, 1, 3)] == [(0, 8), (1, 8), (3, 8)]
    np.testing.assert_allclose(vae.embed(molecules[:3]), z[:3], atol=1e-5)
    assert len(vae.sample(5)) == 5
    assert len(vae.interpolate(*molecules[:2], steps=4)) == 4
    assert vae.neighbours(molecules[0], n=2)
    rate = vae.rate([*molecules, "no molecule"], on_invalid="nan")
    assert np.isnan(rate[-1]).all()
    one, many = vae.log_prob(molecules, k=1), vae.log_prob(molecules, k=64)
    assert many.mean() > one.mean()
    elbo = -rate[:-1].sum(1).mean() - vae_distortion(vae, molecules)
    assert one.mean() == pytest.approx(elbo, abs=2.5)
    latent = BayesianSpec(
        inner=InnerSpec(generations=1, candidates=8),
        proposers=(PerturbationSpec(), InterpolationSpec(), PriorDrawSpec(), DecoderEditsSpec()),
        inversion=3,
    )
    assert len(optimise("qed", budget=16, weights=vae, start=molecules, method=latent).smiles) == 16


def vae_distortion(vae: MoleculeVAE, molecules: list[str]) -> float:
    """-log p(x|z) in nats per molecule, of one draw each."""
    with torch.no_grad():
        (_, batch), *_ = vae._batches(molecules, "raise")
        return float(vae.network(batch, torch.Generator().manual_seed(0)).distortion.mean())
