"""The coordinator's side of a shared study: a crew whose workers are processes on any number of machines."""

from __future__ import annotations

import logging
import math
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from molvae.core.errors import ConfigError
from molvae.core.files import none_as_nan
from molvae.workers.crew import Crew, Scored, Task
from molvae.workers.database import WORD_SECONDS, Result, persistently
from molvae.workers.lock import StudyLock
from molvae.workers.spec import DistributedSpec, postgresql_address, shown_address
from molvae.workers.study import OVER, ROW, Terms, open_as_coordinator, refuse_foreign

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
FEWEST_WAITING = 4  # molecules, before it shows how many workers there are


@dataclass(frozen=True)
class _State:
    """Trials by what is to be done about them."""

    waiting: list[FrozenTrial]
    running: list[FrozenTrial]
    finished: list[FrozenTrial]


class StudyCrew(Crew):
    """The workers of a shared study; they come and go.

    Everything lives in the database: a new coordinator finds what the old one left, scores that came in meanwhile
    included. A worker is lost that was silent for the spec's `grace_seconds` while the database was in reach.

    Args:
        spec: where the study is, its name, and when a worker counts as lost.
        terms: what the workers are to do.
        search: what tells this search from others, such as the hash of its config.
        objectives: how many of a molecule's numbers are to be maximised; the others are constrained.
        ahead: molecules waiting beyond those being scored; None keeps as many as are being scored, at least 4.
        fresh: begin anew; what is in the study is lost.
        known: whether a molecule's score is recorded already.
        stopped: while the database is out of reach, whether to wait no longer.

    Raises:
        ConfigError: see `open_as_coordinator`; another coordinator is at work (later, too: it took over in an outage).
        MolvaeError (later, too): the database cannot be reached; Interrupted where `stopped` said so.
    """

    def __init__(
        self,
        spec: DistributedSpec,
        terms: Terms,
        search: str,
        *,
        objectives: int = 1,
        ahead: int | None = None,
        fresh: bool = False,
        known: Callable[[str], bool] = lambda smiles: False,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self.spec, self.ahead, self._known, self._stopped = spec, ahead, known, stopped
        address, name = postgresql_address(spec.storage), spec.study
        if name is None:
            raise ConfigError("search.distributed.study: expected the study's name")
        self._numbers = objectives + len(terms.told)
        self._given_out: set[str] = set()  # scores that `finished` has returned
        self._looked_for_lost = self._idle_since = time.monotonic()
        self._lock = StudyLock(address, name, spec.grace_seconds, stopped=stopped)
        try:
            self.study = self._persistently(
                lambda: open_as_coordinator(address, name, terms, search, fresh, self._lock, objectives)
            )
            self._state = self._look()
        except BaseException:
            self._lock.close()
            raise

    def _persistently(self, action: Callable[[], Result]) -> Result:
        """What `action` returns, once the database is in reach and the study's lock held."""

        def under_lock() -> Result:
            self._lock.hold()
            try:
                return action()
            except Exception:
                self._lock.unsteady()
                raise

        return persistently(under_lock, stopped=self._stopped)

    def _look(self) -> _State:
        """What stands in the database now."""
        from optuna.trial import TrialState

        trials = self._persistently(self.study.trials)
        seen: set[str] = set()
        state: dict[TrialState, list[FrozenTrial]] = {kind: [] for kind in TrialState}
        for trial in trials:
            smiles = trial.user_attrs["smiles"]
            if smiles in seen or smiles in self._given_out or self._known(smiles):
                continue
            seen.add(smiles)  # a second trial for a molecule is possible only where the connection broke in `add`
            state[trial.state].append(trial)
        finished = [*state[TrialState.COMPLETE], *state[TrialState.FAIL]]
        return _State(state[TrialState.WAITING], state[TrialState.RUNNING], sorted(finished, key=_when))

    @property
    def pending(self) -> list[Task]:
        state = self._state
        trials = sorted([*state.finished, *state.running, *state.waiting], key=lambda trial: trial.number)
        return [_task(trial) for trial in trials]

    @property
    def wanted(self) -> int:
        ahead = max(FEWEST_WAITING, len(self._state.running)) if self.ahead is None else max(1, self.ahead)
        return max(0, ahead - len(self._state.waiting))

    @property
    def busy(self) -> bool:
        return False  # what is being scored goes on without the coordinator

    def submit(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._persistently(lambda task=task: self.study.add(task))  # type: ignore[misc]
        self._state = self._look()

    def finished(self, seconds: float) -> list[Scored]:
        deadline = time.monotonic() + seconds
        while True:
            self._rescue()
            self._state = self._look()
            self._say_if_idle()
            left = deadline - time.monotonic()
            if self._state.finished or left <= 0:
                break
            time.sleep(min(POLL_SECONDS, left))
        found = [_scored(trial, self._numbers) for trial in self._state.finished]
        self._given_out.update(done.task.smiles for done in found)
        self._state = _State(self._state.waiting, self._state.running, [])
        return found

    def _rescue(self) -> None:
        """Give the molecules of lost workers back, once a heartbeat.

        In an outage, and in one that ended before this coordinator began, no worker can say that it is alive; so each
        has time to be heard again.
        """
        if time.monotonic() - self._looked_for_lost < self.spec.heartbeat_seconds:
            return
        self._looked_for_lost = time.monotonic()
        self._persistently(self._give_back)

    def _give_back(self) -> None:
        if self._lock.steady_seconds > self.spec.grace_seconds:  # looked at anew where an outage came between
            self.study.give_back(self.spec.attempts)

    def _say_if_idle(self) -> None:
        """Ask for workers where nobody takes the molecules."""
        now = time.monotonic()
        if self._state.running or self._state.finished or not self._state.waiting:
            self._idle_since = now
        elif now - self._idle_since > WORD_SECONDS:
            storage = [] if self.spec.storage is None else ["--storage", shown_address(self.spec.storage)]
            command = ["molvae", "worker", *storage, "--study", str(self.spec.study)]
            log.warning("no worker takes the molecules that wait; start some: %s", shlex.join(command))
            self._idle_since = now

    def pause(self) -> None:
        """Nothing to do: the workers go on with what waits, and a new coordinator reads the scores."""

    def dismiss(self) -> None:
        self._persistently(lambda: self.study.say(**{OVER: True}))

    def close(self) -> None:
        self._lock.close()
        self.study.storage.engine.dispose()


def require_free(spec: DistributedSpec) -> None:
    """Make sure that a study can be begun anew, before anything is given up for it.

    Raises:
        ConfigError: it has a coordinator, or is no search of molvae.
        MolvaeError: the database cannot be reached.
    """
    address, name = postgresql_address(spec.storage), str(spec.study)
    lock = StudyLock(address, name, spec.grace_seconds, patience=5)
    try:
        persistently(lambda: refuse_foreign(address, name), 5)
    finally:
        lock.close()


def _when(trial: FrozenTrial) -> tuple[float, int]:
    return (trial.datetime_complete.timestamp() if trial.datetime_complete else math.inf, trial.number)


def _task(trial: FrozenTrial) -> Task:
    attributes = trial.user_attrs
    return Task(attributes["smiles"], attributes["proposer"], attributes["constraints"])


def _scored(trial: FrozenTrial, numbers: int) -> Scored:
    """What a worker wrote; nothing but NaN of a molecule that cost too many of them."""
    found = trial.user_attrs.get(ROW) or trial.values or [None] * numbers  # older workers wrote the values only
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    return Scored(_task(trial), none_as_nan(found), max(seconds, 0.0))
