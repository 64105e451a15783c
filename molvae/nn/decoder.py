"""One vector to a token sequence."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from molvae.nn.recurrence import TokenGRU
from molvae.tokens.vocabulary import BOS, PAD


class DecoderState(NamedTuple):
    """What decoding carries from token to token: table (3, V, H), start (3, B, H) and weight (3H, H), which stay as
    they are, and the hidden state (B, H)."""

    table: Tensor
    start: Tensor
    weight: Tensor
    hidden: Tensor


class GRUDecoder(nn.Module):
    """GRU that sees z, and the condition if there is one, at every step.

    Args:
        n_tokens: vocabulary size V.
        embedding_dim: width of the token embedding.
        hidden_dim: H.
        latent_dim: Z.
        condition_dim: P (0 for none).
        token_dropout: share of input tokens replaced by padding in training, so that the decoder has to read z
            (Bowman et al. 2016, arXiv:1511.06349, section 3.1).
    """

    def __init__(
        self,
        n_tokens: int,
        embedding_dim: int,
        hidden_dim: int,
        latent_dim: int,
        condition_dim: int = 0,
        token_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.token_dropout = token_dropout
        self.gru = TokenGRU(n_tokens, embedding_dim, latent_dim + condition_dim, hidden_dim)
        self.initial = nn.Linear(latent_dim + condition_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, n_tokens)

    def log_prob(
        self,
        tokens: Tensor,
        z: Tensor,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
        low: bool = False,
    ) -> Tensor:
        """log p(tokens | z) under teacher forcing, (B,) nats, for tokens (B, T) and z (B, Z); padding is free."""
        targets = tokens.t().contiguous()  # (T, B)
        logits = self.logits(tokens, z, condition, generator, low)
        nll = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="none")
        return -nll.view_as(targets).sum(0)

    def logits(
        self,
        tokens: Tensor,
        z: Tensor,
        condition: Tensor | None = None,
        generator: torch.Generator | None = None,
        low: bool = False,
    ) -> Tensor:
        """Logits of every token of (B, T), given z (B, Z) and the tokens before it: (T, B, V) float32."""
        inputs = functional.pad(tokens.t()[:-1], (0, 0, 1, 0), value=BOS)
        if self.training and self.token_dropout > 0:
            dropped = torch.rand(inputs.shape, generator=generator, device=inputs.device) < self.token_dropout
            inputs = inputs.masked_fill(dropped & (inputs != BOS), PAD)
        static = _static(z, condition)
        states = self.gru(inputs, static, torch.tanh(self.initial(static)), low)
        with torch.autocast(z.device.type, torch.bfloat16, enabled=low):
            logits: Tensor = self.output(states)
        return logits.float()

    def begin(self, z: Tensor, condition: Tensor | None = None, low: bool = False) -> DecoderState:
        """State before the first token, for z (B, Z); with `low` the steps multiply matrices in bfloat16."""
        static = _static(z, condition)
        constant = self.gru.table(), self.gru.start(static, len(z)), self.gru.recurrent_weight(low)
        return DecoderState(*constant, torch.tanh(self.initial(static)))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read tokens (B,); give the logits of the next ones, (B, V), and the state after."""
        hidden = self.gru.step(tokens, state.table, state.start, state.weight, state.hidden)
        return self.output(hidden), state._replace(hidden=hidden)


def _static(z: Tensor, condition: Tensor | None) -> Tensor:
    return z if condition is None else torch.cat([z, condition], dim=1)
