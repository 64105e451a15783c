"""Ways to turn a decoder's next-token distributions into sequences: greedy, nucleus sampling, beam search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from molvae.core.errors import ConfigError
from molvae.nn.decoder import GRUDecoder
from molvae.tokens.vocabulary import BOS, EOS, PAD

Choice = Callable[[Tensor], Tensor]  # logits (B, V) -> ids (B,)


def greedy(logits: Tensor) -> Tensor:
    """The likeliest token of logits (B, V)."""
    return logits.argmax(1)


@dataclass(frozen=True)
class Nucleus:
    """A draw at `temperature` from the smallest set of tokens that holds `top_p` of the probability.

    Holtzman et al. 2020, arXiv:1904.09751, section 3.1.

    Raises:
        ConfigError: temperature is not above 0, or top_p not in (0, 1].
    """

    temperature: float
    top_p: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be above 0, not {self.temperature}; greedy decoding takes none")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    def __call__(self, logits: Tensor) -> Tensor:
        probability = torch.softmax(logits / self.temperature, dim=1)
        if self.top_p < 1:
            ordered, order = probability.sort(dim=1, descending=True)
            outside = ordered.cumsum(1) - ordered >= self.top_p  # the first token always stays
            probability = torch.zeros_like(probability).scatter(1, order, ordered.masked_fill(outside, 0))
        return torch.multinomial(probability, 1, generator=self.generator).squeeze(1)


def generate(
    decoder: GRUDecoder,
    z: Tensor,
    max_length: int,
    choose: Choice,
    condition: Tensor | None = None,
    low: bool = False,
) -> Tensor:
    """Ids (B, T) for z (B, Z), each row up to its EOS and then padded; T <= max_length.

    Rows that have ended leave the computation, so a batch costs its total and not its longest length.
    """
    ids = torch.full((len(z), max_length), PAD, dtype=torch.long, device=z.device)
    if len(z) == 0:
        return ids
    state = decoder.begin(z, condition, low)
    rows = torch.arange(len(z), device=z.device)
    token = torch.full_like(rows, BOS)
    going = torch.ones_like(rows, dtype=torch.bool)
    for t in range(max_length):
        logits, state = decoder.step(token, state)
        token = choose(_without_specials(logits)).masked_fill(~going, PAD)
        ids[rows, t] = token
        going = going & (token != EOS)
        if not going.any():
            return ids[:, : t + 1]
        if going.sum() < 0.8 * len(going):  # compact only when it pays
            rows, token = rows[going], token[going]
            state = state._replace(start=state.start[:, going], hidden=state.hidden[going])
            going = going[going]
    return ids


def _without_specials(logits: Tensor) -> Tensor:
    """Padding and begin, the ids before EOS, are never generated."""
    return functional.pad(logits[:, EOS:], (EOS, 0), value=-torch.inf)


def beam(
    decoder: GRUDecoder, z: Tensor, max_length: int, width: int, condition: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Beam search: ids (B, width, T), log-probabilities (B, width) in nats, the likeliest first."""
    n_batch, n_tokens = len(z), decoder.output.out_features
    condition = None if condition is None else condition.repeat_interleave(width, 0)
    state = decoder.begin(z.repeat_interleave(width, 0), condition)
    score = torch.full((n_batch, width), -torch.inf, device=z.device)
    score[:, 0] = 0  # all beams start equal; only one may branch at the first token
    ids = torch.full((n_batch, width, max_length), PAD, dtype=torch.long, device=z.device)
    token = torch.full((n_batch * width,), BOS, dtype=torch.long, device=z.device)
    ended = torch.zeros(n_batch, width, dtype=torch.bool, device=z.device)
    for t in range(max_length):
        logits, state = decoder.step(token, state)
        step = torch.log_softmax(_without_specials(logits), dim=1).view(n_batch, width, n_tokens)
        only_pad = torch.full_like(step, -torch.inf)
        only_pad[..., PAD] = 0  # a finished beam goes on at no cost
        total = score[..., None] + torch.where(ended[..., None], only_pad, step)
        score, best = total.flatten(1).topk(width, dim=1)
        parent, chosen = best // n_tokens, best % n_tokens  # (B, width)
        ids = ids.gather(1, parent[..., None].expand_as(ids))
        ids[..., t] = chosen
        ended = ended.gather(1, parent) | (chosen == EOS)
        flat = (parent + width * torch.arange(n_batch, device=z.device)[:, None]).flatten()
        state = state._replace(hidden=state.hidden[flat])
        token = chosen.flatten()
        if ended.all():
            return ids[..., : t + 1], score
    return ids, score
