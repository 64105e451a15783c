"""The decoder's likelihood against a softmax at every step, and the ways to decode against enumeration."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from molvae.model import decoding
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


@torch.no_grad()
def test_greedy_takes_the_likeliest_token_and_ends_with_eos() -> None:
    decoder, z = made(), points(20)
    ids = decoding.generate(decoder, z, 12, decoding.greedy)
    for row, point in zip(ids.tolist(), z, strict=True):
        state, token = decoder.begin(point[None]), torch.tensor([BOS])
        for i, chosen in enumerate(row):
            logits, state = decoder.step(token, state)
            logits[:, [PAD, BOS]] = -torch.inf
            token = logits.argmax(1)
            assert chosen == int(token)
            if chosen == EOS:
                assert set(row[i + 1 :]) <= {PAD}
                break


@torch.no_grad()
def test_greedy_does_not_depend_on_company() -> None:
    decoder, z = made(), points(40)
    together = decoding.generate(decoder, z, 12, decoding.greedy)
    for row, point in zip(together.tolist(), z, strict=True):
        alone = decoding.generate(decoder, point[None], 12, decoding.greedy)[0].tolist()
        assert row[: len(alone)] == alone
        assert set(row[len(alone) :]) <= {PAD}
    assert decoding.generate(decoder, z[:0], 12, decoding.greedy).shape == (0, 12)


@torch.no_grad()
def test_exhaustive_beam_finds_the_likeliest_sequence() -> None:
    decoder, z = made(), points(5)
    sequences = all_sequences()
    ids, score = decoding.beam(decoder, z, LONGEST, width=N_TOKENS**LONGEST // 4)
    for found, value, point in zip(ids[:, 0].tolist(), score[:, 0].tolist(), z, strict=True):
        truth = {tuple(s): by_softmax(decoder, s, point, generating=True) for s in sequences}
        best = max(truth, key=truth.__getitem__)
        assert tuple(i for i in found if i != PAD) == best
        assert value == pytest.approx(truth[best], abs=1e-4)


@torch.no_grad()
def test_beams_are_ordered_distinct_and_no_worse_than_greedy() -> None:
    decoder, z = made(), points(30)
    greedy = decoding.generate(decoder, z, LONGEST, decoding.greedy)
    wide_ids, wide = decoding.beam(decoder, z, LONGEST, width=8)
    for row in range(len(z)):
        sequence = [i for i in greedy[row].tolist() if i != PAD]
        assert float(wide[row, 0]) >= by_softmax(decoder, sequence, z[row], generating=True) - 1e-4
        kept = [tuple(ids) for ids, s in zip(wide_ids[row].tolist(), wide[row].tolist(), strict=True) if s > -1e30]
        assert len(set(kept)) == len(kept)
    assert (wide.diff(dim=1) <= 0).all()
    one, _ = decoding.beam(decoder, z, LONGEST, width=1)
    assert [[i for i in r if i != PAD] for r in one[:, 0].tolist()] == [
        [i for i in r if i != PAD] for r in greedy.tolist()
    ]


def test_nucleus_keeps_the_smallest_set_that_holds_the_share() -> None:
    probability = torch.tensor([0.05, 0.5, 0.3, 0.15])
    logits = probability.log().expand(20_000, -1)
    draw = decoding.Nucleus(1.0, 0.75, torch.Generator().manual_seed(0))(logits)
    assert set(draw.tolist()) == {1, 2}  # 0.5 + 0.3 >= 0.75
    assert float((draw == 1).double().mean()) == pytest.approx(0.5 / 0.8, abs=0.02)
    one = decoding.Nucleus(1.0, 0.01, torch.Generator().manual_seed(0))(logits)
    assert set(one.tolist()) == {1}  # the likeliest always stays


def test_temperature_sharpens() -> None:
    logits = torch.tensor([0.0, 1.0]).expand(20_000, -1)
    for temperature in (0.5, 1.0, 2.0):
        draw = decoding.Nucleus(temperature, 1.0, torch.Generator().manual_seed(0))(logits)
        expected = torch.sigmoid(torch.tensor(1 / temperature))
        assert float(draw.double().mean()) == pytest.approx(float(expected), abs=0.02)


@torch.no_grad()
def test_draws_follow_the_model() -> None:
    decoder, z = made(1.5), points(1).expand(20_000, -1)
    choose = decoding.Nucleus(1.0, 1.0, torch.Generator().manual_seed(0))
    ids = decoding.generate(decoder, z, LONGEST, choose)
    counts: dict[tuple[int, ...], int] = {}
    for row in ids.tolist():
        key = tuple(i for i in row if i != PAD)
        counts[key] = counts.get(key, 0) + 1
    for sequence in all_sequences():
        p = float(torch.tensor(by_softmax(decoder, sequence, z[0], generating=True)).exp())
        assert counts.get(tuple(sequence), 0) / 20_000 == pytest.approx(p, abs=0.015)


def test_token_dropout_acts_in_training_only_and_follows_its_generator() -> None:
    decoder, z = made(token_dropout=0.5), points(3)
    tokens = padded([[3, 4, EOS], [3, 3, 3, EOS], [5, 4, 3, EOS]])
    plain = decoder.log_prob(tokens, z)
    decoder.train()
    first, again = (decoder.log_prob(tokens, z, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert (first - plain).abs().max() > 1e-3
