"""A small but whole world for the tests: molecules of our own making, a tokenizer, a prepared directory, a model."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from molvae.chem.molecules import canonical
from molvae.core.files import write_json
from molvae.data.batch import TokenBatch
from molvae.data.prepare import PrepareConfig, prepare
from molvae.data.shards import ShardWriter
from molvae.data.splits import ColumnSplit
from molvae.generation import MoleculeVAE
from molvae.model.bottlenecks import (
    BottleneckSpec,
    DiffusionSpec,
    FlowSpec,
    GaussianSpec,
    LadderSpec,
    MixtureSpec,
    VQSpec,
)
from molvae.model.objective import Constant, Objective
from molvae.model.vae import SequenceVAE, VAESpec
from molvae.tokens.tokenizer import Tokenizer, default_constraints, to_symbols
from molvae.tokens.vocabulary import Vocabulary

RINGS = ["c1ccccc1", "c1ccncc1", "C1CCNCC1", "c1ccsc1", "C1CC1"]
LINKERS = ["", "C", "CC", "C(=O)N", "OC"]
ENDS = ["F", "Cl", "O", "C#N", "C(F)(F)F"]
SMALL_SPEC = VAESpec(
    embedding_dim=16, encoder_dim=24, decoder_dim=48, token_dropout=0.1, bottleneck=GaussianSpec(latent_dim=8)
)
SMALL_BOTTLENECKS: dict[str, BottleneckSpec] = {  # besides the plain one of `SMALL_SPEC`
    "mixture": GaussianSpec(latent_dim=8, prior=MixtureSpec(components=4)),
    "flow": GaussianSpec(latent_dim=8, prior=FlowSpec(layers=2, hidden_dim=8)),
    "diffusion": GaussianSpec(latent_dim=8, prior=DiffusionSpec(steps=4, hidden_dim=8)),
    "vq": VQSpec(groups=4, codes=8, width=2),
    "ladder": LadderSpec(widths=(2, 6), hidden_dim=8),
}
TRAINING = """
data = "prepared"
device = "cpu"
[model]
embedding_dim = 8
encoder_dim = 12
decoder_dim = 24
[model.bottleneck]
latent_dim = 6
[optimiser]
epochs = 1
batch_size = 16
[validation]
n_molecules = 8
"""  # a config for `molvae train`


def seeded(seed: int = 0) -> torch.Generator:
    """A random generator of its own."""
    return torch.Generator().manual_seed(seed)


def small_molecules() -> list[str]:
    """125 distinct canonical SMILES, mixed well but always in the same order."""
    made = dict.fromkeys(canonical(ring + linker + end) for ring, linker, end in product(RINGS, LINKERS, ENDS))
    molecules = sorted(smiles for smiles in made if smiles)
    return [molecules[i] for i in np.random.default_rng(0).permutation(len(molecules))]


def small_tokenizer(max_length: int = 32) -> Tokenizer:
    """Knows the tokens of `small_molecules`."""
    symbols = (symbol for smiles in small_molecules() for symbol in to_symbols(smiles, default_constraints()))
    return Tokenizer(Vocabulary.from_symbols(symbols), max_length)


def write_prepared(directory: Path, splits: dict[str, list[str]], tokenizer: Tokenizer) -> Path:
    """What `molvae prepare` would write, for molecules already chosen."""
    directory.mkdir(parents=True, exist_ok=True)
    for split, molecules in splits.items():
        with ShardWriter(directory, split, len(tokenizer.vocabulary)) as writer:
            for smiles in molecules:
                writer.append(tokenizer.encode(smiles))
    tokenizer.save(directory / "vocabulary.json")
    write_json(directory / "manifest.json", {"kind": "prepare", "splits": {k: len(v) for k, v in splits.items()}})
    return directory


def prepare_with_sizes(folder: Path, n: int) -> Path:
    """What `molvae prepare` makes of n small molecules, each told its number of heavy atoms; every fourth validates."""
    splits = ["valid" if i % 4 == 0 else "train" for i in range(n)]
    pd.DataFrame({"smiles": small_molecules()[:n], "split": splits}).to_csv(folder / "in.csv", index=False)
    config = PrepareConfig(
        inputs=(folder / "in.csv",), output=folder / "out", split=ColumnSplit(), descriptors=("heavy_atoms",), workers=0
    )
    return prepare(config).output


def token_batch(smiles: list[str], tokenizer: Tokenizer) -> TokenBatch:
    """Molecules as one padded batch."""
    ids = [torch.from_numpy(tokenizer.encode(s)) for s in smiles]
    lengths = torch.tensor([len(row) for row in ids])
    return TokenBatch(torch.nn.utils.rnn.pad_sequence(ids, batch_first=True), lengths)


def small_vae(steps: int = 0, spec: VAESpec = SMALL_SPEC) -> MoleculeVAE:
    """A model of 48 hidden units, trained on the first 64 `small_molecules` for some full-batch steps (~15 ms each)."""
    tokenizer, molecules = small_tokenizer(), small_molecules()[:64]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = SequenceVAE(spec, len(tokenizer.vocabulary))
    batch, objective = token_batch(molecules, tokenizer), Objective(beta=Constant(value=0.05))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    network.train()
    for step in range(steps):
        optimiser.zero_grad()
        objective(network(batch, generator), step).loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    return MoleculeVAE(network, tokenizer)
