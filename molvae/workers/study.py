"""The study that coordinator and workers share: Optuna's tables in PostgreSQL, one trial for each molecule.

A trial goes WAITING -> RUNNING -> COMPLETE or FAIL (FAIL: the oracle could not score it), and back from RUNNING to
WAITING when its worker is lost. Optuna changes a state under a row lock and never touches a finished trial
(`RDBStorage.set_trial_state_values`), so that one worker alone wins a molecule, and it is finished once: of a worker
that was thought dead and comes back late, and the one that took over, the first to finish counts. That is why lost
work goes back in place and not by Optuna's `RetryHeartbeatStaleTrialCallback`, which would make a second trial.

Optuna's heartbeats say which workers are lost; all times are the database's own.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from molvae.core.addresses import without_password
from molvae.core.errors import ConfigError, Interrupted, MolvaeError
from molvae.workers.crew import Task
from molvae.workers.spec import postgresql_address

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 300.0  # how long a database may be out of reach before a process gives up
WORD_SECONDS = 60.0  # between two lines that say so
TERMS, OVER, SEARCH = "terms", "over", "search"  # attributes of the study
LOST, ROW = "lost", "row"  # attributes of a trial: how many workers were lost with it, and all its numbers
ENGINE_OPTIONS: dict[str, Any] = {
    "pool_pre_ping": True,
    "connect_args": {
        "connect_timeout": 10,
        # Optuna compares times without their zone; a PGTZ of one machine must not make its workers look dead
        "options": "-c timezone=UTC",
        # a machine or cable that falls silent is noticed within half a minute, instead of two hours
        "keepalives_idle": 20,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    },
}

Result = TypeVar("Result")


@dataclass(frozen=True)
class Terms:
    """What a worker must know of the study.

    Attributes:
        oracle: the section [oracle] of the coordinator's config.
        told: what else is to be told of each molecule; see `ToldSpec`.
        timeout_seconds: longest time for one molecule.
        rdkit: the coordinator's version; another one may score differently.
        heartbeat_seconds, grace_seconds: see `DistributedSpec`.
    """

    oracle: dict[str, Any]
    timeout_seconds: float
    rdkit: str
    heartbeat_seconds: int
    grace_seconds: int
    told: list[dict[str, Any]] = field(default_factory=list)


def connect(address: str) -> Engine:
    """A connection pool to the database; nothing is connected yet.

    Raises:
        ConfigError: the driver is missing, or the address cannot be read.
    """
    import sqlalchemy

    try:
        return sqlalchemy.create_engine(postgresql_address(address), **ENGINE_OPTIONS)
    except ModuleNotFoundError:
        raise ConfigError("PostgreSQL needs the driver psycopg: pip install 'molvae[distributed]'") from None
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise ConfigError(f"storage {without_password(address)!r}: expected postgresql://USER@HOST/DATABASE") from None


def persistently(
    action: Callable[[], Result], seconds: float = PATIENCE_SECONDS, stopped: Callable[[], bool] = lambda: False
) -> Result:
    """What `action` returns, tried again while the database is out of reach.

    Raises:
        MolvaeError: it stayed out of reach for so many seconds.
        Interrupted: it is out of reach, and `stopped` says to wait no longer.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import DBAPIError

    deadline, pause, said = time.monotonic() + seconds, 0.2, -math.inf
    while True:
        try:
            return action()
        except (StorageInternalError, DBAPIError) as error:
            cause = without_password(str(error.__cause__ or error).strip().splitlines()[0])
            now = time.monotonic()
            if now > deadline:
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


