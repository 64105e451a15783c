"""Oracles in processes of their own: one molecule that crashes, hangs or eats the memory is NaN, and the run goes on.

Each worker is a plain subprocess (`worker.py`) that is sent the oracle once and then SMILES; a worker that dies or
overstays is ended with all it has started and replaced: it is asked to go, so that it ends external programs, which
lead sessions of their own, and killed if it does not. This is not `multiprocessing` on purpose: forking a process that
has threads or CUDA is unsafe, and spawning runs the user's script a second time unless it has a `__main__` guard.
"""

from __future__ import annotations

import json
import logging
import math
import os
import queue
import select
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, final

import numpy as np

from molvae.chem.reading import as_list
from molvae.core.errors import ConfigError, OracleError
from molvae.oracles.functions import pickled
from molvae.oracles.oracle import FloatArray, Oracle, Wrapped, forget_oldest, log_failure, unscored, within
from molvae.oracles.wrappers import BudgetedOracle, CachedOracle

log = logging.getLogger(__name__)

_WORKER = Path(__file__).with_name("worker.py")
_START_SECONDS = 120.0  # importing torch on a cold, loaded machine takes a while
_END_SECONDS = 2.0  # for closing the oracle; one that hangs outside Python does not hear that it should


class _Failed(Exception):
    """The worker gave no answer; the message says why."""


class LineReader:
    """Lines from a file descriptor, each within a time limit."""

    def __init__(self, descriptor: int, longest: int = 64 << 20) -> None:
        self.descriptor, self.longest = descriptor, longest
        self._buffer = bytearray()

    def line(self, seconds: float) -> bytes | None:
        """The next line without its end; the unfinished rest at the end of the stream; None when that is over.

        When no time is left, only lines that have been read already are given.

        Raises:
            TimeoutError: no complete line came in time.
            ValueError: a line is longer than `longest` bytes.
        """
        deadline = time.monotonic() + seconds
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > self.longest:
                raise ValueError(f"a line of more than {self.longest} bytes")
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.descriptor], [], [], left)[0]:
                raise TimeoutError
            piece = os.read(self.descriptor, 1 << 16)
            if not piece:
                rest, self._buffer = bytes(self._buffer), bytearray()
                return rest or None
            self._buffer += piece
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


