"""The loop with many workers: molecules are proposed while others are being scored, and told one by one as they come.

Proposals take into account what is on its way (`Search.ask(n, pending)`). What a run has recorded is replayed when it
is resumed, and what was pending comes first. The order in which scores come is up to the workers, so two runs differ;
unless the crew hands them out in the order in which they were asked for. Then a proposal knows as many scores as in any
other run, and a run that was stopped or killed goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable

from molvae.core.errors import Interrupted
from molvae.search.ask_tell import Search
from molvae.search.constraints import NONE, Constraints
from molvae.search.ledger import Ledger, Record
from molvae.search.loop import replay
from molvae.search.result import Reason, SearchResult
from molvae.workers.crew import Crew, Scored, Task

WAIT_SECONDS = 0.5  # between looks at whether to stop


def run_with_crew(
    search: Search,
    crew: Crew,
    ledger: Ledger,
    *,
    budget: int,
    batch_size: int,
    constraints: Constraints = NONE,
    on_batch: Callable[[list[Record]], None] = lambda records: None,
    stopped: Callable[[], bool] = lambda: False,
) -> SearchResult:
    """Search until `budget` distinct molecules are scored, nothing new is found, or `stopped` says so.

    Args:
        search: new, told nothing yet.
        crew: who scores; what it has pending from an earlier run is waited for like all else.
        ledger: what was scored before; it is replayed first.
        batch_size: molecules proposed at once, at most.
        others: see `run_search`.

    Raises:
        OracleError: the oracle cannot be run at all.
    """
    if cut_short := replay(search, ledger):  # a last batch, from before there were workers
        first = cut_short[0]
        search.replay(first.asked, [r.smiles for r in cut_short], [r.told for r in cut_short], first.note)
    desk = _Desk(search, ledger, budget, constraints, on_batch)
    try:
        reason = _work(desk, crew, batch_size, stopped)
    except Interrupted:  # the crew was out of reach, and is not waited for
        reason = Reason.STOPPED
    return SearchResult.of(ledger, reason)


def _work(desk: _Desk, crew: Crew, batch_size: int, stopped: Callable[[], bool]) -> Reason:
    """Ask and record until the end; why it came."""
    paused = False
    while desk.left:
        if not paused and stopped():
            crew.pause()
            paused = True
        if paused and not crew.busy:
            return Reason.STOPPED
        asked = desk.ask(crew, batch_size) if crew.in_order or not paused else 0
        if not (asked or crew.pending):
            crew.dismiss()
            return Reason.NOTHING_NEW
        if not (asked and crew.in_order):  # else a proposal would know what happens to be scored already
            desk.take(crew.finished(0.0 if asked else WAIT_SECONDS))
    crew.dismiss()
    return Reason.BUDGET


def still_to_do(ledger: Ledger, in_order: bool) -> Callable[[Task], bool]:
    """Whether a task from before a run was interrupted is to be done now.

    In order, what was proposed since the last record is proposed again, so that the search knows what it noted then.
    Without a record nothing is: all of it is proposed again, and the tasks may be those of another search.
    """
    known, last = {r.smiles for r in ledger.records}, len(ledger) - int(in_order)
    return lambda task: bool(known) and task.smiles not in known and task.told <= last


class _Desk:
    """Where asking and recording meet: a record says what was asked for since the one before."""

    def __init__(
        self,
        search: Search,
        ledger: Ledger,
        budget: int,
        constraints: Constraints,
        on_batch: Callable[[list[Record]], None],
    ) -> None:
        self.search, self.ledger, self.budget = search, ledger, budget
        self.constraints, self.on_batch = constraints, on_batch
        self._asked = 0

    @property
    def left(self) -> int:
        """Calls that may still be spent."""
        return max(0, self.budget - len(self.ledger))

    def ask(self, crew: Crew, batch_size: int) -> int:
        """Give the crew new molecules, as far as it wants any and the budget goes; how many.

        In order, scores come one by one, and only for a whole batch of them is it worthwhile to ask.
        """
        pending = [task.smiles for task in crew.pending]
        most = min(self.left - len(pending), batch_size)
        n = min(crew.wanted, most)
        if n <= 0 or (crew.in_order and pending and n < most):
            return 0
        self._asked = n
        found = self.search.ask(n, pending)
        if found:
            told = len(self.ledger)
            crew.submit([Task(c.smiles, c.origin, self.constraints.broken(c.smiles), told) for c in found])
        return len(found)

    def take(self, results: list[Scored]) -> None:
        """Record what was scored, as far as it is new and the budget goes, and tell it."""
        for done in results:
            smiles = done.task.smiles
            if smiles in self.search.values or not self.left:
                continue
            record = self.constraints.record(
                done.row,
                done.task.constraints,
                call=len(self.ledger) + 1,
                smiles=smiles,
                proposer=done.task.proposer,
                batch=self.search.batch,
                asked=self._asked,
                size=1,
                seconds=done.seconds,
                note=self.search.note,
            )
            self.ledger.add(record)
            self.search.tell([smiles], [record.told])
            self._asked = 0
            self.on_batch([record])
