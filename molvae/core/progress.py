"""What a run says while it is at work: progress on the terminal, warnings in a file."""

from __future__ import annotations

import logging
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any

LOG_INTERVAL_SECONDS = 10.0


class Progress(ABC):
    """Counts work done; see `progress`."""

    @abstractmethod
    def advance(self, n: int = 1, **fields: Any) -> None:
        """Count `n` more units done; `fields` are shown beside the bar, numbers shortened."""


@contextmanager
def progress(total: int | None, description: str, unit: str = "items", done: int = 0) -> Iterator[Progress]:
    """Show progress on stderr: a bar on a terminal, else a plain line about every ten seconds; nothing where the
    package's messages are not wanted either (`--quiet`).

    Args:
        total: units of work in all, if known.
        description: what is being done, one or two words.
        unit: what is counted, in the plural.
        done: units done before, by a run that is resumed; they do not count for the speed.
    """
    if logging.getLogger("molvae").level > logging.INFO:
        yield SilentProgress()
        return
    if not sys.stderr.isatty():
        plain = PlainProgress(total, description, unit, done)
        yield plain
        plain.finish()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    with RichProgress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        yield TerminalProgress(bars, bars.add_task(description, total=total, completed=done, note=unit), unit)


class SilentProgress(Progress):
    """Shows nothing."""

    def advance(self, n: int = 1, **fields: Any) -> None:
        pass


class TerminalProgress(Progress):
    """A bar drawn by rich."""

    def __init__(self, bars: Any, task: Any, unit: str) -> None:
        self._bars, self._task, self._unit = bars, task, unit
        self._started, self._done = time.monotonic(), 0

    def advance(self, n: int = 1, **fields: Any) -> None:
        self._done += n
        rate = self._done / max(time.monotonic() - self._started, 1e-9)
        note = ", ".join([f"{rate:,.0f} {self._unit}/s", *_formatted(fields)])
        self._bars.update(self._task, advance=n, note=note)


class PlainProgress(Progress):
    """Lines on stderr, the first after LOG_INTERVAL_SECONDS: short work says nothing."""

    def __init__(self, total: int | None, description: str, unit: str, done: int = 0) -> None:
        self._total, self._description, self._unit = total, description, unit
        self._started = self._printed = time.monotonic()
        self._before = self._done = done
        self._fields: dict[str, Any] = {}
        self._lines = 0

    def advance(self, n: int = 1, **fields: Any) -> None:
        self._done += n
        self._fields = fields
        if time.monotonic() - self._printed >= LOG_INTERVAL_SECONDS:
            self._print()

    def finish(self) -> None:
        """Say the final count, if anything has been said before."""
        if self._lines:
            self._print()

    def _print(self) -> None:
        self._printed = now = time.monotonic()
        self._lines += 1
        rate = (self._done - self._before) / max(now - self._started, 1e-9)
        parts = [f"{self._done:,} {self._unit}", f"{rate:,.0f}/s"]
        if self._total:
            left_seconds = max(self._total - self._done, 0) / rate if rate else 0.0
            parts[0] = f"{self._done:,}/{self._total:,} {self._unit} ({self._done / self._total:.0%})"
            parts.append(f"{clock(left_seconds)} left")
        print(f"{self._description}: {', '.join([*parts, *_formatted(self._fields)])}", file=sys.stderr, flush=True)


def _formatted(fields: dict[str, Any]) -> list[str]:
    return [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in fields.items()]


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: "0:02:50"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def warnings_in(file: Path) -> Iterator[None]:
    """Write the package's warnings to a file as well, which is made with the first of them and appended to; also where
    it is removed meanwhile."""
    handler = WatchedFileHandler(file, encoding="utf-8", delay=True)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("molvae")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()
