"""The search that is planned, with or without workers: where a config and a call of Python come together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from molvae.core.errors import OracleError
from molvae.oracles.isolated import isolated
from molvae.search.asynchronous import run_with_crew, still_to_do
from molvae.search.config import SearchSpec
from molvae.search.constraints import asked_apart
from molvae.search.ledger import Ledger, Record
from molvae.search.loop import FAILURES, is_hopeless, run_search
from molvae.search.plan import Plan
from molvae.search.result import Reason, SearchResult
from molvae.workers.crew import Crew
from molvae.workers.local import LocalCrew


def conduct(
    planned: Plan,
    spec: SearchSpec,
    ledger: Ledger,
    on_batch: Callable[[list[Record]], None],
    stopped: Callable[[], bool],
    crew: Callable[[], Crew],
) -> SearchResult:
    """Search until the budget is spent, nothing new is found, `stopped` says so, or the oracle is given up.

    Args:
        on_batch: called with the records of each finished batch.
        crew: opens the workers, if `spec` asks for any.
    """
    known, given_up, apart = len(ledger), False, asked_apart(spec.constraints)

    def over() -> bool:
        nonlocal given_up
        given_up = given_up or is_hopeless(ledger.records[known:], apart)
        return given_up or stopped()

    how: dict[str, Any] = {
        "budget": spec.budget,
        "batch_size": spec.batch_size,
        "constraints": planned.rules,
        "on_batch": on_batch,
        "stopped": over,
    }
    if spec.with_crew:
        with crew() as workers:
            result = run_with_crew(planned.search, workers, ledger, **how)
    else:
        result = run_search(planned.search, planned.scorer, ledger, batch_growth=spec.batch_growth, **how)
    return replace(result, reason=Reason.GIVEN_UP) if given_up and result.reason == Reason.STOPPED else result


def refuse_given_up(result: SearchResult) -> None:
    """Make sure that the search did not end for want of an oracle that works.

    Raises:
        OracleError: it did.
    """
    if result.reason == Reason.GIVEN_UP:
        raise OracleError(
            f"the oracle, or one of a constraint, could score none of {FAILURES} molecules or more and was given up; "
            "its messages say why, and the same search goes on from there"
        )


def local_crew(planned: Plan, spec: SearchSpec, ledger: Ledger, file: Path | None) -> Crew:
    """Workers on this machine; a file keeps what they have to do."""
    scorer = isolated(planned.scorer, spec.workers, spec.timeout_seconds)
    still = still_to_do(ledger, spec.in_flight is not None)
    return LocalCrew(scorer, spec.workers, spec.ahead, spec.in_flight, file, still)
