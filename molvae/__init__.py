"""molvae: a SELFIES sequence VAE, and a Bayesian optimiser over its latent space and over edits of molecules.

    import molvae

    vae = molvae.load("zinc250k")
    z = vae.embed(["CCO", "c1ccccc1O"])  # (N, Z) float32
    result = molvae.optimise(lambda smiles: -abs(len(smiles) - 30), budget=200)

The names below are imported when they are first used, so that `import molvae` takes milliseconds: torch and RDKit come
only with what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molvae.anomaly import MoleculeOutliers
    from molvae.embedding import MoleculeEmbedder
    from molvae.generation import MoleculeVAE, load
    from molvae.model.vae import SequenceVAE
    from molvae.oracles import oracle
    from molvae.oracles.oracle import Oracle
    from molvae.search import optimise, propose
    from molvae.tokens.tokenizer import Tokenizer

__version__ = "0.1.0"
__all__ = [
    "MoleculeEmbedder",
    "MoleculeOutliers",
    "MoleculeVAE",
    "Oracle",
    "SequenceVAE",
    "Tokenizer",
    "load",
    "optimise",
    "oracle",
    "propose",
]

_HOMES = {
    "MoleculeEmbedder": "molvae.embedding",
    "MoleculeOutliers": "molvae.anomaly",
    "MoleculeVAE": "molvae.generation",
    "Oracle": "molvae.oracles.oracle",
    "SequenceVAE": "molvae.model.vae",
    "Tokenizer": "molvae.tokens.tokenizer",
    "load": "molvae.generation",
    "optimise": "molvae.search",
    "oracle": "molvae.oracles",
    "propose": "molvae.search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'molvae' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
