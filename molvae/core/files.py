"""Files that are either whole or absent.

Everything molvae writes goes to a temporary sibling, is synced, and is renamed into place, so that a full disk or a
killed process never leaves half a file under the final name.
"""

from __future__ import annotations

import codecs
import fcntl
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from molvae.core.errors import ConfigError

# in a run directory, and in a prepared one, which has a vocabulary besides, as a model has
CONFIG, EVENTS, METRICS, MANIFEST = "config.resolved.toml", "events.jsonl", "metrics.json", "manifest.json"
VOCABULARY = "vocabulary.json"
JOURNAL, STATE, CHUNKS = "journal.log", "resume/state.pt", ".prepare"  # of a search, a training run, unfinished data
MOLECULES, LATENT, DIVERSE, REPORT = "molecules.parquet", "latent.parquet", "diverse.csv", "report.html"  # of a search

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # the first two bytes of a text that is no UTF-8


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary sibling of `path` to write to; sync and rename it on success, remove it on failure."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON atomically; NaN and infinities are refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def nan_as_none(value: Any) -> Any:
    """A value for JSON: None in place of NaN and infinities, which it has not; in lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: nan_as_none(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [nan_as_none(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def none_as_nan(value: Any) -> Any:
    """Numbers that were written with `nan_as_none`, as floats, in lists and dictionaries too."""
    if isinstance(value, dict):
        return {key: none_as_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [none_as_nan(each) for each in value]
    return math.nan if value is None else float(value)


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sha256_text(text: str) -> str:
    """Hex SHA-256 of a string's UTF-8 bytes."""
    return hashlib.sha256(text.encode()).hexdigest()


def append_event(path: str | Path, event: dict[str, Any]) -> None:
    """Append one JSON object as a line (the `events.jsonl` of a run); a line torn by a kill is cut off first."""
    line = json.dumps(event, allow_nan=False) + "\n"
    with open(path, "ab+") as handle:
        if handle.seek(0, os.SEEK_END) > 0:
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                handle.seek(0)
                handle.truncate(handle.read().rfind(b"\n") + 1)
        handle.write(line.encode())


def read_events(path: str | Path) -> list[dict[str, Any]]:
    """Read an events file; a last line torn by a kill is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    events = []
    for number, line in enumerate(lines):
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            if number + 1 < len(lines):
                raise
    return events


def in_use(directory: str | Path) -> bool:
    """Whether another process holds a run directory; see `exclusive`."""
    try:
        with exclusive(directory):
            return False
    except ConfigError:
        return True


@contextmanager
def exclusive(directory: str | Path, lock: str = ".lock") -> Iterator[None]:
    """Hold a run directory for this process, so that two runs never write to it at once; a killed process frees it.

    Args:
        directory: made if it is not there.
        lock: name of the file in it that is locked; another one holds a part of the directory.

    Raises:
        ConfigError: another process holds it.
    """
    path = Path(directory) / lock
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{directory} is in use by another run; wait for it, stop it, or choose another run directory"
            ) from error
        yield
