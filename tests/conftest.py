"""What all tests share: one thread for each worker, and the folder of large inputs where there is one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molvae.generation import MoleculeVAE

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # before numpy or torch is imported
    os.environ.setdefault(name, "1")

ROOT = Path(__file__).parents[1]
TINY_MOLECULES = ("CCO", "CC(=O)Oc1ccccc1C(=O)O", "CN1CCC[C@H]1c1cccnc1", "CS(=O)(=O)N1CCOCC1", "N#CCCCl")


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
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory as `molvae train` writes it, of an untrained model that is small and always the same."""
    import torch

    from molvae.model.checkpoint import save_checkpoint
    from molvae.model.vae import GaussianSpec, SequenceVAE, VAESpec
    from molvae.tokens.tokenizer import Tokenizer, default_constraints, to_symbols
    from molvae.tokens.vocabulary import Vocabulary

    folder = tmp_path_factory.mktemp("tiny")
    symbols = [s for smiles in TINY_MOLECULES for s in to_symbols(smiles, default_constraints())]
    Tokenizer(Vocabulary.from_symbols(symbols), max_length=40).save(folder / "vocabulary.json")
    torch.manual_seed(0)
    spec = VAESpec(embedding_dim=8, encoder_dim=16, decoder_dim=16, bottleneck=GaussianSpec(latent_dim=8))
    n_tokens = len(Vocabulary.from_symbols(symbols))
    save_checkpoint(folder / "model", SequenceVAE(spec, n_tokens), folder / "vocabulary.json", {"metrics": {}})
    return folder / "model"


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
