"""What a run learns from: splits, tokens and conditions, checked against the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from molvae.core.errors import ConfigError, DataError
from molvae.core.files import read_json
from molvae.data.conditions import Conditions
from molvae.data.shards import TokenShards
from molvae.model.checkpoint import read_description


def open_split(directory: Path, split: str, condition_dim: int) -> TokenShards:
    """A split with the properties that the model is conditioned on, and without them for a model that takes none.

    Raises:
        DataError: the split is empty, or a property is missing.
        ConfigError: the data have another number of properties than the model takes.
    """
    shards = TokenShards.open(directory, split)
    if len(shards) == 0:
        raise DataError(f"{directory}: split {split!r} holds no molecules; prepare data with some")
    if condition_dim == 0:
        return replace(shards, properties=None)
    found = 0 if shards.properties is None else shards.properties.shape[1]
    if shards.properties is None or found != condition_dim:
        raise ConfigError(
            f"model.condition_dim is {condition_dim}, but {directory} has {found} properties per molecule"
        )
    if lacking := int((~np.isfinite(shards.properties).all(axis=1)).sum()):
        raise DataError(
            f"{directory}: {lacking:,} of {len(shards):,} molecules of the split {split!r} lack a value of a property; "
            "fill them in or leave them out, and prepare the data again"
        )
    return shards


def tokens_of(path: Path) -> list[str]:
    """The tokens of a vocabulary file, in the order of their ids."""
    try:
        tokens: list[str] = list(read_json(path)["tokens"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a vocabulary ({error}); run `molvae prepare` again") from error
    return tokens


def check_vocabulary(learnt: Path, prepared: Path) -> None:
    """Refuse to resume on data prepared anew with other tokens: the same ids would mean something else."""
    if learnt.exists() and tokens_of(learnt) != tokens_of(prepared):
        raise ConfigError(
            f"{prepared} lists other tokens than the run has learnt; choose another run directory, or start again "
            "with --fresh"
        )


def conditions_of(shards: TokenShards, manifest: dict[str, Any], before: Path | None) -> Conditions | None:
    """What a model is told beside each molecule of its training data, on the scale that it began with.

    Args:
        shards: the train split, without properties for a model that is told none.
        manifest: of the prepared data; names the properties.
        before: the model directory that training goes on with, if any.

    Raises:
        CheckpointError: that directory holds no model, or a damaged one.
        ConfigError: the data have other properties than that model was trained with.
    """
    if shards.properties is None:
        return None
    measured = Conditions.measured(manifest["properties"], shards.properties, manifest.get("columns", ()))
    known = None if before is None else read_description(before).get("conditions")
    if known is None:
        return measured
    kept = Conditions.from_dict(known)
    if kept.names != measured.names:
        raise ConfigError(
            f"the data have the properties {', '.join(measured.names)}, but {before} was trained with "
            f"{', '.join(kept.names)}; prepare the data with the same ones, in the same order"
        )
    return replace(kept, columns=measured.columns)
