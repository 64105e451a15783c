"""Latent points that decode to given molecules, where those that the encoder gives do not."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from molvae.nn.decoder import GRUDecoder
from molvae.tokens.vocabulary import PAD

INVERSION = 100  # gradient steps that reach nearly all molecules that can be reached


@torch.enable_grad()
def inverted(
    decoder: GRUDecoder, tokens: Tensor, z: Tensor, steps: int, condition: Tensor | None = None, rate: float = 0.1
) -> Tensor:
    """Points (B, Z) from which greedy decoding spells tokens (B, T): z (B, Z), moved up log p(tokens | z) by Adam.

    The inversion of Chu et al. 2024 ("Inversion-based latent Bayesian optimization", arXiv:2411.05330), which replaces
    re-encoding; the decoder is told `condition` (B, P), if there is one. A point stays as soon as its tokens are
    spelled, so those that spell them already are not moved; one that never does is where it was after `steps` steps of
    the learning rate `rate`.
    """
    decoder = _constant(decoder)
    found, rows = z.detach().clone(), torch.arange(len(z), device=z.device)
    point = nn.Parameter(found.clone())
    optimiser = torch.optim.Adam([point], lr=rate)
    for step in range(steps + 1):
        told = None if condition is None else condition[rows]
        logits, wanted = decoder.logits(tokens[rows], point[rows], told), tokens[rows].t()  # (T, B, V), (T, B)
        found[rows] = point.detach()[rows]
        missing = ((logits.argmax(2) != wanted) & (wanted != PAD)).any(0)
        if step == steps or not missing.any():
            break
        rows = rows[missing]
        lost = nn.functional.cross_entropy(
            logits[:, missing].flatten(0, 1), wanted[:, missing].flatten(), ignore_index=PAD, reduction="sum"
        )
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # backward is out of the recurrence's reach
            (point.grad,) = torch.autograd.grad(lost, point)
        optimiser.step()
    return found


def _constant(decoder: GRUDecoder) -> GRUDecoder:
    """The decoder with weights that no gradients are computed for: a copy that shares their memory.

    A copy, since others may be using the decoder itself at the same time.
    """
    shared = {id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in decoder.parameters()}
    return deepcopy(decoder, shared)  # what is in the memo is taken from there
