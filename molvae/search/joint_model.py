"""A belief about given molecules as a BoTorch model: the points are the numbers of the molecules."""

from __future__ import annotations

from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from torch import Tensor

from molvae.search.outcomes import OutcomesPosterior

JITTER = 1e-6  # on the diagonal: the observed are known almost exactly, and the same molecule may be asked for twice


class JointModel(Model):
    """K independent outcomes with one covariance, over M molecules whose belief is computed once.

    X are row numbers, `batch_shape x q x 1`, so that acquisition functions may ask about the same molecules again and
    again without computing fingerprints and kernel anew.
    """

    def __init__(self, belief: OutcomesPosterior) -> None:
        super().__init__()
        self.mean = torch.as_tensor(belief.mean)  # (M, K)
        self.covariance = torch.as_tensor(belief.covariance())  # (M, M)

    @property
    def num_outputs(self) -> int:
        """K."""
        return self.mean.shape[1]

    @property
    def batch_shape(self) -> torch.Size:
        """Empty: one model."""
        return torch.Size()

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Joint posterior of each q molecules, in units of y."""
        rows = X[..., 0].long()
        covariance = self.covariance[rows[..., :, None], rows[..., None, :]]
        covariance = covariance + JITTER * torch.eye(rows.shape[-1], dtype=covariance.dtype)
        chosen = range(self.num_outputs) if output_indices is None else output_indices
        mean = self.mean[rows][..., list(chosen)].transpose(-1, -2)  # batch_shape x K x q
        each = covariance.unsqueeze(-3).expand(*mean.shape, mean.shape[-1])
        joint = MultitaskMultivariateNormal.from_batch_mvn(MultivariateNormal(mean, each), task_dim=-1)
        posterior = GPyTorchPosterior(joint)
        return posterior if posterior_transform is None else posterior_transform(posterior)
