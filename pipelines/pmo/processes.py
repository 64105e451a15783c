"""Every job in a fresh process of its own: its peak memory is the job's, and when it dies, only this job is lost."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from molvae.core.errors import ConfigError, MolvaeError
from molvae.data.workers import follow_parent

Job = TypeVar("Job")
Result = TypeVar("Result")

GRACE_SECONDS = 5.0  # for a job to save its state when all are stopped


class Died(MolvaeError):
    """The process of a job ended without a result."""


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], at_once: int
) -> Generator[tuple[Job, Result | MolvaeError], None, None]:
    """Do the jobs, `at_once` of them at the same time; each comes with its result, or with why there is none.

    When the caller stops early, by an exception or otherwise, the running processes get SIGTERM, and a little later
    SIGKILL. They end by themselves when this process is killed.

    Args:
        work: has to be importable (a module's function, or a partial of one), as its results have to be picklable.
    """
    if at_once < 1:
        raise ConfigError(f"expected at least one process, got {at_once}")
    waiting, running = deque(jobs), dict[Connection, tuple[Any, Job]]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job = waiting.popleft()
                receiver, process = _start(work, job)
                running[receiver] = process, job
            for ready in wait(list(running)):
                process, job = running.pop(ready)  # type: ignore[call-overload]
                yield job, _result(ready, process)  # type: ignore[arg-type]
    finally:
        _stop([process for process, _ in running.values()])


def _start(work: Callable[[Job], Result], job: Job) -> tuple[Connection, Any]:
    context = get_context("spawn")  # a fork of a process with threads can hang, and inherits its memory
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_do, args=(sender, os.getpid(), work, job))
    process.start()
    sender.close()  # or the end of the process would not be noticed
    return receiver, process


def _do(sender: Connection, parent: int, work: Callable[[Job], Result], job: Job) -> None:
    """What a process does; an error that is nobody's fault is sent, any other ends it with a traceback."""
    follow_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes: the parent decides
    try:
        outcome: Result | MolvaeError = work(job)
    except MolvaeError as error:
        outcome = error
    sender.send(outcome)


def _result(receiver: Connection, process: Any) -> Any:
    """What a process sent, or why it sent nothing."""
    try:
        return receiver.recv()
    except EOFError:
        process.join()
        return Died(f"its process ended with exit code {process.exitcode} and without a result")
    finally:
        receiver.close()
        process.join()


def _stop(processes: Sequence[Any]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(GRACE_SECONDS)
        process.kill()
        process.join()
