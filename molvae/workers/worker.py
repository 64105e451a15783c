"""`molvae worker`: joins a shared study, scores one molecule after another, and goes when the study is over.

A worker needs the oracle only, no model: it takes what to score with from the study. So it runs whatever program the
study names; let only those write to the database whom you would let run programs.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from types import TracebackType

import rdkit
from pydantic import BaseModel

from molvae.core.config import parse_config
from molvae.core.errors import Interrupted
from molvae.oracles.config import OracleSpec
from molvae.oracles.isolated import isolated
from molvae.oracles.oracle import Oracle, finite_scores
from molvae.oracles.told import ToldSpec, telling
from molvae.workers.database import cause_of, connect, persistently
from molvae.workers.spec import postgresql_address, shown_address
from molvae.workers.study import OVER, SharedStudy, Terms, open_as_worker, terms_of

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class _Asked(BaseModel):
    oracle: OracleSpec
    told: tuple[ToldSpec, ...] = ()


def work(
    storage: str | None,
    study: str | None = None,
    idle_seconds: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Score molecules of a shared study until it is over, there was nothing to do for long, or `stopped` says so.

    Args:
        storage: see `DistributedSpec`.
        study: its name; None takes the only one that is not over, and waits until there is one.
        idle_seconds: leave after so long without work; None waits for ever.

    Returns:
        How many molecules were scored.

    Raises:
        ConfigError: the storage or the study cannot be used.
        OracleError: the oracle cannot be run on this machine; the molecule goes to another worker.
    """
    address = postgresql_address(storage)
    scored, since = 0, time.monotonic()
    log.info("worker %s: waiting for work at %s", _me(), shown_address(storage))
    with suppress(Interrupted):  # while the database was out of reach
        while not (stopped() or _idle(since, idle_seconds)):
            joined = _join(address, study, stopped)
            if joined is None:
                time.sleep(POLL_SECONDS)
                continue
            try:
                log.info("worker %s: joined the study %r", _me(), joined.name)
                for counts in _serve(joined, idle_seconds, stopped):
                    scored += counts
                log.info("worker %s: %d molecules scored", _me(), scored)
                break
            except KeyError:  # deleted by a coordinator that begins anew
                log.warning("worker %s: the study %r is gone; waiting for a new one", _me(), joined.name)
                since = time.monotonic()
            finally:
                joined.storage.engine.dispose()
    return scored


def _join(address: str, name: str | None, stopped: Callable[[], bool]) -> SharedStudy | None:
    engine = connect(address)
    try:
        return persistently(lambda: open_as_worker(engine, address, name), stopped=stopped)
    except KeyError:  # deleted by a coordinator that begins anew, while it was being opened
        return None
    finally:
        engine.dispose()


def _serve(study: SharedStudy, idle_seconds: float | None, stopped: Callable[[], bool]) -> Iterator[bool]:
    """Score what waits until the study is over; for each molecule, whether the score counts."""
    since, terms = time.monotonic(), None
    with ExitStack() as open_oracle:
        while not (stopped() or _idle(since, idle_seconds)):
            attributes = persistently(lambda: study.attributes, stopped=stopped)
            if terms != (told := terms_of(attributes)):  # at first, and when the coordinator began anew with others
                terms = told
                open_oracle.close()
                oracle = open_oracle.enter_context(_oracle(terms))
            claimed = persistently(study.claim, stopped=stopped)
            if claimed is not None:
                yield _score(study, oracle, *claimed, terms.heartbeat_seconds, stopped)
                since = time.monotonic()
            elif attributes.get(OVER):
                log.info("worker %s: the study %r is over", _me(), study.name)
                break
            else:
                time.sleep(POLL_SECONDS)


def _oracle(terms: Terms) -> Oracle:
    if terms.rdkit != rdkit.__version__:
        log.warning("RDKit %s here, %s at the coordinator: scores may differ", rdkit.__version__, terms.rdkit)
    asked = parse_config({"oracle": terms.oracle, "told": terms.told}, _Asked, "the study's oracle")
    return isolated(telling(asked.oracle.build(), asked.told), 1, terms.timeout_seconds)


def _score(
    study: SharedStudy,
    oracle: Oracle,
    trial_id: int,
    smiles: str,
    heartbeat_seconds: float,
    stopped: Callable[[], bool],
) -> bool:
    """Score one molecule and write it down; whether the score counts."""
    try:
        with Heartbeat(lambda: study.beat(trial_id), heartbeat_seconds):
            row = finite_scores(oracle, [smiles]).reshape(-1).tolist()
    except BaseException:  # Ctrl-C, or an oracle that does not run here
        persistently(lambda: study.release(trial_id), 10)
        raise
    counts = persistently(lambda: study.finish(trial_id, row), stopped=stopped)
    if not counts:
        log.warning("worker %s: %s was scored by another one meanwhile", _me(), smiles)
    return counts


class Heartbeat:
    """While entered, a thread calls `beat` every so many seconds; a beat that fails is only logged."""

    def __init__(self, beat: Callable[[], None], seconds: float) -> None:
        self._beat, self._seconds = beat, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._beat()
            except Exception as error:
                log.warning("no heartbeat (%s)", cause_of(error))

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


def _idle(since: float, idle_seconds: float | None) -> bool:
    return idle_seconds is not None and time.monotonic() - since > idle_seconds


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
