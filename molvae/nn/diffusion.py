"""A prior that makes latent points out of noise, a little at each step."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from molvae.nn.gaussian import LOG_STD_RANGE, Gaussian
from molvae.nn.priors import NormalPrior, Prior

_OFFSET = 0.008  # of the cosine schedule
_MOST_NOISE = 0.999  # variance that one step adds, at most


class DiffusionPrior(Prior):
    """T learnt steps from N(0, 1) to latent points (Ho et al. 2020, arXiv:2006.11239).

    | symbol | meaning |
    |---|---|
    | z_0 = z | a latent point |
    | q(z_t given z_{t-1}) | N(sqrt(1 - b_t) z_{t-1}, b_t): noise is added, by the cosine schedule |
    | s_t | product of 1 - b_1, ..., 1 - b_t; z_t given z_0 is N(sqrt(s_t) z_0, 1 - s_t) |
    | p(z_{t-1} given z_t) | a Gaussian whose mean and deviation a network gives: noise is removed |

    Schedule and learnt deviations are those of Nichol and Dhariwal 2021, arXiv:2102.09672. The network gives
    differences from the steps that lead to N(0, 1), so that this is where learning begins (as in LSGM, Vahdat et al.
    2021, arXiv:2106.05931, section 3.2).

    Noise is drawn to tell a density: `log_prob` is log p(z_0 ... z_T) - log q(z_1 ... z_T | z_0) for one draw of
    z_1 ... z_T. Its exponential is an unbiased estimate of p(z), so that importance-weighted bounds stay bounds; its
    mean is a lower bound of log p(z). `rate` looks at one step of each point, in the mean the same bound.

    Args:
        latent_dim: Z.
        steps: T.
        hidden_dim: width of the network.
    """

    added: Tensor  # (T + 1,) variances b_t, with 0 for t = 0
    left: Tensor  # (T + 1,) s_t

    def __init__(self, latent_dim: int, steps: int, hidden_dim: int) -> None:
        super().__init__()
        self.latent_dim, self.steps = latent_dim, steps
        self.base = NormalPrior(latent_dim)
        time = (torch.arange(steps + 1, dtype=torch.float64) / steps + _OFFSET) / (1 + _OFFSET)
        signal = (0.5 * math.pi * time).cos().square()
        added = torch.cat([signal.new_zeros(1), (1 - signal[1:] / signal[:-1]).clamp_max(_MOST_NOISE)])
        self.register_buffer("added", added.float(), persistent=False)
        self.register_buffer("left", (1 - added).cumprod(0).float(), persistent=False)
        self.network = _Denoiser(latent_dim, steps, hidden_dim)

    def log_prob(self, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        total = z.new_zeros(z.shape[:-1])
        for t in range(1, self.steps + 1):
            step = torch.full(z.shape[:-1], t, device=z.device)
            forth = Gaussian((1 - self.added[t]).sqrt() * z, self.added[t].sqrt().expand(z.shape))
            noisier = forth.draw(generator)
            total = total + self._back(noisier, step).log_prob(z) - forth.log_prob(noisier)
            z = noisier
        return total + self.base.log_prob(z)

    def rate(self, posterior: Gaussian, z: Tensor, generator: torch.Generator | None = None) -> Tensor:
        cost = self._last(z) + self.steps * self._of_one_step(z, self._some_steps(len(z), generator), generator)
        return (posterior.log_prob(z) + cost).unsqueeze(-1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        z = self.base.sample(n, generator)
        for t in range(self.steps, 0, -1):
            z = self._back(z, torch.full((n,), t, device=z.device)).draw(generator)
        return z

    def _noise(self, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """b_t, s_t and s_{t-1}, (..., 1), of steps t (...,)."""
        return self.added[t].unsqueeze(-1), self.left[t].unsqueeze(-1), self.left[t - 1].unsqueeze(-1)

    def _back(self, z: Tensor, t: Tensor) -> Gaussian:
        """p(z_{t-1} | z_t) for z_t (..., Z) and steps t (...,)."""
        added, left, before = self._noise(t)
        shift, log_scale = self.network(z, t).chunk(2, dim=-1)
        reach = before.sqrt() * added * (1 - left).rsqrt()  # how far z_{t-1} moves for a deviation of z_0 given z_t
        return Gaussian((1 - added).sqrt() * z + reach * shift, added.sqrt() * log_scale.clamp(*LOG_STD_RANGE).exp())

    def _last(self, z: Tensor) -> Tensor:
        """KL(q(z_T | z) || N(0, 1)), (B,) nats."""
        left = self.left[-1]
        return Gaussian(left.sqrt() * z, (1 - left).sqrt().expand(z.shape)).kl().sum(-1)

    def _of_one_step(self, z: Tensor, t: Tensor, generator: torch.Generator | None) -> Tensor:
        """Cost of step t (B,) to z (B, Z), (B,) nats: -log p(z | z_1), or KL(q(z_{t-1} | z_t, z) || p(z_{t-1} | z_t)).

        Ho et al. 2020, eq. 5 and 7.
        """
        added, left, before = self._noise(t)
        noisier = Gaussian(left.sqrt() * z, (1 - left).sqrt().expand(z.shape)).draw(generator)
        back = self._back(noisier, t)
        mean = (before.sqrt() * added * z + (1 - added).sqrt() * (1 - before) * noisier) / (1 - left)
        variance = torch.where(t.unsqueeze(-1) > 1, added * (1 - before) / (1 - left), 1.0)  # of the first step, 0
        true = Gaussian(mean, variance.sqrt().expand(z.shape))
        return torch.where(t > 1, true.kl(back).sum(-1), -back.log_prob(z))

    def _some_steps(self, n: int, generator: torch.Generator | None) -> Tensor:
        """A step from 1 to T for each of n points, each as likely; together they cover all (VDM: Kingma et al. 2021,
        arXiv:2107.00630, appendix I.1), whatever order the points have."""
        device = self.added.device
        first = torch.rand(1, generator=generator, device=device)
        order = torch.randperm(n, generator=generator, device=device)
        place = (first + order / n) % 1
        return (place * self.steps).long().clamp_max(self.steps - 1) + 1


class _Denoiser(nn.Module):
    """Two numbers for each dimension of z_t: a shift, and the logarithm of a scale; both 0 at first."""

    def __init__(self, latent_dim: int, steps: int, hidden_dim: int) -> None:
        super().__init__()
        self.read = nn.Linear(latent_dim, hidden_dim)
        self.step = nn.Embedding(steps, hidden_dim)
        self.layers = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(2))
        self.write = nn.Linear(hidden_dim, 2 * latent_dim)
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.write.bias)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """(..., 2 Z) for z (..., Z) and steps t (...,), 1 to T."""
        h: Tensor = self.read(z) + self.step(t - 1)
        for layer in self.layers:
            h = h + layer(nn.functional.silu(h))
        out: Tensor = self.write(nn.functional.silu(h))
        return out
