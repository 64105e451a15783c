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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from molvae.core.errors import ConfigError
from molvae.core.files import nan_as_none
from molvae.core.manifest import versions
from molvae.workers.crew import Task
from molvae.workers.database import connect, engine_options
from molvae.workers.spec import postgresql_address

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy import Engine

    from molvae.workers.lock import StudyLock

log = logging.getLogger(__name__)

TERMS, OVER, SEARCH = "terms", "over", "search"  # attributes of the study
LOST, ROW = "lost", "row"  # attributes of a trial: how many workers were lost with it, and all its numbers


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


def terms_of(attributes: Mapping[str, Any]) -> Terms:
    """What the coordinator told the workers, from the attributes of its study.

    Raises:
        ConfigError: it is told in words that this version does not know.
    """
    try:
        return Terms(**attributes[TERMS])
    except TypeError:
        raise ConfigError(
            f"the study's coordinator runs another version of molvae than this one ({versions()['molvae']}); "
            "install the same everywhere"
        ) from None


class SharedStudy:
    """One study in the database, as coordinator and workers use it.

    Raises (from every method): optuna.exceptions.StorageInternalError, sqlalchemy.exc.DBAPIError: the database is out
    of reach; see `persistently`. KeyError: the study was deleted.
    """

    def __init__(self, storage: RDBStorage, name: str) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)  # in an outage it would show its SQL
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
                self.beat(trial._trial_id)
                if self.storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return trial._trial_id, trial.user_attrs["smiles"]
            except UpdateFinishedTrialError:
                continue
        return None

    def beat(self, trial_id: int) -> None:
        """Say that whoever scores this molecule is alive."""
        try:
            self.storage.record_heartbeat(trial_id)
        except AssertionError:  # deleted in the middle of it
            raise KeyError(f"trial {trial_id}") from None

    def finish(self, trial_id: int, row: Sequence[float]) -> bool:
        """Write a molecule's numbers, objectives first, NaN for none; False where another was first, whose stay."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        values = list(row[: len(self._study.directions)])
        try:
            self.storage.set_trial_user_attr(trial_id, ROW, nan_as_none(list(row)))
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
    address: str, name: str, terms: Terms, search: str, fresh: bool, lock: StudyLock, n_objectives: int = 1
) -> SharedStudy:
    """Create the study or take it up again.

    Args:
        search: what tells this search from others, such as the hash of its config.
        fresh: begin anew; what is in the study is lost.
        lock: held.

    Raises:
        ConfigError: the study belongs to another search, or the tables to another version of Optuna.
    """
    import optuna

    with lock.alone():
        storage = _storage(address, terms, create=True)
    try:
        refuse_foreign(address, name)
        if fresh:
            _delete(storage, name)
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
        storage.engine.dispose()
        raise
    return study


def refuse_foreign(address: str, name: str) -> None:
    """Make sure that a study, if it is there, is a search of molvae, before anything is written to it or deleted.

    Raises:
        ConfigError: it is something else.
    """
    from sqlalchemy import inspect, text

    engine = connect(address)
    query = (
        "SELECT 1 FROM studies s WHERE s.study_name = :name"
        " AND EXISTS (SELECT 1 FROM trials t WHERE t.study_id = s.study_id)"
        " AND NOT EXISTS (SELECT 1 FROM study_user_attributes a WHERE a.study_id = s.study_id AND a.key = :search)"
    )
    try:
        with engine.connect() as connection:
            if (
                inspect(connection).has_table("study_user_attributes")
                and connection.execute(text(query), {"name": name, "search": SEARCH}).scalar()
            ):
                raise ConfigError(
                    f"the study {name!r} in the storage is no search of molvae; choose another search.distributed.study"
                )
    finally:
        engine.dispose()


def _delete(storage: RDBStorage, name: str) -> None:
    """Delete a study with all that belongs to it, if it is there, while workers may be writing to it.

    Optuna's own `delete_study` gives up, in silence, where a worker writes a heartbeat or a score meanwhile. Here all
    rows that such a write refers to are locked first: it waits, and then finds nothing.
    """
    from optuna.storages._rdb.models import BaseModel, StudyModel, TrialModel
    from sqlalchemy import select

    studies, trials = StudyModel.__table__, TrialModel.__table__
    with storage.engine.begin() as connection:
        named = select(studies.c.study_id).where(studies.c.study_name == name)
        study = connection.execute(named.with_for_update()).scalar()
        if study is None:
            return
        connection.execute(select(trials.c.trial_id).where(trials.c.study_id == study).with_for_update())
        its_trials = select(trials.c.trial_id).where(trials.c.study_id == study)
        for table in reversed(BaseModel.metadata.sorted_tables):
            if "trial_id" in table.c and table is not trials:
                connection.execute(table.delete().where(table.c.trial_id.in_(its_trials)))
            elif "study_id" in table.c:
                connection.execute(table.delete().where(table.c.study_id == study))


def open_as_worker(engine: Engine, address: str, name: str | None) -> SharedStudy | None:
    """The study, once its coordinator has made it; None before. Without a name, the only one that is not over.

    Raises:
        ConfigError: there are several, and no name was given.
    """
    from sqlalchemy import inspect, text

    with engine.connect() as connection:
        if not inspect(connection).has_table("study_user_attributes"):
            return None
        query = (
            "SELECT s.study_name, a.key, a.value_json FROM studies s JOIN study_user_attributes a USING (study_id)"
            " WHERE a.key IN (:terms, :over)"
        )
        found: dict[str, dict[str, Any]] = {}
        for study, key, value in connection.execute(text(query), {"terms": TERMS, "over": OVER}):
            found.setdefault(study, {})[key] = json.loads(value)
    at_work = sorted(study for study, attributes in found.items() if TERMS in attributes and not attributes.get(OVER))
    if name is None and len(at_work) > 1:
        raise ConfigError(f"the storage holds several studies; choose one with --study: {', '.join(at_work)}")
    chosen = name if name is not None else next(iter(at_work), None)
    if chosen is None or TERMS not in found.get(chosen, {}):
        return None
    return SharedStudy(_storage(address, terms_of(found[chosen]), create=False), chosen)


def _storage(address: str, terms: Terms, create: bool) -> RDBStorage:
    import warnings

    import optuna

    full = postgresql_address(address)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of heartbeats
        try:
            return optuna.storages.RDBStorage(
                full.replace("{", "{{").replace("}", "}}"),  # Optuna formats it
                engine_kwargs=engine_options(full),
                heartbeat_interval=terms.heartbeat_seconds,
                grace_period=terms.grace_seconds,
                skip_table_creation=not create,
            )
        except RuntimeError as error:
            raise ConfigError(
                f"the storage's tables are those of another version of Optuna than this one ({optuna.__version__}): "
                f"{str(error).splitlines()[0]}"
            ) from None
