"""What ran, on what: the manifest of a run, and the fingerprints and versions in it."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molvae.core.addresses import masked
from molvae.core.devices import usable_cpus
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import CHUNKS, JOURNAL, MANIFEST, STATE, read_json, sha256_file, sha256_text, write_json

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "molvae", "torch", "rdkit", "selfies", "numpy", "scipy", "pandas", "pyarrow", "safetensors",
    "botorch", "gpytorch", "optuna", "scikit-learn", "pydantic",
)  # fmt: skip


KINDS = {"prepare": "prepared data", "train": "a training run", "optimise": "a search"}
MARKS = {JOURNAL: "optimise", STATE: "train", CHUNKS: "prepare"}  # of what has no manifest yet


def check_kind(directory: str | Path, kind: str) -> None:
    """Refuse a directory that holds something else, which a run in it would overwrite.

    Raises:
        ConfigError: it does.
    """
    directory, held = Path(directory), None
    try:
        held = read_json(directory / MANIFEST)["kind"]
    except (OSError, ValueError, KeyError, TypeError):  # what is damaged is told by who reads it
        held = next((found for mark, found in MARKS.items() if (directory / mark).exists()), None)
    if held in KINDS and held != kind:
        raise ConfigError(f"{directory} holds {KINDS[held]}, not {KINDS[kind]}; choose another directory")


def write_manifest(
    run_dir: str | Path,
    *,
    kind: str,
    inputs: dict[str, Path],
    seed: int | None,
    device: torch.device | str,
    seconds: float,
    **extra: Any,
) -> Path:
    """Write `manifest.json`: what ran, on what, with which versions.

    Args:
        run_dir: the run's directory.
        kind: the stage, such as "prepare" or "optimise".
        inputs: name -> file or directory; each is recorded with its SHA-256.
        seed: the seed of the run, if it has one.
        device: what it ran on.
        seconds: wall time of the run (over all its parts, if it was resumed).
        extra: more JSON values to record.

    Raises:
        DataError: an input is not there.
    """
    path = Path(run_dir) / MANIFEST
    manifest = {
        "kind": kind,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "seed": seed,
        "device": str(device),
        "cpus": usable_cpus(),
        "platform": platform.platform(),
        "command": shlex.join([Path(sys.argv[0]).name, *map(masked, sys.argv[1:])]),
        "versions": versions(),
        "inputs": {name: {"path": str(p), "sha256": fingerprint(p)} for name, p in inputs.items()},
        **extra,
    }
    write_json(path, manifest)
    return path


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file, or of a directory: of its manifest.json or model.json, else of the names and hashes of all
    its files.

    The manifest of a prepared directory holds the hashes of its inputs and of its vocabulary, which decide its shards,
    but not those of the shards: a shard that is damaged later does not show.

    Raises:
        DataError: there is nothing at `path`.
    """
    path = Path(path)
    if path.is_file():
        return sha256_file(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such file or directory")
    for name in (MANIFEST, "model.json"):
        if (path / name).is_file():
            return sha256_file(path / name)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return sha256_text("\n".join(f"{file.relative_to(path)} {sha256_file(file)}" for file in files))


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide results; "not installed" where one is missing.

    Read from the packages' metadata: nothing is imported, and selfies 2.2.0 calls itself 2.1.1 in `__version__`.
    """
    from importlib import metadata  # a tenth of the time that `molvae --help` takes

    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
