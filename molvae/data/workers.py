"""Batches of rows worked on by several processes: results in order, bounded memory, and one bad row loses only itself.

A row that crashes its worker (a fault inside RDKit) or never finishes is found by halving its batch; the batch is then
done without it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from molvae.core.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Sequence[Item], Mapping[int, str]], Result]

BASE_SECONDS = 20.0  # a batch may take this long, and so much more for each row (a normal one takes 0.0007 s)
SECONDS_PER_ROW = 0.02
START_SECONDS = 120.0


def map_batches(
    work: Work[Item, Result],
    batches: Iterable[tuple[int, Sequence[Item]]],
    workers: int,
    base_seconds: float = BASE_SECONDS,
    seconds_per_row: float = SECONDS_PER_ROW,
) -> Iterator[tuple[int, Result]]:
    """Apply `work` to every batch; results come in the order of the batches.

    Args:
        work: called as work(rows, refused), where `refused` maps positions of rows not to be touched to the reason;
            it has to be importable (a module's function, or a partial of one).
        batches: (index, rows); read only so far ahead that every worker is busy.
        workers: processes; 0 works in this process, without protection against crashes and hangs.
        base_seconds, seconds_per_row: the time limit of a batch.

    Raises:
        DataError: the worker processes cannot be started.
    """
    if workers == 0:
        for index, rows in batches:
            yield index, work(rows, {})
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    with ProcessPool(workers, initializer=follow_parent, initargs=[os.getpid()], context=context) as pool:
        try:
            _check_start(pool)
            limits = base_seconds, seconds_per_row
            yield from _in_order(pool, work, batches, 2 * workers, limits)
        except BrokenProcessPool as error:
            pool.stop()
            raise DataError(f"the worker processes were ended from outside ({error}; too little memory?)") from error
        except BaseException:
            pool.stop()
            raise


def _in_order(
    pool: ProcessPool,
    work: Work[Item, Result],
    batches: Iterable[tuple[int, Sequence[Item]]],
    ahead: int,
    limits: tuple[float, float],
) -> Iterator[tuple[int, Result]]:
    waiting: deque[tuple[int, Sequence[Item], Any]] = deque()
    for index, rows in batches:
        waiting.append((index, rows, _schedule(pool, work, rows, {}, limits)))
        if len(waiting) >= ahead:
            yield _finished(pool, work, *waiting.popleft(), limits)
    while waiting:
        yield _finished(pool, work, *waiting.popleft(), limits)


def _schedule(
    pool: ProcessPool, work: Any, rows: Sequence[Any], refused: Mapping[int, str], limits: tuple[float, float]
) -> Any:
    return pool.schedule(work, args=[rows, dict(refused)], timeout=limits[0] + limits[1] * len(rows))


def _finished(
    pool: ProcessPool, work: Any, index: int, rows: Sequence[Any], future: Any, limits: tuple[float, float]
) -> tuple[int, Any]:
    """The result of a batch, without the rows that kill or stop a worker."""
    refused: dict[int, str] = {}
    while True:
        try:
            return index, future.result()
        except (ProcessExpired, FutureTimeoutError) as error:
            position, reason = _culprit(pool, work, rows, refused, error, limits)
            if position is None:
                limits = 2 * limits[0], 2 * limits[1]  # a busy machine: or it would never end
            else:
                refused[position] = reason
            future = _schedule(pool, work, rows, refused, limits)


def _culprit(
    pool: ProcessPool,
    work: Any,
    rows: Sequence[Any],
    refused: Mapping[int, str],
    error: BaseException,
    limits: tuple[float, float],
) -> tuple[int | None, str]:
    """Find one row that fails by itself, by halving; None where no half fails again (the fault was a passing one)."""
    first, end = 0, len(rows)
    while end - first > 1:
        middle = (first + end) // 2
        for low, high in ((first, middle), (middle, end)):
            inside = {i - low: reason for i, reason in refused.items() if low <= i < high}
            try:
                _schedule(pool, work, rows[low:high], inside, limits).result()
            except (ProcessExpired, FutureTimeoutError) as again:
                first, end, error = low, high, again
                break
        else:
            return None, ""
    if isinstance(error, FutureTimeoutError):
        return first, "takes too long"
    return first, "crashes RDKit or SELFIES"


def _check_start(pool: ProcessPool) -> None:
    try:
        pool.schedule(os.getpid, timeout=START_SECONDS).result()
    except (ProcessExpired, FutureTimeoutError, BrokenProcessPool) as error:
        raise DataError(
            f"worker processes do not start ({error}); in a script of your own, call prepare under "
            "`if __name__ == '__main__':`, or use workers=0"
        ) from error


def follow_parent(parent: int) -> None:
    """End this worker when its parent is gone: a parent ended by `kill -9` cannot do it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