class SharedStudy:
    """One study in the database, as coordinator and workers use it.

    Raises (from every method): optuna.exceptions.StorageInternalError, sqlalchemy.exc.DBAPIError: the database is out
    of reach; see `persistently`. KeyError: the study was deleted.
    """

    def __init__(self, storage: RDBStorage, name: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage, self.name = storage, name
        self.id = storage.get_study_id_from_name(name)
        # the study reads unfinished and new trials only, and remembers the others
        self._study = optuna.load_study(study_name=name, storage=storage, sampler=optuna.samplers.RandomSampler())

    @property
    def attributes(self) -> dict[str, Any]:
        """What the coordinator says about the study."""
        return self.storage.get_study_user_attrs(self.id)

    def say(self, **attributes: Any) -> None:
        """Set attributes of the study."""
        for key, value in attributes.items():
            self.storage.set_study_user_attr(self.id, key, value)

    @property
    def terms(self) -> Terms:
        """What a worker must know."""
        return Terms(**self.attributes[TERMS])

    def trials(self) -> list[FrozenTrial]:
        """All trials, oldest first; not to be changed."""
        return self._study.get_trials(deepcopy=False)

    # --- the coordinator's side ---

    def add(self, task: Task) -> None:
        """Offer a molecule to the workers."""
        from optuna.trial import TrialState, create_trial

        constraints = dict(task.constraints)
        # optuna-dashboard 0.21 reads only the old list of constraints
        old_list: dict[str, Any] = {"constraints": list(constraints.values())} if constraints else {}
        about = {"smiles": task.smiles, "proposer": task.proposer, "constraints": constraints}
        trial = create_trial(
            state=TrialState.WAITING, user_attrs=about, system_attrs=old_list, constraints=constraints or None
        )
        self.storage.create_new_trial(self.id, trial)

    def give_back(self, attempts: int) -> None:
        """Offer the molecules of lost workers again; those lost `attempts` times are failures."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        for trial_id in self.storage._get_stale_trial_ids(self.id):
            attributes = self.storage.get_trial(trial_id).user_attrs
            lost = attributes.get(LOST, 0) + 1
            again = lost < attempts
            try:
                self.storage.set_trial_user_attr(trial_id, LOST, lost)
                self.storage.set_trial_state_values(trial_id, TrialState.WAITING if again else TrialState.FAIL)
            except UpdateFinishedTrialError:  # it was not so dead
                continue
            fate = "another takes over" if again else f"given up after {lost} workers, recorded as a failure"
            log.warning("the worker that scored %s is lost; %s", attributes["smiles"], fate)

    # --- a worker's side ---

    def claim(self) -> tuple[int, str] | None:
        """Take a waiting molecule, for this worker alone: number of its trial, and SMILES; None where none waits."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        for trial in self.storage.get_all_trials(self.id, deepcopy=False, states=(TrialState.WAITING,)):
            try:
                # the heartbeat first: a worker killed right after its claim must be missed some time
                self.storage.record_heartbeat(trial._trial_id)
                if self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return trial._trial_id, trial.user_attrs["smiles"]
            except UpdateFinishedTrialError:
                continue
        return None

    def beat(self, trial_id: int) -> None:
        """Say that whoever scores this molecule is alive."""
        self.storage.record_heartbeat(trial_id)

    def finish(self, trial_id: int, row: Sequence[float]) -> bool:
        """Write a molecule's numbers, objectives first, NaN for none; False where another was first, whose stay."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        values = list(row[: len(self._study.directions)])
        try:
            self.storage.set_trial_user_attr(trial_id, ROW, [v if math.isfinite(v) else None for v in row])
            if all(map(math.isfinite, values)):
                self.storage.set_trial_state_values(trial_id, TrialState.COMPLETE, values)
            else:
                self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return False
        return True

    def release(self, trial_id: int) -> None:
        """Give a claimed molecule back unscored."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self.storage.set_trial_state_values(trial_id, TrialState.WAITING)
        except UpdateFinishedTrialError:
            return


def open_as_coordinator(
    address: str, name: str, terms: Terms, search: str, fresh: bool, n_objectives: int = 1
) -> tuple[SharedStudy, Engine]:
    """Create the study or take it up again; also what must be disposed of to let another coordinator in.

    Args:
        search: what tells this search from others, such as the hash of its config.
        fresh: begin anew; what is in the study is lost.

    Raises:
        ConfigError: the study belongs to another search, or another coordinator is at work.
    """
    import optuna

    lock = connect(address)
    try:
        with _only_coordinator(lock, name):
            storage = _storage(address, terms, create=True)
        if name in optuna.get_all_study_names(storage):
            _refuse_foreign(SharedStudy(storage, name))
        if fresh and name in optuna.get_all_study_names(storage):
            optuna.delete_study(study_name=name, storage=storage)
        directions = [optuna.study.StudyDirection.MAXIMIZE] * n_objectives
        optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)
        study = SharedStudy(storage, name)
        if study.attributes.get(SEARCH, search) != search:
            raise ConfigError(
                f"the study {name!r} in the storage belongs to a search with another config; "
                "choose another search.distributed.study, or --fresh to begin anew and lose it"
            )
        study.say(**{SEARCH: search, OVER: None, TERMS: asdict(terms)})
    except BaseException:
        lock.dispose()
        raise
    return study, lock


