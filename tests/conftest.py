"""What all tests share: one thread a worker, interrupts that are heard, and the folder of large inputs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molvae.generation import MoleculeVAE

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy or torch is imported
    os.environ.setdefault(name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job ignores it, and so would its children
    signal.signal(signal.SIGINT, signal.default_int_handler)

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


@pytest.fixture(scope="session")
def tiny_vae() -> MoleculeVAE:
    """A `MoleculeVAE` of 48 hidden and 8 latent dimensions, trained for a few seconds; not to be changed."""
    from small_model import small_vae

    return small_vae(steps=80)


@pytest.fixture(scope="session")
def tiny_prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared directory: 64 molecules to train on, 32 to validate, 16 to test; not to be changed."""
    from small_model import small_molecules, small_tokenizer, write_prepared

    molecules = small_molecules()
    splits = {"train": molecules[:64], "valid": molecules[64:96], "test": molecules[96:112]}
    return write_prepared(tmp_path_factory.mktemp("prepared"), splits, small_tokenizer())


@pytest.fixture(scope="session")
def tiny_model(tiny_vae: MoleculeVAE, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model directory of `tiny_vae`, as `molvae train` writes it; not to be changed."""
    from molvae.model.checkpoint import save_checkpoint

    folder = tmp_path_factory.mktemp("tiny")
    tiny_vae.tokenizer.save(folder / "vocabulary.json")
    save_checkpoint(folder / "model", tiny_vae.network, folder / "vocabulary.json", {"metrics": {}})
    return folder / "model"
