"""Decoding against brute force on a vocabulary small enough to list every sequence."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from molvae.core.errors import ConfigError
from molvae.model.decoding import Nucleus, beam, generate, greedy
from molvae.nn.decoder import GRUDecoder
from molvae.tokens.vocabulary import BOS, EOS, PAD

V, Z, LONGEST = 6, 4, 4
SYMBOLS = range(3, V)


@pytest.fixture(scope="module")
def decoder() -> GRUDecoder:
    torch.manual_seed(0)
    made = GRUDecoder(V, 6, 16, Z).eval().requires_grad_(False)
    made.output.weight *= 6  # distributions far from uniform
    return made


@pytest.fixture(scope="module")
def z() -> Tensor:
    return 2 * torch.randn(5, Z, generator=torch.Generator().manual_seed(1))


def stepwise(decoder: GRUDecoder, z: Tensor, ids: list[int]) -> float:
    """log p(ids | z) of one row (1, Z), with padding and begin left out of every distribution."""
    state, before, total = decoder.begin(z), BOS, 0.0
    for token in ids:
        logits, state = decoder.step(torch.tensor([before]), state)
        logits[:, [PAD, BOS]] = -torch.inf
        total += float(torch.log_softmax(logits.double(), 1)[0, token])
        before = token
    return total


def every_sequence() -> list[tuple[int, ...]]:
    """All that can be generated: ended ones, and open ones of the longest length."""
    ended = [(*body, EOS) for n in range(LONGEST) for body in product(SYMBOLS, repeat=n)]
    return ended + list(product(SYMBOLS, repeat=LONGEST))


def trimmed(row: list[int]) -> tuple[int, ...]:
    return tuple(row[: row.index(EOS) + 1] if EOS in row else row)


def assert_well_formed(ids: Tensor) -> None:
    """Symbols, then one end, then padding; never a begin token."""
    for row in ids.tolist():
        body = trimmed(row)
        assert all(token in SYMBOLS for token in body[:-1])
        assert body[-1] == EOS or len(body) == len(row)
        assert set(row[len(body) :]) <= {PAD}


def test_greedy_takes_the_likeliest_token_each_time(decoder: GRUDecoder, z: Tensor) -> None:
    ids = generate(decoder, z, 12, greedy)
    assert_well_formed(ids)
    for i, row in enumerate(ids.tolist()):
        state, before = decoder.begin(z[i : i + 1]), BOS
        for token in trimmed(row):
            logits, state = decoder.step(torch.tensor([before]), state)
            assert token == 2 + int(logits[0, 2:].argmax())
            before = token


def test_a_row_does_not_depend_on_the_others(decoder: GRUDecoder) -> None:
    """Rows that have ended leave the computation; the rest must not be mixed up."""
    z = 2 * torch.randn(60, Z, generator=torch.Generator().manual_seed(2))
    together = generate(decoder, z, 20, greedy).tolist()
    assert len({len(trimmed(row)) for row in together}) > 1, "the rows should end at different times"
    for i, row in enumerate(together):
        assert trimmed(generate(decoder, z[i : i + 1], 20, greedy)[0].tolist()) == trimmed(row)


def test_a_small_nucleus_is_greedy(decoder: GRUDecoder, z: Tensor) -> None:
    drawn = generate(decoder, z, 12, Nucleus(1.0, top_p=1e-6))
    assert torch.equal(drawn, generate(decoder, z, 12, greedy))


def test_a_low_temperature_is_greedy(decoder: GRUDecoder, z: Tensor) -> None:
    assert torch.equal(generate(decoder, z, 12, Nucleus(1e-4)), generate(decoder, z, 12, greedy))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_have_the_frequencies_of_the_softmax(temperature: float) -> None:
    logits, n = torch.tensor([1.0, 0.0, -1.0, 2.0]), 40_000
    choose = Nucleus(temperature, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(choose(logits.expand(n, -1)), minlength=4) / n
    torch.testing.assert_close(counts, torch.softmax(logits / temperature, 0), rtol=0, atol=0.012)


def test_the_nucleus_is_the_smallest_set_that_holds_top_p() -> None:
    logits, n = torch.tensor([0.1, 0.5, 0.15, 0.25]).log(), 40_000
    for top_p, kept in ((0.4, [1]), (0.6, [1, 3]), (0.8, [1, 2, 3]), (1.0, [0, 1, 2, 3])):
        choose = Nucleus(1.0, top_p, torch.Generator().manual_seed(0))
        counts = torch.bincount(choose(logits.expand(n, -1)), minlength=4) / n
        expected = torch.zeros(4)
        expected[kept] = logits.exp()[kept] / logits.exp()[kept].sum()
        torch.testing.assert_close(counts, expected, rtol=0, atol=0.012)


@pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0), (1.0, 0.0), (1, 1.5)])
def test_what_is_no_distribution_is_refused(temperature: float, top_p: float) -> None:
    with pytest.raises(ConfigError, match="temperature|top_p"):
        Nucleus(temperature, top_p)


def test_drawn_sequences_have_the_frequencies_of_the_model(decoder: GRUDecoder, z: Tensor) -> None:
    n = 20_000
    ids = generate(decoder, z[:1].expand(n, -1), LONGEST, Nucleus(1.0, generator=torch.Generator().manual_seed(0)))
    assert_well_formed(ids)
    drawn = [trimmed(row) for row in ids.tolist()]
    for sequence in every_sequence():
        p = torch.tensor(stepwise(decoder, z[:1], list(sequence))).exp().item()
        if p > 0.01:
            assert drawn.count(sequence) / n == pytest.approx(p, abs=5 * (p * (1 - p) / n) ** 0.5)


def test_an_exhaustive_beam_is_brute_force(decoder: GRUDecoder, z: Tensor) -> None:
    sequences = every_sequence()
    ids, scores = beam(decoder, z, LONGEST, width=len(sequences))
    for i in range(len(z)):
        expected = {s: stepwise(decoder, z[i : i + 1], list(s)) for s in sequences}
        found = {trimmed(row): score for row, score in zip(ids[i].tolist(), scores[i].tolist(), strict=True)}
        assert found.keys() == expected.keys()
        for sequence, score in found.items():
            assert score == pytest.approx(expected[sequence], abs=1e-4)
        assert scores[i].tolist() == sorted(scores[i].tolist(), reverse=True)
        assert sum(torch.tensor(list(found.values())).exp().tolist()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("width", [1, 2, 8])
def test_scores_of_a_beam_are_those_of_its_sequences(decoder: GRUDecoder, z: Tensor, width: int) -> None:
    ids, scores = beam(decoder, z, 10, width)
    assert ids.shape[:2] == scores.shape == (len(z), width)
    for i in range(len(z)):
        assert_well_formed(ids[i])
        assert len({trimmed(row) for row in ids[i].tolist()}) == width
        for row, score in zip(ids[i].tolist(), scores[i].tolist(), strict=True):
            assert stepwise(decoder, z[i : i + 1], list(trimmed(row))) == pytest.approx(score, abs=1e-4)


def test_a_beam_of_one_is_greedy_and_wider_ones_find_likelier_sequences(decoder: GRUDecoder, z: Tensor) -> None:
    ids = generate(decoder, z, 10, greedy)
    best = [stepwise(decoder, z[i : i + 1], list(trimmed(row))) for i, row in enumerate(ids.tolist())]
    assert [trimmed(r) for r in beam(decoder, z, 10, 1)[0][:, 0].tolist()] == [trimmed(r) for r in ids.tolist()]
    wide = beam(decoder, z, 10, 30)[1][:, 0].tolist()
    assert all(b >= a - 1e-4 for a, b in zip(best, wide, strict=True))


def test_no_points_no_sequences(decoder: GRUDecoder) -> None:
    assert generate(decoder, torch.zeros(0, Z), 5, greedy).shape == (0, 5)


def test_the_longest_length_is_kept(decoder: GRUDecoder, z: Tensor) -> None:
    assert generate(decoder, z, 1, greedy).shape == (5, 1)
    assert beam(decoder, z, 1, 2)[0].shape == (5, 2, 1)
