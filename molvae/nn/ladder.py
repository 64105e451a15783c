"""A hierarchical bottleneck: what a level is expected to be depends on the levels above it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from molvae.nn.bottleneck import Bottleneck, LatentSample
from molvae.nn.gaussian import Gaussian

Draw = Callable[[Gaussian], Tensor]  # a point of a level


class _Level(NamedTuple):
    """What one level turned out to be: z (B, Z_l), its posterior and its prior."""

    z: Tensor
    posterior: Gaussian
    prior: Gaussian


class LadderBottleneck(Bottleneck):
    """Levels z_1, ..., z_L side by side, with p(z) = p(z_1) p(z_2 | z_1) ... p(z_L | z_1 ... z_{L-1}).

    The posterior of a level joins what the encoder says with what the levels above let expect, each weighted by its
    precision (ladder VAE: Soenderby et al. 2016, arXiv:1602.02282). The rate has a group for each level.

    Args:
        input_dim: D.
        widths: Z_1, ..., Z_L, the top level first.
        hidden_dim: width of the networks of p(z_l | ...).
    """

    def __init__(self, input_dim: int, widths: Sequence[int], hidden_dim: int) -> None:
        super().__init__()
        self.widths, self.latent_dim = tuple(widths), sum(widths)
        self.project = nn.Linear(input_dim, 2 * self.latent_dim)
        self.expect = nn.ModuleList(
            nn.Sequential(nn.Linear(above, hidden_dim), nn.SiLU(), nn.Linear(hidden_dim, 2 * width))
            for above, width in zip(accumulate(widths[:-1]), widths[1:], strict=True)
        )

    def _prior(self, above: list[Tensor], like: Tensor) -> Gaussian:
        """p of the next level, (B, Z_l), given those above it; N(0, 1) for the top."""
        if not above:
            top = like.new_zeros(len(like), self.widths[0])
            return Gaussian(top, top + 1)
        return Gaussian.from_raw(self.expect[len(above) - 1](torch.cat(above, dim=-1)))

    def _descend(self, h: Tensor, draw: Draw) -> list[_Level]:
        """All levels for h (B, D), each point chosen by `draw`."""
        levels: list[_Level] = []
        raw = self.project(h).split([2 * width for width in self.widths], dim=-1)
        for of_level in raw:
            seen = Gaussian.from_raw(of_level)
            prior = self._prior([level.z for level in levels], h)
            posterior = seen if not levels else _joined(seen, prior)
            levels.append(_Level(draw(posterior), posterior, prior))
        return levels

    def encode(self, h: Tensor) -> Gaussian:
        levels = self._descend(h, lambda posterior: posterior.mean)
        return _side_by_side([level.posterior for level in levels])

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> LatentSample:
        levels = self._descend(h, lambda posterior: posterior.draw(generator))
        z = torch.cat([level.z for level in levels], dim=-1)
        rate = torch.stack([level.posterior.kl(level.prior).sum(-1) for level in levels], dim=-1)
        return LatentSample(z, rate, z.new_zeros(()), _side_by_side([level.posterior for level in levels]))

    def importance(self, h: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        levels = self._descend(h.repeat(k, 1), lambda posterior: posterior.draw(generator))
        z = torch.cat([level.z for level in levels], dim=-1)
        terms = [level.prior.log_prob(level.z) - level.posterior.log_prob(level.z) for level in levels]
        return z.view(k, len(h), -1), torch.stack(terms).sum(0).view(k, -1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        like = self.project.weight.new_zeros(n, 1)
        above: list[Tensor] = []
        for _ in self.widths:
            above.append(self._prior(above, like).draw(generator))
        return torch.cat(above, dim=-1)


def _joined(seen: Gaussian, expected: Gaussian) -> Gaussian:
    """The normalised product of two Gaussians: precisions add up."""
    ours, theirs = seen.std.square().reciprocal(), expected.std.square().reciprocal()
    total = ours + theirs
    return Gaussian((seen.mean * ours + expected.mean * theirs) / total, total.rsqrt())


def _side_by_side(parts: list[Gaussian]) -> Gaussian:
    return Gaussian(torch.cat([p.mean for p in parts], dim=-1), torch.cat([p.std for p in parts], dim=-1))