def kill_group(process: subprocess.Popen[Any]) -> int:
    """End a process that leads its own session, with everything that it started; returns its exit status."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # already gone
        process.kill()
    return process.wait()


def _end(workers: Sequence[subprocess.Popen[Any]]) -> None:
    """End workers with everything that they have started: they close their oracles, or are killed."""
    deadline = time.monotonic() + _END_SECONDS
    for process in workers:
        process.terminate()
    for process in workers:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))
        kill_group(process)


class _Worker:
    """One subprocess holding the oracle."""

    def __init__(self, payload: bytes) -> None:
        # A session of its own: Ctrl-C in the terminal reaches the run, which decides; and children die with the worker.
        self.process = subprocess.Popen(
            [sys.executable, str(_WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._stdin, self._reader = self.process.stdin, LineReader(self.process.stdout.fileno())
        self._finalizer = weakref.finalize(self, _end, [self.process])
        header = json.dumps({"bytes": len(payload), "path": sys.path}).encode()
        try:
            self._stdin.write(header + b"\n" + payload)
            self._stdin.flush()
            answer = self._answer(_START_SECONDS)
        except (_Failed, OSError) as error:
            self.close()
            raise OracleError(f"an oracle's process did not start: {error}") from None
        if "fatal" in answer:
            self.close()
            raise OracleError(f"an oracle could not be set up in its own process: {answer['fatal']}")

    def score(self, smiles: list[str], seconds: float, reports: bool) -> dict[str, Any]:
        """The worker's answer to one request.

        Raises:
            _Failed: it died or did not answer in time; the worker is of no more use.
        """
        try:
            request = {"smiles": smiles, "seconds": seconds, "reports": reports}
            self._stdin.write(json.dumps(request).encode() + b"\n")
            self._stdin.flush()
        except OSError:
            raise _Failed(self._how_it_died()) from None
        return self._answer(seconds)

    def _answer(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._reader.line(seconds)
        except TimeoutError:
            raise _Failed(f"no answer within {seconds:g} s") from None
        if line is None:
            raise _Failed(self._how_it_died())
        return json.loads(line)

    def _how_it_died(self) -> str:
        try:
            status = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "its process closed its output"
        return f"its process died ({signal.Signals(-status).name if status < 0 else f'exit status {status}'})"

    def close(self) -> None:
        self._finalizer()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):  # what was left to write to a dead process
                    stream.close()


@final
class ParallelOracle(Wrapped):
    """Another oracle, run in `workers` processes with a time-out for each molecule.

    A molecule on which the oracle crashes, hangs or raises is NaN, and is logged; the others are not touched. Values
    and order are the same for any number of workers. Several threads may call it at once; they share
    the workers.

    Args:
        inner: the oracle; it is sent to the workers once.
        workers: processes.
        timeout_seconds: longest time for one molecule.
        chunk: molecules sent at once. Above 1 the time-out is that of the chunk (timeout_seconds times its size), and
            the molecules of a chunk that fails are tried again one by one.
        reports: components are those told with the scores of the latest molecules, so that nothing costly is computed
            twice, and nothing in this process; NaN for molecules that were not scored.

    Raises:
        ConfigError: an impossible number, or something in `inner` that would not be the same in several processes: a
            budget, a cache, or processes of its own.
    """

    def __init__(
        self,
        inner: Oracle,
        workers: int = 1,
        timeout_seconds: float = 60.0,
        chunk: int = 1,
        reports: bool = False,
    ) -> None:
        if workers < 1 or chunk < 1 or not (timeout_seconds > 0 and math.isfinite(timeout_seconds)):
            raise ConfigError(
                "expected workers >= 1, chunk >= 1 and a finite timeout_seconds > 0, "
                f"got {workers}, {chunk} and {timeout_seconds}"
            )
        _check_travels(inner)
        super().__init__(inner)
        self.workers, self.timeout_seconds, self.chunk = workers, timeout_seconds, chunk
        self.reports, self._reported = reports, dict[str, dict[str, float]]()
        self._payload = pickled(inner)
        self._idle: queue.SimpleQueue[_Worker | None] = queue.SimpleQueue()
        for _ in range(workers):
            self._idle.put(None)  # started when first needed
        self._live: set[_Worker] = set()
        self._stopping = False

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        smiles = as_list(smiles)
        chunks = [smiles[start : start + self.chunk] for start in range(0, len(smiles), self.chunk)]
        if not chunks:
            return unscored(0, self.n_objectives)
        if self.workers == 1 or len(chunks) == 1:
            return np.concatenate([self._score(chunk) for chunk in chunks])
        try:
            with ThreadPoolExecutor(self.workers) as threads:
                jobs = [threads.submit(self._score, chunk) for chunk in chunks]
                try:
                    return np.concatenate([job.result() for job in jobs])
                except BaseException:  # Ctrl-C: do not wait for what hangs
                    self._stop()
                    raise
        finally:
            self._stopping = False

    def _score(self, smiles: list[str]) -> FloatArray:
        """One chunk; never raises on account of a molecule."""
        if self._stopping:
            return unscored(len(smiles), self.n_objectives)
        worker = self._idle.get()
        try:
            if worker is None:
                worker = _Worker(self._payload)
                self._live.add(worker)
                if self._stopping:  # it was not yet among the living when `_stop` looked
                    raise _Failed("stopped")
            answer = worker.score(smiles, self.timeout_seconds * len(smiles), self.reports)
            reason = answer.get("error")
        except _Failed as failure:
            self._discard(worker)
            worker, reason = None, str(failure)
        except BaseException:  # Ctrl-C between question and answer: the next line would be this chunk's
            self._discard(worker)
            worker = None
            raise
        finally:
            self._idle.put(worker)
        if reason is None:
            for line in answer["log"]:
                log.warning("%s", line)
            self._keep(smiles, answer.get("components", {}))
            return np.asarray(answer["values"], dtype=float)
        if self._stopping:
            return unscored(len(smiles), self.n_objectives)
        if len(smiles) == 1:
            log_failure(self.name, smiles[0], reason)
            return unscored(1, self.n_objectives)
        log.warning("oracle %s: %d molecules together failed (%s); trying each alone", self.name, len(smiles), reason)
        return np.concatenate([self._score([each]) for each in smiles])

    def _keep(self, smiles: list[str], components: dict[str, list[float]]) -> None:
        """Remember what was reported of molecules, and forget the oldest."""
        if components:
            for index, each in enumerate(smiles):
                self._reported[each] = {name: column[index] for name, column in components.items()}
        forget_oldest(self._reported)

    def _discard(self, worker: _Worker | None) -> None:
        if worker is not None:
            self._live.discard(worker)
            worker.close()

    def _stop(self) -> None:
        """Let every molecule that is being scored, or waits in a call under way, be NaN at once."""
        self._stopping = True
        _end([worker.process for worker in list(self._live)])

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        if not self.reports:
            return super().components(smiles)
        known = [self._reported.get(each, {}) for each in as_list(smiles)]
        return {name: np.array([each.get(name, np.nan) for each in known]) for name in self.inner.components([])}

    def close(self) -> None:
        """End the processes, and calls of other threads with them; calling the oracle again starts new ones."""
        self._stop()
        for worker in [self._idle.get() for _ in range(self.workers)]:
            self._discard(worker)
            self._idle.put(None)
        self._stopping = False
        super().close()


def _check_travels(oracle: Oracle) -> None:
    """Refuse what has to stay in one process, however deep inside; see `ParallelOracle`."""
    for each in within(oracle):
        if isinstance(each, ParallelOracle):
            raise ConfigError(
                f"oracle {each.name} runs in processes of its own already, as a function does without isolate=False; "
                "say there how many `workers`"
            )
        if isinstance(each, BudgetedOracle | CachedOracle):
            kind = type(each).__name__
            raise ConfigError(
                f"oracle {each.name}: a {kind} cannot be shared by other processes; put it outside: "
                f"{kind}(ParallelOracle(...), ...)"
            )
