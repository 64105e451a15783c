"""The right to coordinate a study: for one process at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from molvae.core.errors import ConfigError, Interrupted
from molvae.workers.database import connect, persistently

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger(__name__)

FREED_SECONDS = 60.0  # after so long the server has noticed that our broken connection is gone, and frees its lock


class StudyLock:
    """PostgreSQL's advisory lock on a study's name, held on a connection of its own until `close` or the process ends.

    An outage that breaks the connection, or a restart of the server, frees it; `hold` takes it again.

    Args:
        longest_gap: seconds; where `hold` was not called for longer, an outage may have been missed.
        patience: seconds for which the database may be out of reach at first.
        stopped: while the database or the lock is out of reach, whether to wait no longer.

    Raises:
        ConfigError: another coordinator has it.
        MolvaeError: the database cannot be reached; Interrupted where `stopped` said so.
    """

    def __init__(
        self,
        address: str,
        name: str,
        longest_gap: float,
        patience: float = 30.0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._engine, self._name, self._longest_gap, self._stopped = connect(address), name, longest_gap, stopped
        self._connection: Connection | None = None
        self._since = self._seen = time.monotonic()
        try:
            if not persistently(self._take, patience, stopped):
                raise self._taken()
        except BaseException:
            self.close()
            raise

    @property
    def steady_seconds(self) -> float:
        """For how long the database has been in reach without a break, as far as this process knows."""
        return self._seen - self._since

    def hold(self) -> None:
        """Make sure that the lock is held.

        Raises:
            sqlalchemy.exc.DBAPIError: the database is out of reach.
            ConfigError: another coordinator took the lock meanwhile.
            Interrupted: `stopped` says not to wait for the lock.
        """
        if not self._answers():
            self._take_again()
            self.unsteady()
        elif time.monotonic() - self._seen > self._longest_gap:
            self.unsteady()
        self._seen = time.monotonic()

    def _answers(self) -> bool:
        """Whether the connection that has the lock is there still."""
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        if self._connection is None:
            return False
        try:
            self._connection.execute(text("SELECT 1"))
        except DBAPIError:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None
            return False
        return True

    def _take_again(self) -> None:
        deadline = time.monotonic() + FREED_SECONDS
        while not self._take():
            if self._stopped():
                raise Interrupted("stopped while another process had the study's lock")
            if time.monotonic() > deadline:
                raise self._taken()
            time.sleep(0.5)
        log.warning("the connection to the storage was lost; the study %r has been taken up again", self._name)

    def _take(self) -> bool:
        """Whether this process has the lock now."""
        from sqlalchemy import text

        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            # a coordinator whose machine is gone must not hold the lock for the two hours that TCP waits by default
            for setting in ("idle = 20", "interval = 5", "count = 3"):
                connection.execute(text(f"SET tcp_keepalives_{setting}"))
            took = text("SELECT pg_try_advisory_lock(hashtext(:name))")
            if not connection.execute(took, {"name": f"molvae {self._name}"}).scalar():
                connection.close()
                return False
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return True

    def _taken(self) -> ConfigError:
        return ConfigError(
            f"the study {self._name!r} has a coordinator already; stop it, or choose another search.distributed.study"
        )

    def unsteady(self) -> None:
        """The database failed at something; what came before says nothing of now."""
        self._since = self._seen = time.monotonic()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While entered, no other coordinator of any study makes tables."""
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        assert self._connection is not None
        self._connection.execute(text("SELECT pg_advisory_lock(hashtext('molvae creates tables'))"))
        try:
            yield
        finally:
            with suppress(DBAPIError):  # where the connection broke, its locks are free
                self._connection.execute(text("SELECT pg_advisory_unlock(hashtext('molvae creates tables'))"))

    def close(self) -> None:
        """Let another coordinator in."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._engine.dispose()
