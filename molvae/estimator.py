"""What molvae's scikit-learn estimators have in common: molecules come in as SMILES, and a pickle holds no weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from molvae.chem.molecules import Charges, Fragments
from molvae.generation import MoleculeVAE, load


class MoleculeEstimator(BaseEstimator):
    """An estimator on molecules: a list, a 1-D array, a Series, or a frame or 2-D array with one column of SMILES.

    The subclass has the parameters `weights` (name of shipped weights, or a model directory) and `device`, and may have
    `fragments` and `charges` (see `molvae.load`); a pickle holds the name of the weights and not the weights.
    """

    weights: str
    device: str
    fragments: Fragments | None = None
    charges: Charges | None = None

    @property
    def vae(self) -> MoleculeVAE:
        """The model; loaded anew where there is none, as after unpickling."""
        return self._vae if self.__dict__.get("_vae") is not None else self._loaded()

    def _loaded(self) -> MoleculeVAE:
        """The model that the parameters name now.

        Raises:
            ConfigError: it is told what only measuring tells, which an estimator is not given.
        """
        self._vae = load(self.weights, self.device, fragments=self.fragments, charges=self.charges)
        self._vae.told.check_computed()
        return self._vae

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        return {key: value for key, value in state.items() if key != "_vae"}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = False
        tags.no_validation = True
        return tags


def smiles_column(X: Any) -> list[str]:
    """The SMILES of whatever scikit-learn hands over.

    Raises:
        ValueError: it is something else, or has several columns.
    """
    if isinstance(X, pd.DataFrame) or getattr(X, "ndim", 1) == 2:
        values = np.asarray(X, dtype=object)
        if values.shape[1] != 1:
            raise ValueError(
                f"expected one column of SMILES, got {values.shape[1]}; choose it with a ColumnTransformer"
            )
        return list(values[:, 0])
    if isinstance(X, str) or not hasattr(X, "__len__"):
        raise ValueError(f"expected a list or array of SMILES, got {type(X).__name__}")
    return list(X)
