"""Molecules to begin with: from a file, or sampled from the model and chosen without calling the oracle."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import Field, model_validator
from rdkit import Chem

from molvae.chem.molecules import canonical
from molvae.core.config import Spec
from molvae.core.errors import ConfigError, DataError
from molvae.core.tables import kind_of, read_rows
from molvae.search.ask_tell import START_STREAM
from molvae.search.latent import LatentModel
from molvae.search.plausible import plausible_samples

log = logging.getLogger(__name__)

SHOWN = 5  # of rows that are left out
SEVERAL_FRAGMENTS = "has several fragments; give the one that matters, alone"


class StartSpec(Spec):
    """Molecules to begin with, listed or in a file; they cost calls like all others. Without any, `n` that meet the
    constraints are sampled from the model, except where measured data are there to begin with."""

    smiles: tuple[str, ...] = Field((), description="the molecules themselves, for instance a lead; all are taken")
    file: Path | None = None
    column: str = "smiles"
    n: int = Field(30, ge=1, description="without a file: how many; with one: at most so many, drawn by the seed")
    neighbours: int = Field(
        0, ge=0, description="molecules decoded from around those listed: candidates of the first batch, free of calls"
    )

    @property
    def given(self) -> bool:
        """Whether the molecules are the user's own."""
        return bool(self.smiles or self.file)

    @model_validator(mode="after")
    def _one_source(self) -> StartSpec:
        if self.smiles and self.file is not None:
            raise ValueError("expected smiles or a file, got both")
        return self


def start_molecules(
    spec: StartSpec,
    model: LatentModel | None,
    seed: int,
    accept: Callable[[Chem.Mol], bool] = lambda mol: True,
) -> list[str]:
    """Canonical molecules to begin with: listed, drawn from a file, or sampled from the model.

    Args:
        accept: whether a sampled molecule may be among them; those that the user gives are taken as they are.

    Raises:
        DataError: the file holds no valid molecule of one fragment.
        ConfigError: a listed molecule is invalid or a salt, there is nothing to begin with and no model, or no sample
            is accepted.
    """
    if spec.smiles:
        return [_listed(smiles, i) for i, smiles in enumerate(spec.smiles)]
    rng = np.random.default_rng([seed, START_STREAM])
    if spec.file is not None:
        return drawn_from_file(spec.file, spec.column, spec.n, rng)
    if model is None:
        raise ConfigError("a search without a model needs molecules to begin with: set search.start.file or .smiles")
    found = plausible_samples(model, spec.n, rng, accept)
    if not found:
        raise ConfigError(
            "no sample of the model meets the constraints; begin with molecules that do (search.start.smiles or .file)"
        )
    return found


def _listed(smiles: str, index: int) -> str:
    found = canonical(smiles)
    if found is None:
        raise ConfigError(f"search.start.smiles.{index}: {smiles!r} is not a valid SMILES")
    if "." in found:
        raise ConfigError(f"search.start.smiles.{index}: {smiles!r} {SEVERAL_FRAGMENTS}")
    return found


def drawn_from_file(file: Path, column: str, n: int, rng: np.random.Generator) -> list[str]:
    """At most `n` valid molecules of one fragment, drawn without replacement."""
    plain = kind_of(file) == "smi"
    read = [row.cells[0].strip() for row in read_rows(file, ["smiles" if plain else column])]
    found, left_out = dict[str, None](), list[str]()
    for text in (read[int(i)] for i in rng.permutation(len(read))):
        smiles = canonical(text)
        if smiles is not None and "." not in smiles:
            found[smiles] = None
        else:
            left_out.append(text)
        if len(found) == n:
            break
    if not found:
        raise DataError(f"{file}: holds no valid molecule of one fragment")
    if left_out:
        log.warning(
            "%s: of the rows drawn, %d are no valid molecule of one fragment and are left out: %s",
            file, len(left_out), ", ".join(map(repr, left_out[:SHOWN])) + (", ..." if len(left_out) > SHOWN else ""),
        )  # fmt: skip
    return list(found)
