"""The encoder: what padding and company may not change, and what order must."""

from __future__ import annotations

import torch
from torch import nn

from molvae.nn.encoder import GRUEncoder, reverse_within

N_TOKENS = 9


def made(condition_dim: int = 0) -> GRUEncoder:
    torch.manual_seed(0)
    return GRUEncoder(N_TOKENS, embedding_dim=5, hidden_dim=6, condition_dim=condition_dim)


def sequences(lengths: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(1, N_TOKENS, (n,), generator=generator) for n in lengths]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), torch.tensor(lengths)


def test_padding_never_changes_a_result() -> None:
    encoder = made()
    tokens, lengths = sequences([3, 7, 1, 5])
    whole = encoder(tokens, lengths)
    assert whole.shape == (4, encoder.output_dim)
    wider = encoder(torch.nn.functional.pad(tokens, (0, 6)), lengths)
    torch.testing.assert_close(wider, whole, rtol=0, atol=1e-6)
    for row, n in enumerate(lengths.tolist()):
        alone = encoder(tokens[row : row + 1, :n], lengths[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-6)


def test_what_stands_in_the_padding_does_not_matter() -> None:
    encoder = made()
    tokens, lengths = sequences([3, 7])
    other = tokens.clone()
    other[0, 3:] = 8
    torch.testing.assert_close(encoder(other, lengths), encoder(tokens, lengths), rtol=0, atol=1e-6)


def test_every_token_is_read_from_both_sides() -> None:
    encoder = made()
    tokens, lengths = sequences([6])
    base = encoder(tokens, lengths)
    for position in range(6):
        other = tokens.clone()
        other[0, position] = other[0, position] % (N_TOKENS - 1) + 1
        changed = (encoder(other, lengths) - base).abs().view(4, -1).amax(1)  # last and mean, ahead and back
        assert (changed > 1e-6).all()


def test_reversal_stays_within_each_row() -> None:
    tokens = torch.tensor([[1, 2, 3, 0], [4, 5, 6, 7], [8, 0, 0, 0]])
    mirrored = reverse_within(tokens, torch.tensor([3, 4, 1]))
    assert mirrored.tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [8, 0, 0, 0]]


def test_a_condition_is_read() -> None:
    encoder = made(condition_dim=2)
    tokens, lengths = sequences([4, 2])
    first, second = (encoder(tokens, lengths, torch.full((2, 2), value)) for value in (0.0, 1.0))
    assert (first - second).abs().amax(1).min() > 1e-4


def test_summaries_equal_those_of_a_packed_gru() -> None:
    """Last and mean state of both directions, by pack_padded_sequence and `nn.GRU`."""
    encoder = made()
    tokens, lengths = sequences([3, 7, 1, 5])
    expected = []
    for gru, ids in ((encoder.forward_gru, tokens), (encoder.backward_gru, reverse_within(tokens, lengths))):
        packed = nn.utils.rnn.pack_padded_sequence(gru.embedding(ids.t()), lengths, enforce_sorted=False)
        states, last = gru.gru(packed)
        expected += [last[0], nn.utils.rnn.pad_packed_sequence(states)[0].sum(0) / lengths[:, None]]
    torch.testing.assert_close(encoder(tokens, lengths), torch.cat(expected, 1), rtol=0, atol=1e-6)


def test_padding_gets_no_gradient() -> None:
    encoder = made()
    tokens, lengths = sequences([3, 7, 1])
    encoder(tokens, lengths).square().sum().backward()
    for gru in (encoder.forward_gru, encoder.backward_gru):
        grad = gru.embedding.weight.grad
        assert grad is not None
        assert grad[0].abs().max() == 0 < grad[1:].abs().max()
