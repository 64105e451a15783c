"""A small, untrained, but real VAE, a handful of molecules, and a cheap oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from search_molecules import MOLECULES

from molvae.core.errors import MoleculeError
from molvae.oracles import oracle
from molvae.oracles.oracle import Oracle
from molvae.tokens.tokenizer import Tokenizer, default_constraints, to_symbols
from molvae.tokens.vocabulary import Vocabulary


class TinyModel:
    """An untrained `SequenceVAE` behind the methods that the search uses."""

    def __init__(self) -> None:
        import torch

        from molvae.model.vae import GaussianSpec, SequenceVAE, VAESpec

        symbols = {symbol for s in MOLECULES for symbol in to_symbols(s, default_constraints())}
        self.tokenizer = Tokenizer(Vocabulary.from_symbols(symbols), max_length=40)
        torch.manual_seed(0)
        spec = VAESpec(embedding_dim=8, encoder_dim=16, decoder_dim=32, bottleneck=GaussianSpec(latent_dim=8))
        self.network = SequenceVAE(spec, len(self.tokenizer.vocabulary)).eval()
        with torch.no_grad():
            for weights in self.network.decoder.parameters():
                weights *= 4  # else every latent point decodes to the same string
        self.latent_dim = 8

    def posterior(self, smiles: Sequence[str], on_invalid: str = "raise") -> tuple[Any, Any]:
        import torch

        mean = np.full((len(smiles), self.latent_dim), np.nan, dtype=np.float32)
        std = mean.copy()
        for i, s in enumerate(smiles):
            try:
                ids = torch.tensor(self.tokenizer.encode(s))[None]
            except MoleculeError:
                if on_invalid == "raise":
                    raise
                continue
            with torch.no_grad():
                found = self.network.encode(ids, torch.tensor([ids.shape[1]]))
            mean[i], std[i] = found.mean.numpy()[0], found.std.numpy()[0]
        return mean, std

    def decode(self, z: Any, temperature: float | None = None, top_p: float = 1.0, rng: Any = 0) -> list[str | None]:
        import torch

        generator = torch.Generator().manual_seed(int(np.random.default_rng(rng).integers(2**31)))
        ids = self.network.decode(torch.as_tensor(z), 40, temperature, top_p, generator)
        return [self.tokenizer.decode(row) for row in ids.tolist()]

    def sample(self, n: int, temperature: float | None = None, rng: Any = 0) -> list[str]:
        generator = np.random.default_rng(rng)
        z = generator.standard_normal((n, self.latent_dim)).astype(np.float32)
        return [s for s in self.decode(z, temperature, rng=generator) if s is not None]


@pytest.fixture(scope="session")
def model() -> TinyModel:
    """The small VAE."""
    return TinyModel()


@pytest.fixture
def qed() -> Oracle:
    """Drug-likeness."""
    return oracle("qed")