def _refuse_foreign(study: SharedStudy) -> None:
    """Make sure that a study is a search of molvae, before anything is written to it or deleted.

    Raises:
        ConfigError: it is something else.
    """
    if SEARCH not in study.attributes and study.storage.get_n_trials(study.id):
        raise ConfigError(
            f"the study {study.name!r} in the storage is no search of molvae; choose another search.distributed.study"
        )


@contextmanager
def _only_coordinator(lock: Engine, name: str) -> Iterator[None]:
    """Take the study's lock, which lasts until `lock` is disposed of or this process dies; while entered, no other
    process makes tables.

    Raises:
        ConfigError: another coordinator has it.
    """
    from sqlalchemy import text

    with persistently(lock.connect, 30) as connection:  # goes back to the pool, and stays open there, with its locks
        # a coordinator whose machine is gone must not hold the lock for the two hours that TCP waits by default
        for setting in ("idle = 20", "interval = 5", "count = 3"):
            connection.execute(text(f"SET tcp_keepalives_{setting}"))
        took = text("SELECT pg_try_advisory_lock(hashtext(:name))")
        if not connection.execute(took, {"name": f"molvae {name}"}).scalar():
            raise ConfigError(f"the study {name!r} has a coordinator already; stop it, or choose another study name")
        connection.execute(text("SELECT pg_advisory_lock(hashtext('molvae creates tables'))"))
        yield
        connection.execute(text("SELECT pg_advisory_unlock(hashtext('molvae creates tables'))"))
        connection.commit()


def require_reachable(address: str) -> None:
    """Make sure that the database answers, before anything is given up for it.

    Raises:
        MolvaeError: it does not.
    """
    engine = connect(address)
    try:
        persistently(engine.connect, 5).close()
    finally:
        engine.dispose()


def open_as_worker(engine: Engine, address: str, name: str | None) -> SharedStudy | None:
    """The study, once its coordinator has made it; None before. Without a name, the only one there is.

    Raises:
        ConfigError: there are several, and no name was given.
    """
    from sqlalchemy import inspect, text

    with engine.connect() as connection:
        if not inspect(connection).has_table("study_user_attributes"):
            return None
        query = (
            "SELECT s.study_name, a.value_json FROM studies s JOIN study_user_attributes a USING (study_id)"
            " WHERE a.key = :key"
        )
        found = {row[0]: row[1] for row in connection.execute(text(query), {"key": TERMS})}
    if name is None and len(found) > 1:
        raise ConfigError(f"the storage holds several studies; choose one with --study: {', '.join(sorted(found))}")
    chosen = name if name is not None else next(iter(found), None)
    if chosen is None or chosen not in found:
        return None
    return SharedStudy(_storage(address, Terms(**json.loads(found[chosen])), create=False), chosen)


def _storage(address: str, terms: Terms, create: bool) -> RDBStorage:
    import warnings

    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of heartbeats
        return optuna.storages.RDBStorage(
            postgresql_address(address),
            engine_kwargs=ENGINE_OPTIONS,
            heartbeat_interval=terms.heartbeat_seconds,
            grace_period=terms.grace_seconds,
            skip_table_creation=not create,
        )
