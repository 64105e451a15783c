"""A small, untrained, but real VAE, a handful of molecules, and a cheap oracle."""

from __future__ import annotations

import pytest
import torch
from search_molecules import MOLECULES

from molvae.generation import MoleculeVAE
from molvae.model.bottlenecks import GaussianSpec
from molvae.model.vae import SequenceVAE, VAESpec
from molvae.oracles import oracle
from molvae.oracles.oracle import Oracle
from molvae.tokens.tokenizer import Tokenizer, default_constraints, to_symbols
from molvae.tokens.vocabulary import Vocabulary


@pytest.fixture(scope="session")
def model() -> MoleculeVAE:
    """A small untrained VAE."""
    symbols = {symbol for s in MOLECULES for symbol in to_symbols(s, default_constraints())}
    tokenizer = Tokenizer(Vocabulary.from_symbols(symbols), max_length=40)
    torch.manual_seed(0)
    spec = VAESpec(embedding_dim=8, encoder_dim=16, decoder_dim=32, bottleneck=GaussianSpec(latent_dim=8))
    network = SequenceVAE(spec, len(tokenizer.vocabulary))
    with torch.no_grad():
        for weights in network.decoder.parameters():
            weights *= 4  # else every latent point decodes to the same string
    return MoleculeVAE(network, tokenizer)


@pytest.fixture
def qed() -> Oracle:
    """Drug-likeness."""
    return oracle("qed")
