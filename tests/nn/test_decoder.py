"""The decoder's likelihood against a softmax at every step."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from molvae.nn.decoder import GRUDecoder
from molvae.tokens.vocabulary import BOS, EOS, PAD

N_TOKENS, LATENT, LONGEST = 6, 4, 4


def made(sharpness: float = 3.0, **settings: float) -> GRUDecoder:
    """A decoder with random weights, sharpened so that its choices differ in probability."""
    torch.manual_seed(0)
    decoder = GRUDecoder(N_TOKENS, embedding_dim=5, hidden_dim=8, latent_dim=LATENT, **settings)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(sharpness)
    return decoder.eval()


def points(n: int) -> Tensor:
    return torch.randn(n, LATENT, generator=torch.Generator().manual_seed(2))


def all_sequences() -> list[list[int]]:
    """Every sequence of at most LONGEST tokens that the decoder can generate: up to EOS, or cut at LONGEST."""
    symbols = range(EOS + 1, N_TOKENS)
    ended = [[*body, EOS] for n in range(LONGEST) for body in itertools.product(symbols, repeat=n)]
    return ended + [list(body) for body in itertools.product(symbols, repeat=LONGEST)]


def by_softmax(decoder: GRUDecoder, sequence: list[int], z: Tensor, generating: bool = False) -> float:
    """log p(sequence | z) step by step; when generating, padding and begin are excluded at each step."""
    state, token, total = decoder.begin(z[None]), torch.tensor([BOS]), 0.0
    for target in sequence:
        logits, state = decoder.step(token, state)
        if generating:
            logits[:, [PAD, BOS]] = -torch.inf
        total += float(torch.log_softmax(logits[0], 0)[target])
        token = torch.tensor([target])
    return total


def padded(sequences: list[list[int]]) -> Tensor:
    rows = [torch.tensor(s) for s in sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


@torch.no_grad()
def test_log_probability_equals_stepwise_softmax() -> None:
    decoder, z = made(), points(3)
    sequences = [[3, 4, EOS], [EOS], [5, 5, 3, EOS]]
    found = decoder.log_prob(padded(sequences), z)
    expected = [by_softmax(decoder, s, point) for s, point in zip(sequences, z, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_padding_is_free() -> None:
    decoder, z = made(), points(2)
    tokens = padded([[3, 4, EOS], [5, EOS]])
    wider = torch.nn.functional.pad(tokens, (0, 5), value=PAD)
    torch.testing.assert_close(decoder.log_prob(wider, z), decoder.log_prob(tokens, z), rtol=0, atol=1e-6)


@torch.no_grad()
def test_probabilities_of_all_sequences_sum_to_one() -> None:
    decoder, z = made(), points(1)
    total = sum(torch.tensor(by_softmax(decoder, s, z[0], generating=True)).exp() for s in all_sequences())
    assert float(total) == pytest.approx(1.0, abs=1e-5)


def test_token_dropout_acts_in_training_only_and_follows_its_generator() -> None:
    decoder, z = made(token_dropout=0.5), points(3)
    tokens = padded([[3, 4, EOS], [3, 3, 3, EOS], [5, 4, 3, EOS]])
    plain = decoder.log_prob(tokens, z)
    decoder.train()
    first, again = (decoder.log_prob(tokens, z, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - plain).abs().max() > 1e-3
    assert made(token_dropout=0.5).train().log_prob(padded([[EOS]]), z[:1]) == plain.new_tensor(
        float(made().log_prob(padded([[EOS]]), z[:1]).detach())
    ), "the begin token is never dropped"


def test_every_latent_dimension_and_the_condition_are_read() -> None:
    decoder, tokens = made(condition_dim=2), padded([[3, 4, EOS], [5, EOS]])
    z, condition = points(2).requires_grad_(), torch.randn(2, 2, requires_grad=True)
    decoder.log_prob(tokens, z, condition).sum().backward()
    for given in (z, condition):
        assert given.grad is not None
        assert given.grad.abs().min() > 0


@torch.no_grad()
def test_a_condition_is_read_at_every_step() -> None:
    decoder, z, sequence = made(condition_dim=2), points(1), [3, 4, EOS]
    condition = torch.tensor([[0.3, -1.0]])
    state, token, expected = decoder.begin(z, condition), torch.tensor([BOS]), 0.0
    for target in sequence:
        logits, state = decoder.step(token, state)
        expected += float(torch.log_softmax(logits[0], 0)[target])
        token = torch.tensor([target])
    assert float(decoder.log_prob(padded([sequence]), z, condition)) == pytest.approx(expected, abs=1e-5)


@torch.no_grad()
def test_bfloat16_is_close() -> None:
    decoder, z, tokens = made(1.0), points(2), padded([[3, 4, EOS], [5, EOS]])
    low = decoder.log_prob(tokens, z, low=True)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, decoder.log_prob(tokens, z), rtol=3e-2, atol=3e-2)
