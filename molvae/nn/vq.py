"""A discrete bottleneck: the latent point is put together from the entries of learnt codebooks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from molvae.nn.bottleneck import Bottleneck, LatentSample
from molvae.nn.gaussian import LOG_STD_RANGE, Gaussian

SMALLEST_STD = 1e-3  # of a posterior that is sure of its codes


class VQBottleneck(Bottleneck):
    """Vector quantisation with a probability for each code.

    G groups, each with a codebook of K vectors of E numbers; Z = G E. The encoder's vector e (E,) of a group chooses
    code k with q(k|x) ~ exp(-|e - c_k|^2 / (2 w^2)), w learnt for each group: the stochastic quantisation of SQ-VAE
    (Takida et al. 2022, arXiv:2205.07547), which becomes the nearest neighbour of VQ-VAE (van den Oord et al. 2017,
    arXiv:1711.00937, eq. 1) as w falls. So the rate is a KL like any other, with p(k) learnt for each group, and
    neither commitment loss nor moving averages are needed. The gradient of a draw is that of the expected code
    (straight through, hence biased).

    Args:
        input_dim: D.
        groups: G.
        codes: K, of each codebook.
        width: E.
    """

    def __init__(self, input_dim: int, groups: int, codes: int, width: int) -> None:
        super().__init__()
        self.groups, self.width, self.latent_dim = groups, width, groups * width
        self.project = nn.Linear(input_dim, self.latent_dim)
        self.codebook = nn.Parameter(torch.randn(groups, codes, width))
        self.log_width = nn.Parameter(torch.zeros(groups))
        self.prior_logits = nn.Parameter(torch.zeros(groups, codes))

    def _log_q(self, h: Tensor) -> Tensor:
        """log q(k|x), (B, G, K)."""
        e = self.project(h).view(-1, self.groups, 1, self.width)
        precision = (-2 * self.log_width.clamp(*LOG_STD_RANGE)).exp()
        distance = (e - self.codebook).square().sum(-1)  # (B, G, K)
        return (-0.5 * precision[:, None] * distance).log_softmax(-1)

    def _expected(self, q: Tensor, values: Tensor) -> Tensor:
        """Means (B, Z) of values (G, K, E) under q (B, G, K)."""
        return torch.einsum("bgk,gke->bge", q, values).flatten(1)

    def _points(self, chosen: Tensor) -> Tensor:
        """Points (..., Z) of codes (..., G)."""
        return self.codebook[torch.arange(self.groups, device=chosen.device), chosen].flatten(-2)

    def _moments(self, q: Tensor) -> Gaussian:
        """Of the points that q(k|x) (B, G, K) chooses."""
        mean = self._expected(q, self.codebook)
        variance = self._expected(q, self.codebook.square()) - mean.square()
        return Gaussian(mean, variance.clamp_min(SMALLEST_STD**2).sqrt())

    def encode(self, h: Tensor) -> Gaussian:
        return self._moments(self._log_q(h).exp())

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> LatentSample:
        log_q = self._log_q(h)
        q = log_q.exp()
        posterior = self._moments(q)
        drawn = self._points(_draw(log_q, generator))
        z = posterior.mean + (drawn - posterior.mean).detach()
        rate = (q * (log_q - self.prior_logits.log_softmax(-1))).sum(-1)
        return LatentSample(z, rate, z.new_zeros(()), posterior)

    def importance(self, h: Tensor, k: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        log_q = self._log_q(h).expand(k, -1, -1, -1)  # (K, B, G, codes)
        chosen = _draw(log_q, generator)
        log_ratio = self.prior_logits.log_softmax(-1) - log_q
        return self._points(chosen), log_ratio.gather(-1, chosen.unsqueeze(-1)).squeeze(-1).sum(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self._points(_draw(self.prior_logits.expand(n, -1, -1), generator))


def _draw(logits: Tensor, generator: torch.Generator | None) -> Tensor:
    """Indices (...) drawn from unnormalised log-probabilities (..., K): where one with Gumbel noise is the largest."""
    waiting = torch.empty(logits.shape, device=logits.device).exponential_(generator=generator)
    return (logits - waiting.log()).argmax(-1)
