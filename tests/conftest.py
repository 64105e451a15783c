"""What all tests share: one thread for each worker, and the folder of large inputs where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy or torch is imported
    os.environ.setdefault(name, "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of large inputs and reference values: $MOLVAE_SHARED, or `shared` beside the project."""
    path = Path(os.environ.get("MOLVAE_SHARED", ROOT.parent / "shared"))
    if not (path / "reference").is_dir():
        pytest.skip(f"needs the reference data in {path} (set MOLVAE_SHARED to where it lies)")
    return path
