"""Checkpoints: weights in safetensors, everything else in JSON, checked by SHA-256; no pickle anywhere."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from molvae.core.errors import CheckpointError, ConfigError, UnknownModelError
from molvae.core.files import VOCABULARY, atomic_path, read_json, sha256_file, write_json
from molvae.model.vae import SequenceVAE, VAESpec

FORMAT_VERSION = 1
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def model_directory(name_or_path: str | Path) -> Path:
    """The directory of a model given by name or path; a run directory of `molvae train` stands for the model in it.

    Raises:
        UnknownModelError: there is none; the message lists the names that exist.
        ConfigError: it is neither a name nor a path.
    """
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise ConfigError(f"expected a model's name or directory, got {type(name_or_path).__name__}")
    homes = [Path(__file__).parents[1] / "weights"]
    if home := os.environ.get("MOLVAE_HOME"):
        homes.insert(0, Path(home) / "weights")
    places = [home / str(name_or_path) for home in homes] if len(Path(name_or_path).parts) == 1 else []
    for place in [*places, Path(name_or_path)]:
        if place.is_dir():
            inside = place / "model"
            return inside if (inside / DESCRIPTION).exists() and not (place / DESCRIPTION).exists() else place
    names = sorted({p.name for home in homes if home.is_dir() for p in home.iterdir() if p.is_dir()})
    raise UnknownModelError(
        f"no model {str(name_or_path)!r}: expected a model directory or one of {', '.join(names) or '(none shipped)'} "
        f"(names are looked up in {', '.join(str(home) for home in homes)})"
    )


def save_checkpoint(
    directory: str | Path,
    model: SequenceVAE,
    vocabulary_file: str | Path,
    info: Mapping[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a model directory: weights (stored as `dtype`), description with their sha256, and vocabulary.

    The description is written last, so a directory without a fitting one is recognised as unfinished.
    """
    base = Path(directory)
    base.mkdir(parents=True, exist_ok=True)
    with atomic_path(base / VOCABULARY) as path:
        shutil.copyfile(vocabulary_file, path)
    weights = {name: value.detach().to("cpu", dtype).contiguous() for name, value in model.state_dict().items()}
    with atomic_path(base / WEIGHTS) as path:
        save_file(weights, path)
        shutil.copymode(base / VOCABULARY, path)  # safetensors makes files that nobody else may read
    description = {
        "format_version": FORMAT_VERSION,
        "spec": model.spec.model_dump(),
        "n_tokens": model.n_tokens,
        "sha256": {name: sha256_file(base / name) for name in (WEIGHTS, VOCABULARY)},
        **info,
    }
    write_json(base / DESCRIPTION, description)


def read_description(directory: str | Path) -> dict[str, Any]:
    """What a model directory says of its model.

    Raises:
        CheckpointError: the file is missing, damaged, or of another format version.
    """
    with _readable(base := Path(directory)):
        info: dict[str, Any] = read_json(base / DESCRIPTION)
        if info["format_version"] != FORMAT_VERSION:
            raise CheckpointError(
                f"{base}: format version {info['format_version']}, this molvae reads {FORMAT_VERSION}; update molvae"
            )
    return info


def load_checkpoint(directory: str | Path, device: torch.device | str = "cpu") -> tuple[SequenceVAE, dict[str, Any]]:
    """The model in evaluation mode, and its description.

    Raises:
        CheckpointError: a file is missing, damaged, or of another format version.
    """
    info = read_description(directory)
    with _readable(base := Path(directory)):
        for name in (WEIGHTS, VOCABULARY):
            if sha256_file(base / name) != info["sha256"][name]:
                raise CheckpointError(
                    f"{base / name} is damaged (its sha256 differs from {DESCRIPTION}); fetch it again"
                )
        model = SequenceVAE(VAESpec.model_validate(info["spec"]), info["n_tokens"])
        weights = load_file(base / WEIGHTS, device="cpu")
        model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.to(device).eval(), info


@contextmanager
def _readable(base: Path) -> Iterator[None]:
    """Say as a CheckpointError what goes wrong while a model directory is read."""
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(f"{base}: not a model directory, {Path(error.filename).name} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError, ValidationError) as error:
        raise CheckpointError(f"{base}: cannot be read as a model ({error}); fetch or train it again") from error
