"""The Tanimoto process as a BoTorch model, so that BoTorch's acquisition functions can be used on molecules."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from torch import Tensor

from molvae.search.features import CountFingerprint
from molvae.search.surrogate import TanimotoGP


class TanimotoModel(Model):
    """A `TanimotoGP` behind `posterior(X)`; X are counts of features, `batch_shape x q x W`
    (`CountFingerprint.counts`).

    Counts have no gradient: use it with `optimize_acqf_discrete` or to rank given candidates, not with `optimize_acqf`.

        model = TanimotoModel(search.surrogate, search.fingerprint)
        value = LogExpectedImprovement(model, best_f=0.8)(X)  # X: N x 1 x W
    """

    num_outputs = 1

    def __init__(self, surrogate: TanimotoGP, fingerprint: CountFingerprint) -> None:
        super().__init__()
        self.surrogate, self.fingerprint = surrogate, fingerprint

    @property
    def batch_shape(self) -> torch.Size:
        """Empty: one process."""
        return torch.Size()

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
        **kwargs: Any,
    ) -> Any:
        """Joint posterior of each q molecules, in units of the score."""
        *batch_shape, q, width = X.shape
        fingerprints = self.fingerprint.unary(X.reshape(-1, width).detach().cpu().numpy())
        belief = self.surrogate.posterior(fingerprints)
        groups = np.arange(fingerprints.shape[0]).reshape(-1, q)
        covariance = belief.covariance()[groups[:, :, None], groups[:, None, :]]  # (batch, q, q)
        if observation_noise is not False:
            covariance = covariance + self.surrogate.noise * belief.scale**2 * np.eye(q)
        mean = torch.as_tensor(belief.mean).reshape(*batch_shape, q).to(X)
        joint = MultivariateNormal(mean, torch.as_tensor(covariance).reshape(*batch_shape, q, q).to(X))
        posterior = GPyTorchPosterior(joint)
        return posterior if posterior_transform is None else posterior_transform(posterior)
