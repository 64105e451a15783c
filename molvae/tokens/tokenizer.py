"""SMILES to token ids and back, by way of SELFIES (Krenn et al. 2020, doi:10.1088/2632-2153/aba947)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import selfies

from molvae.chem.molecules import Standardiser, canonical
from molvae.core.errors import CheckpointError, MoleculeError
from molvae.core.files import read_json, write_json
from molvae.tokens.vocabulary import BOS, EOS, PAD, Vocabulary

Ids = np.ndarray[Any, np.dtype[np.int64]]


def default_constraints() -> dict[str, int]:
    """Bond capacities of SELFIES' "default" preset, as pinned in a tokenizer when it is made."""
    return dict(selfies.get_preset_constraints("default"))


def to_symbols(smiles: str, constraints: dict[str, int]) -> list[str]:
    """SELFIES symbols of a canonical SMILES.

    Raises:
        MoleculeError: SELFIES cannot express the molecule, or expresses another one (the round trip is checked).
    """
    return list(_symbols(smiles, tuple(constraints.items())))


@lru_cache(maxsize=4096)  # a search encodes its best molecules again and again
def _symbols(smiles: str, constraints: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    pin(dict(constraints))
    try:
        text = selfies.encoder(smiles)
    except selfies.EncoderError as error:
        raise MoleculeError(smiles, "SELFIES cannot express it") from error
    if canonical(selfies.decoder(text)) != smiles:
        raise MoleculeError(smiles, "changed by the SELFIES round trip")
    return tuple(selfies.split_selfies(text))


def pin(constraints: dict[str, int]) -> None:
    """Make the module-global SELFIES constraints these; another library may have changed them since."""
    if selfies.get_semantic_constraints() != constraints:
        selfies.set_semantic_constraints(constraints)


@dataclass(frozen=True)
class Tokenizer:
    """Encodes molecules as ids of a fixed vocabulary; refuses, never changes, what it cannot express.

    Args:
        vocabulary: the tokens.
        max_length: longest sequence allowed, the end token included.
        standardiser: applied before encoding.
        constraints: SELFIES bond capacities; they belong to the model, since decoding depends on them.

    >>> tokenizer = Tokenizer(Vocabulary.from_symbols(["[C]", "[O]"]), max_length=10)
    >>> tokenizer.encode("OCC").tolist(), tokenizer.decode([3, 3, 4, 2])
    ([3, 3, 4, 2], 'CCO')
    """

    vocabulary: Vocabulary
    max_length: int
    standardiser: Standardiser = Standardiser()
    constraints: dict[str, int] = field(default_factory=default_constraints)

    def encode(self, smiles: str) -> Ids:
        """Ids of `smiles`, (T,), ending with EOS.

        Raises:
            MoleculeError: invalid, not expressible in SELFIES, longer than `max_length`, or made of unknown tokens.
        """
        return self.encode_symbols(smiles, to_symbols(self.standardiser(smiles), self.constraints))

    def encode_symbols(self, smiles: str, symbols: Sequence[str]) -> Ids:
        """Ids of SELFIES symbols, (T,), ending with EOS; `smiles` names the molecule in errors."""
        known = self.vocabulary.ids
        if unknown := [s for s in symbols if s not in known]:
            raise MoleculeError(smiles, f"unknown token {unknown[0]}")
        if len(symbols) + 1 > self.max_length:
            raise MoleculeError(smiles, f"longer than {self.max_length - 1} tokens")
        return np.array([*(known[s] for s in symbols), EOS], dtype=np.int64)

    def decode(self, ids: Iterable[int]) -> str | None:
        """Canonical SMILES of ids up to the first EOS; None where they spell no molecule."""
        symbols = []
        for i in ids:
            if i == EOS:
                break
            if i not in (PAD, BOS):
                symbols.append(self.vocabulary.tokens[i])
        pin(self.constraints)
        return canonical(selfies.decoder("".join(symbols)))

    def save(self, path: str | Path) -> None:
        """Write `vocabulary.json`: tokens, maximum length, standardisation, SELFIES version and constraints."""
        write_json(
            path,
            {
                "tokens": self.vocabulary.tokens,
                "max_length": self.max_length,
                "standardiser": asdict(self.standardiser),
                "constraints": self.constraints,
                "selfies_version": version("selfies"),  # selfies.__version__ is wrong in 2.2.0
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read what `save` wrote."""
        try:
            value = read_json(path)
            return cls(
                Vocabulary(tuple(value["tokens"])),
                int(value["max_length"]),
                Standardiser(**value["standardiser"]),
                dict(value["constraints"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path}: not a vocabulary written by molvae ({error}); fetch it again") from error
