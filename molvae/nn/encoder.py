"""Token sequences to one vector each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molvae.nn.recurrence import TokenGRU


class GRUEncoder(nn.Module):
    """Bidirectional GRU; a molecule is read as the last state and the mean state of both directions.

    Args:
        n_tokens: vocabulary size V.
        embedding_dim: width of the token embedding.
        hidden_dim: width H of each direction; the output is 4 H wide.
        condition_dim: width P of a condition beside every token (0 for none).
    """

    def __init__(self, n_tokens: int, embedding_dim: int, hidden_dim: int, condition_dim: int = 0) -> None:
        super().__init__()
        self.forward_gru = TokenGRU(n_tokens, embedding_dim, condition_dim, hidden_dim)
        self.backward_gru = TokenGRU(n_tokens, embedding_dim, condition_dim, hidden_dim)
        self.output_dim = 4 * hidden_dim

    def forward(self, tokens: Tensor, lengths: Tensor, condition: Tensor | None = None, low: bool = False) -> Tensor:
        """Summaries (B, 4H) of tokens (B, T) with lengths (B,); padding never changes the result."""
        mirrored = reverse_within(tokens, lengths)
        ahead = self.forward_gru(tokens.t().contiguous(), condition, low=low)
        back = self.backward_gru(mirrored.t().contiguous(), condition, low=low)
        return torch.cat([summary for states in (ahead, back) for summary in _summaries(states, lengths)], dim=1)


def reverse_within(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Each row of tokens (B, T) reversed within its own length, so that both directions end at step length - 1."""
    position = torch.arange(tokens.shape[1], device=tokens.device)
    source = torch.where(position < lengths[:, None], lengths[:, None] - 1 - position, position)
    return tokens.gather(1, source)


def _summaries(states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Last and mean state (B, H) of states (T, B, H) within lengths (B,)."""
    n_steps, n_batch, _ = states.shape
    last = states[lengths - 1, torch.arange(n_batch, device=states.device)]
    inside = torch.arange(n_steps, device=states.device)[:, None] < lengths  # (T, B)
    mean = torch.einsum("tbh,tb->bh", states, inside / lengths)
    return last, mean
