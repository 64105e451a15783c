"""What every stage needs while it runs: versions, a device, progress, a way to be stopped, a manifest at the end."""

from __future__ import annotations

import _thread
import logging
import os
import platform
import re
import shlex
import signal
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from molvae.core.addresses import without_password
from molvae.core.errors import DataError, DeviceError
from molvae.core.files import MANIFEST, sha256_file, sha256_text, write_json

if TYPE_CHECKING:
    import torch

LOG_INTERVAL_SECONDS = 10.0
PACKAGES = (
    "molvae", "torch", "rdkit", "selfies", "numpy", "scipy", "pandas", "pyarrow", "safetensors",
    "botorch", "gpytorch", "optuna", "scikit-learn", "pydantic",
)  # fmt: skip


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


def usable_cpus() -> int:
    """Number of CPUs that this process may use (not how many the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def known_device(name: str) -> str:
    """The name of a device, checked without loading torch; whether it is there turns out where it is used.

    Raises:
        ValueError: there are no devices of that name.
    """
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d+)?", name):
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N")
    return name


def pick_device(name: str = "auto") -> torch.device:
    """The device to compute on.

    Args:
        name: "auto" (CUDA where it works, else the CPU), or a torch name such as "cpu", "cuda", "cuda:1".

    Raises:
        DeviceError: the device asked for is not there; the message says why.
    """
    import torch

    try:
        known_device(name)  # torch knows more names, such as xpu and meta
    except ValueError as error:
        raise DeviceError(str(error)) from None
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(f"device {name!r} asked for, but {why_no_cuda()}; device 'cpu' or 'auto' works here")
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise DeviceError(f"device {name!r} asked for, but there are only {torch.cuda.device_count()} CUDA devices")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps' asked for, but this machine has none; use 'cpu' or 'auto'")
    return device


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has matrix instructions for bfloat16, so that it pays."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return device.type == "cpu" and any(check is not None and check() for check in checks)


def why_no_cuda() -> str:
    """Why CUDA cannot be used, in words."""
    import torch

    if torch.version.cuda is None:
        return f"the installed torch {torch.__version__} is a build without CUDA (see https://pytorch.org/get-started)"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"torch {torch.__version__} (CUDA {torch.version.cuda}) says: {str(error).splitlines()[0]}"
    return "no CUDA device is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)"


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


# --- progress -------------------------------------------------------------------------------------------------------


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


# --- being stopped --------------------------------------------------------------------------------------------------


class StopFlag:
    """While entered, Ctrl-C and SIGTERM only set `stopped`; a second Ctrl-C raises KeyboardInterrupt.

    The loop looks at `stopped` between steps, saves its state and raises `Interrupted`. Outside the main thread, where
    Python allows no handlers, nothing is installed and `stopped` stays False.

    Args:
        signals: those to hear.
    """

    def __init__(self, *signals: int) -> None:
        self.stopped = False
        self._signals = signals or (signal.SIGINT, signal.SIGTERM)
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stopped and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.stopped:
            # os.write and not print: a handler may run in the middle of another print
            os.write(2, b"\nstopping after this step, the state will be saved (Ctrl-C again stops at once)\n")
        self.stopped = True


def receive_interrupts_in_a_thread() -> None:
    """Let a thread of its own receive SIGINT and hand it to Python's handler in the main thread; call it once, early.

    RDKit installs its own C handler for the time of a substructure search. A Ctrl-C at that moment never reaches
    Python, and worse, the search is cut short: a wrong score would be recorded. With the signal blocked in every thread
    but this one, RDKit's handler is never called. Threads made before keep their own mask, hence "early".
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return
    main = threading.get_ident()
    signal.signal(signal.SIGURG, lambda number, frame: None)  # only wakes the main thread from a blocking call
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def receive() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            _thread.interrupt_main(signal.SIGINT)
            signal.pthread_kill(main, signal.SIGURG)

    threading.Thread(target=receive, name="interrupts", daemon=True).start()


# --- manifest -------------------------------------------------------------------------------------------------------


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
        "command": without_password(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
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
