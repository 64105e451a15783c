"""The whole network: decoder(bottleneck(encoder(x)))."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from small_model import seeded

from molvae.data.batch import TokenBatch
from molvae.model.bottlenecks import GaussianSpec
from molvae.model.vae import SequenceVAE, VAESpec
from molvae.tokens.vocabulary import EOS

V, B = 10, 6
SPEC = VAESpec(embedding_dim=6, encoder_dim=8, decoder_dim=16, bottleneck=GaussianSpec(latent_dim=5))


def made(**changes: object) -> SequenceVAE:
    torch.manual_seed(0)
    return SequenceVAE(SPEC.model_copy(update=changes), V)


def batch(condition_dim: int = 0) -> TokenBatch:
    generator = torch.Generator().manual_seed(1)
    rows = [
        torch.cat([torch.randint(3, V, (n,), generator=generator), torch.tensor([EOS])]) for n in (4, 0, 7, 2, 5, 1)
    ]
    tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    properties = torch.randn(B, condition_dim, generator=generator) if condition_dim else None
    return TokenBatch(tokens, torch.tensor([len(row) for row in rows]), properties)


@pytest.mark.parametrize("condition_dim", [0, 2])
def test_the_forward_pass_is_made_of_its_parts(condition_dim: int) -> None:
    model, given = made(condition_dim=condition_dim).eval(), batch(condition_dim)
    output = model(given, seeded())
    assert output.distortion.shape == (B,)
    assert output.distortion.min() > 0
    expected = -model.log_prob(given.tokens, output.latent.z, given.properties)
    torch.testing.assert_close(output.distortion, expected)
    posterior = model.encode(given.tokens, given.lengths, given.properties)
    torch.testing.assert_close(output.latent.posterior, posterior)


def test_every_parameter_learns() -> None:
    model = made().train()
    output = model(batch(), seeded())
    (output.distortion.mean() + output.latent.rate.mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_padding_and_company_change_nothing() -> None:
    model, given = made().eval(), batch()
    together = model.encode(given.tokens, given.lengths)
    for i, length in enumerate(given.lengths.tolist()):
        alone = model.encode(given.tokens[i : i + 1, :length], given.lengths[i : i + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], all_of_them[i], rtol=1e-5, atol=1e-6)


def test_noise_comes_from_the_generator_alone() -> None:
    model, given, before = made().train(), batch(), torch.get_rng_state()
    one, same, other = (model(given, seeded(seed)).distortion for seed in (3, 3, 4))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_bfloat16_is_close_and_leaves_log_prob_alone() -> None:
    model, given = made().eval(), batch()
    exact, points = model(given, seeded()), model.encode(given.tokens, given.lengths)
    scored = model.log_prob(given.tokens, points.mean)
    model.low_precision = True
    low, low_points = model(given, seeded()), model.encode(given.tokens, given.lengths)
    assert low.distortion.dtype == low_points.mean.dtype == torch.float32
    assert not torch.equal(low.distortion, exact.distortion)
    torch.testing.assert_close(low.distortion, exact.distortion, rtol=0.03, atol=0.03)
    assert not torch.equal(low_points.mean, points.mean)
    torch.testing.assert_close(low_points, points, rtol=0.03, atol=0.03)
    torch.testing.assert_close(model.log_prob(given.tokens, points.mean), scored, rtol=0, atol=0)


def test_decoding_in_bfloat16_follows_the_same_distribution() -> None:
    decoder, z = made().eval().decoder, torch.randn(3, 5, generator=seeded())
    token = torch.tensor([5, 6, 7])
    (exact, after), (low, low_after) = (decoder.step(token, decoder.begin(z, low=flag)) for flag in (False, True))
    assert low.dtype == low_after.hidden.dtype == torch.float32
    assert not torch.equal(low, exact)
    torch.testing.assert_close(low, exact, rtol=0.03, atol=0.03)
    torch.testing.assert_close(low_after.hidden, after.hidden, rtol=0.03, atol=0.03)


def test_a_sequence_decoded_greedily_is_scored_as_what_it_is() -> None:
    model, z = made().eval(), torch.randn(3, 5, generator=seeded())
    ids = model.decode(z, 12)
    beams, scores = model.beam(z, 12, 4)
    with torch.no_grad():
        assert (model.log_prob(ids, z) <= scores[:, 0] + 1e-4).all()
        assert (model.log_prob(beams[:, 0], z) <= scores[:, 0] + 1e-4).all(), "generation leaves padding out"


@pytest.mark.parametrize(
    "wrong",
    [{"decoder_dim": 0}, {"token_dropout": 1.0}, {"layers": 2}, {"bottleneck": {"kind": "unheard-of"}}],
)
def test_impossible_sizes_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        VAESpec.model_validate(wrong)


def test_a_spec_builds_the_same_model_again() -> None:
    model = made(condition_dim=1)
    again = SequenceVAE(VAESpec.model_validate(model.spec.model_dump()), V)
    again.load_state_dict(model.state_dict())
    assert again.latent_dim == 5
    assert again.device == torch.device("cpu")
