"""Workers on this machine: a thread for each, which waits for an oracle in a process of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

from molvae.core.files import read_json, write_json
from molvae.oracles.oracle import Oracle, finite_scores
from molvae.workers.crew import Crew, Scored, Task


class LocalCrew(Crew):
    """`workers` molecules are scored at once.

    Args:
        oracle: can be called by several threads; see `isolated`.
        workers: how many.
        ahead: tasks wanted beyond those being scored, so that no worker waits for a proposal; the fewer, the better
            informed is each proposal. None takes as many as there are workers.
        in_flight: that many tasks are wanted in all, however many workers there are, and scores are handed out in the
            order of the tasks, so that a search goes the same way each time. Others wait for a task that takes long.
        file: keeps the pending tasks, so that a run that was killed scores them first; None keeps none.
        still: whether a task of the file is still to be done; its score may be recorded already.
    """

    def __init__(
        self,
        oracle: Oracle,
        workers: int,
        ahead: int | None = None,
        in_flight: int | None = None,
        file: Path | None = None,
        still: Callable[[Task], bool] = lambda task: True,
    ) -> None:
        self.oracle, self.workers, self.file, self.in_order = oracle, workers, file, in_flight is not None
        self._most = in_flight or workers + (workers if ahead is None else ahead)
        self._pending: dict[str, Task] = {}
        self._futures: dict[str, Future[None]] = {}
        self._results: queue.SimpleQueue[Scored | BaseException] = queue.SimpleQueue()
        self._waiting: dict[str, Scored] = {}  # scored, but not handed out yet
        self._paused, self._closed = threading.Event(), threading.Event()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="oracle")
        if file is not None and file.exists():
            self.submit([task for entry in read_json(file) if still(task := Task(*entry))])

    @property
    def pending(self) -> list[Task]:
        return list(self._pending.values())

    @property
    def wanted(self) -> int:
        return max(0, self._most - len(self._pending))

    @property
    def busy(self) -> bool:
        at_work = any(not future.done() for future in self._futures.values())
        return at_work or not self._results.empty() or bool(self._due)

    def submit(self, tasks: Sequence[Task]) -> None:
        self._pending.update({task.smiles: task for task in tasks})
        if self.file is not None:
            write_json(self.file, self.pending)
        for task in tasks:
            self._futures[task.smiles] = self._threads.submit(self._score, task)

    def _score(self, task: Task) -> None:
        """In a thread: score one molecule."""
        if self._paused.is_set():
            return
        began = time.perf_counter()
        try:
            row = finite_scores(self.oracle, [task.smiles]).reshape(-1).tolist()
        except BaseException as error:  # handed to the main thread, which ends the run
            self._results.put(error)
            return
        if not self._closed.is_set():  # else it was cut off, and NaN says nothing about the molecule
            self._results.put(Scored(task, row, time.perf_counter() - began))

    @property
    def _due(self) -> list[str]:
        """What may be handed out of all that is scored."""
        return [s for s in islice(self._pending, 1 if self.in_order else None) if s in self._waiting]

    def finished(self, seconds: float) -> list[Scored]:
        self._gather(0 if self._due else seconds)
        found = [self._waiting.pop(smiles) for smiles in self._due]
        for result in found:
            del self._pending[result.task.smiles], self._futures[result.task.smiles]
        return found

    def _gather(self, seconds: float) -> None:
        """Take in results; waits at most `seconds` for the first."""
        with suppress(queue.Empty):
            while True:
                result = self._results.get(timeout=seconds)
                if isinstance(result, BaseException):
                    if not self._due:
                        raise result
                    self._results.put(result)  # first what was scored
                    return
                self._waiting[result.task.smiles] = result
                seconds = 0

    def pause(self) -> None:
        self._paused.set()

    def dismiss(self) -> None:
        if self.file is not None:
            self.file.unlink(missing_ok=True)

    def close(self) -> None:
        self.pause()
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        while not all(future.done() for future in self._futures.values()):
            self.oracle.close()  # ends what is being scored; one may have begun meanwhile, hence again
            time.sleep(0.01)
        self._threads.shutdown()
        self.oracle.close()
