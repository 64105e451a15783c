"""Names for arrays; shapes stand in docstrings and comments."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Points = np.ndarray[Any, np.dtype[np.float32]]  # of a latent space, a row each
AnyArray = np.ndarray[Any, np.dtype[Any]]
