"""What must be as it was for a run to go on: settings, processes and data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from molvae.core.config import differing
from molvae.core.errors import ConfigError
from molvae.core.files import sha256_text
from molvae.training.config import TrainConfig

MAY_CHANGE = {"threads", "checkpoint_minutes", "tensorboard", "device", "validation"}


def check_settings(old: TrainConfig, new: TrainConfig, directory: Path) -> None:
    """Refuse to resume a run with another configuration, but for what does not change what is learnt so far."""
    changed = differing(*(config.model_dump(exclude=MAY_CHANGE) for config in (old, new)))
    changed.pop("optimiser.epochs", None)
    if changed:
        listed = ", ".join(f"{key} was {before}, is {now}" for key, (before, now) in changed.items())
        raise ConfigError(
            f"{directory} holds a run with other settings ({listed}); take them back, choose another run "
            "directory, or start again with --fresh"
        )


def check_processes(before: int, now: int, directory: Path) -> None:
    """Refuse to resume with another number of processes: the same step would stand elsewhere in another epoch."""
    if before != now:
        raise ConfigError(
            f"{directory} holds a run of {before} process(es), not {now}; start as many as before "
            "(torchrun --nproc_per_node), choose another run directory, or start again with --fresh"
        )


def data_sha256(manifest: dict[str, Any]) -> str:
    """Digest of what decides the molecules of a prepared directory, out of its manifest: inputs, settings, counts."""
    decisive = {key: manifest.get(key) for key in ("inputs", "settings", "splits", "tokens", "vocabulary_sha256")}
    if decisive["inputs"] is not None:  # by content: files may have moved since
        decisive["inputs"] = [each["sha256"] for each in decisive["inputs"].values()]
    return sha256_text(json.dumps(decisive, sort_keys=True))


def check_data(before: str, now: str, data: Path, directory: Path) -> None:
    """Refuse to resume on data exchanged in the same place: the same step would mean other molecules.

    Args:
        before, now: digests of the prepared directory, see `data_sha256`.
    """
    if before != now:
        raise ConfigError(
            f"{data} holds other molecules than the run in {directory} began with; prepare those again, choose another "
            "run directory, or start again with --fresh"
        )
