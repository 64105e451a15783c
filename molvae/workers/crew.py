"""What a search with many workers sees of them: molecules go in, scores come out, in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Task(NamedTuple):
    """A molecule to be scored.

    Attributes:
        smiles: canonical.
        proposer: what proposed it.
        constraints: amount by which each constraint is broken.
        told: how many scores were known when it was proposed.
    """

    smiles: str
    proposer: str
    constraints: Mapping[str, float] = {}
    told: int = 0


@dataclass(frozen=True)
class Scored:
    """A task that is done.

    Attributes:
        row: (K,) the values of all objectives, and behind them what the oracle says of constraints; NaN where it fails.
        seconds: the wall time it took.
    """

    task: Task
    row: list[float]
    seconds: float


class Crew(ABC):
    """Workers, however many and wherever they are. Use it as a context manager.

    A crew may know tasks and scores from an earlier, interrupted run: `pending` need not be empty at first.

    Attributes:
        in_order: scores are handed out one at a time, in the order in which tasks were submitted.
    """

    in_order = False

    @property
    @abstractmethod
    def pending(self) -> list[Task]:
        """Tasks whose score was not handed out yet, oldest first."""

    @property
    @abstractmethod
    def wanted(self) -> int:
        """How many more tasks would keep every worker busy."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether something is being scored that would be lost if this process ended."""

    @abstractmethod
    def submit(self, tasks: Sequence[Task]) -> None:
        """Take tasks on; none may be known already."""

    @abstractmethod
    def finished(self, seconds: float) -> list[Scored]:
        """What was scored since the last call; waits at most `seconds` for the first.

        Raises:
            OracleError: the oracle cannot be run at all.
        """

    @abstractmethod
    def pause(self) -> None:
        """Begin nothing new; what is being scored goes on."""

    @abstractmethod
    def dismiss(self) -> None:
        """The search is over: nobody needs to wait for more work."""

    @abstractmethod
    def close(self) -> None:
        """Give back all resources at once, whatever is being scored."""

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
