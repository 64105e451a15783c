"""Which molecules are unlike those that one knows: outlier detection by the model's likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import OutlierMixin
from sklearn.covariance import EmpiricalCovariance
from sklearn.utils.validation import check_is_fitted

from molvae.chem.reading import read_each
from molvae.core.arrays import Array
from molvae.core.errors import DataError
from molvae.estimator import MoleculeEstimator, smiles_column

FEWEST = 10  # reference molecules


class MoleculeOutliers(OutlierMixin, MoleculeEstimator):
    """An outlier detector in scikit-learn's sense, fitted on molecules that are ordinary.

        MoleculeOutliers().fit(my_library).predict(others)  # 1 like the library, -1 unlike it

    A likelihood alone does not tell: small molecules are likely whatever the model has learnt from. So two numbers of a
    molecule, log p(x) per token (the importance-weighted bound) and the logarithm of its length in tokens, are compared
    with their joint distribution over the reference molecules (density of states estimation, Morningstar et al. 2021,
    arXiv:2006.09273, with a Gaussian as the density). What the model cannot read, for an unknown token or for its
    length, is an outlier.

    Args:
        weights: name of shipped weights, or a model directory.
        contamination: share of the reference molecules that count as outliers.
        samples: of the latent point, for log p(x); more of them tighten the bound.
        device: "auto", "cpu", "cuda", ...
        seed: of the samples. The estimate for one molecule varies a little with its company.

    Attributes:
        density_: of (log p per token, log length), fitted.
        offset_: score below which a molecule is an outlier.
    """

    def __init__(
        self,
        weights: str = "zinc250k",
        contamination: float = 0.05,
        samples: int = 16,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        self.weights, self.contamination, self.samples = weights, contamination, samples
        self.device, self.seed = device, seed

    def fit(self, X: Any, y: Any = None) -> MoleculeOutliers:
        """Learn what is ordinary.

        Raises:
            DataError: the model can read too few of the molecules.
        """
        self._loaded()
        numbers = self._numbers(smiles_column(X))
        readable = numbers[np.isfinite(numbers).all(axis=1)]
        if len(readable) < FEWEST:
            raise DataError(
                f"the model can read {len(readable)} of {len(numbers)} reference molecules; "
                f"at least {FEWEST} are needed"
            )
        self.n_features_in_ = 1
        self.density_ = EmpiricalCovariance().fit(readable)
        self.offset_ = float(np.quantile(self._scores(readable), self.contamination))
        return self

    def score_samples(self, X: Any) -> Array:
        """How ordinary each molecule is, (N,): minus the squared Mahalanobis distance, -inf where it cannot be read."""
        check_is_fitted(self, "offset_")
        return self._scores(self._numbers(smiles_column(X)))

    def decision_function(self, X: Any) -> Array:
        """`score_samples` above `offset_`, (N,): negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
        """1 for ordinary molecules, -1 for outliers, (N,)."""
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def _numbers(self, smiles: list[str]) -> Array:
        """log p(x) in nats per token, and the logarithm of the number of tokens, (N, 2); NaN where unreadable."""
        encoded = read_each(self.vae.tokenizer.encode, smiles, "nan")
        lengths = np.array([np.nan if ids is None else len(ids) for ids in encoded])
        bound = self.vae.log_prob(smiles, self.samples, self.seed, on_invalid="nan")
        return np.column_stack([bound / lengths, np.log(lengths)])

    def _scores(self, numbers: Array) -> Array:
        readable = np.isfinite(numbers).all(axis=1)
        scores = np.full(len(numbers), -np.inf)
        if readable.any():
            scores[readable] = -self.density_.mahalanobis(numbers[readable])
        return scores
