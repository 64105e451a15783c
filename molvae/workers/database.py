"""The database that coordinator and workers share: how it is connected to, and how an outage is outlasted."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from molvae.core.addresses import masked, without_password
from molvae.core.errors import ConfigError, Interrupted, MolvaeError
from molvae.workers.spec import postgresql_address

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0  # how long a database may be out of reach before a process gives up
WORD_SECONDS = 60.0  # between two lines that say so
CONNECTION = {
    "connect_timeout": 10,
    # a machine or cable that falls silent is noticed within half a minute, instead of two hours
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# Optuna compares times without their zone; a PGTZ of one machine must not make its workers look dead
SESSION = "-c timezone=UTC"
# what the server says when it refuses a connection, and will refuse the next one too; there is no code for it
REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",  # role or database
    "permission denied",
    "invalid port number",
)

Result = TypeVar("Result")


def engine_options(address: str) -> dict[str, Any]:
    """What SQLAlchemy's `create_engine` is told beside the address, whose own settings come first."""
    import sqlalchemy

    theirs = sqlalchemy.make_url(address).query
    options = theirs.get("options", os.environ.get("PGOPTIONS", ""))
    connection = {key: value for key, value in CONNECTION.items() if key not in theirs}
    # Optuna keeps as many connections as its start needs at once; a server has a hundred for all
    pool = {"pool_pre_ping": True, "pool_size": 1, "max_overflow": 4}
    return {**pool, "connect_args": {**connection, "options": f"{options} {SESSION}".strip()}}


def connect(address: str) -> Engine:
    """A connection pool to the database; nothing is connected yet.

    Raises:
        ConfigError: the driver is missing, or the address cannot be read.
    """
    import sqlalchemy

    full = postgresql_address(address)
    try:
        return sqlalchemy.create_engine(full, **engine_options(full))
    except ModuleNotFoundError:
        raise ConfigError("PostgreSQL needs the driver psycopg: pip install 'molvae[distributed]'") from None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ConfigError(f"storage {masked(address)!r}: expected postgresql://USER@HOST/DATABASE") from None


def persistently(
    action: Callable[[], Result], seconds: float = PATIENCE_SECONDS, stopped: Callable[[], bool] = lambda: False
) -> Result:
    """What `action` returns, tried again while the database is out of reach.

    Raises:
        MolvaeError: it stayed out of reach for so many seconds, or refuses what is asked.
        Interrupted: it is out of reach, and `stopped` says to wait no longer.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    deadline, pause, said = time.monotonic() + seconds, 0.2, -math.inf
    while True:
        try:
            return action()
        except (StorageInternalError, DBAPIError) as error:
            cause, now = cause_of(error), time.monotonic()
            if now > deadline or _is_final(error):
                raise MolvaeError(
                    f"the storage cannot be used ({cause}); is the server running, and are user and database right?"
                ) from None
            if now - said >= WORD_SECONDS:
                log.warning("the storage is out of reach (%s); trying again", cause)
                said = now
            while time.monotonic() < now + pause:  # in short naps: a signal does not end a sleep
                if stopped():
                    raise Interrupted("stopped while the storage was out of reach") from None
                time.sleep(0.1)
            pause = min(2 * pause, 10.0)


def cause_of(error: BaseException) -> str:
    """The first line of what the driver says, without passwords."""
    from sqlalchemy.exc import PendingRollbackError

    below = error.__cause__ or error
    if isinstance(below, PendingRollbackError):
        return "the connection broke"
    said = str(below).strip().splitlines()
    return without_password(said[0]) if said else type(error).__name__


def _is_final(error: BaseException) -> bool:
    """Whether the database answers, and would answer the same next time."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DataError, NotSupportedError, ProgrammingError

    raised = error.__cause__ if isinstance(error, StorageInternalError) else error
    refused = isinstance(raised, (DataError, NotSupportedError, ProgrammingError))
    return refused or any(words in str(raised) for words in REFUSALS)
