"""The loop on top of ask and tell: score what is asked for, record it, tell it, until the budget is spent.

A search is a pure function of what it was told, and the ledger holds just that: resuming replays the ledger. A batch
that was cut short is asked for again, comes out the same, and the molecules already recorded are not scored again.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from molvae.core.errors import OracleError
from molvae.oracles.oracle import Oracle, finite_scores
from molvae.search.ask_tell import Search
from molvae.search.constraints import NONE, Constraints
from molvae.search.ledger import Ledger, Record
from molvae.search.proposals import Candidate
from molvae.search.result import Reason, SearchResult

log = logging.getLogger(__name__)

FAILURES = 30  # molecules without a single score, since a search began or was resumed, until its oracle is given up


def run_search(
    search: Search,
    oracle: Oracle,
    ledger: Ledger,
    *,
    budget: int,
    batch_size: int,
    batch_growth: float = 0.0,
    constraints: Constraints = NONE,
    on_batch: Callable[[list[Record]], None] = lambda records: None,
    stopped: Callable[[], bool] = lambda: False,
) -> SearchResult:
    """Search until `budget` distinct molecules are scored, nothing new is found, or `stopped` says so.

    Args:
        search: new, told nothing yet.
        ledger: what was scored before; it is replayed first.
        batch_growth: a batch has at least this share of the molecules scored so far.
        constraints: a molecule that breaks one is recorded as infeasible; the oracle's last columns tell those that
            are windows, the columns before are objectives.
        on_batch: called with the records of each finished batch, not with replayed ones.

    Raises:
        OracleError: the oracle returned something else than a score for each molecule.
    """
    unfinished = replay(search, ledger)
    while len(ledger) < budget:
        if stopped():
            return SearchResult.of(ledger, Reason.STOPPED)
        scored = len(ledger) - len(unfinished)
        room = min(max(batch_size, int(batch_growth * scored)), budget - scored)
        asked = unfinished[0].asked if unfinished else room
        candidates = search.ask(asked)
        if not candidates:
            return SearchResult.of(ledger, Reason.NOTHING_NEW)
        records = _finish_batch(search, asked, candidates, unfinished, oracle, ledger, constraints, budget)
        if records is None:  # a batch of a larger budget, which may be finished under one
            break
        unfinished = []
        search.tell([r.smiles for r in records], [r.told for r in records])
        on_batch(records)
    return SearchResult.of(ledger, Reason.BUDGET)


def is_hopeless(records: Sequence[Record], apart: Sequence[str]) -> bool:
    """Whether `FAILURES` molecules or more have come back, and an oracle could score none of them.

    Args:
        apart: the constraints that oracles of their own tell.
    """
    return len(records) >= FAILURES and _silent(records, apart) is not None


def require_a_score(records: Sequence[Record], apart: Sequence[str]) -> None:
    """Make sure that every oracle, also those of constraints (`apart`), could score some molecule.

    Raises:
        OracleError: one could score none.
    """
    if records and (silent := _silent(records, apart)) is not None:
        raise OracleError(f"{silent} could score none of {len(records)} molecules; its messages say why")


def _silent(records: Sequence[Record], apart: Sequence[str]) -> str | None:
    """The oracle that has told nothing of any molecule, in words; None where there is none such."""
    if not any(record.scored for record in records):
        return "the oracle"
    for name in apart:
        if not any(math.isfinite(record.outcomes.get(name, math.nan)) for record in records):
            return f"the oracle of the constraint {name!r}"
    return None


def replay(search: Search, ledger: Ledger) -> list[Record]:
    """Tell the search what the ledger holds; returns the records of a last batch that was cut short."""
    batches = ledger.batches()
    unfinished = batches.pop() if batches and len(batches[-1]) < batches[-1][0].size else []
    for records in batches:
        first = records[0]
        search.replay(first.asked, [r.smiles for r in records], [r.told for r in records], first.note)
    return unfinished


def _finish_batch(
    search: Search,
    asked: int,
    candidates: Sequence[Candidate],
    done: Sequence[Record],
    oracle: Oracle,
    ledger: Ledger,
    constraints: Constraints,
    budget: int,
) -> list[Record] | None:
    """Score and record the candidates that are not among the records `done`; returns the whole batch in order asked,
    or None where the budget ended within it."""
    known = {record.smiles: record for record in done}
    if not known.keys() <= {c.smiles for c in candidates}:
        log.warning("batch %d differs from the recorded one; keeping what was recorded", search.batch)
        candidates = [Candidate(r.smiles, r.proposer) for r in done]
    todo = [c for c in candidates if c.smiles not in known]
    whole, todo = len(todo) <= budget - len(ledger), todo[: budget - len(ledger)]
    rows, seconds = _scored(oracle, [c.smiles for c in todo])
    for candidate, row in zip(todo, rows, strict=True):
        record = constraints.record(
            row,
            constraints.broken(candidate.smiles),
            call=len(ledger) + 1,
            smiles=candidate.smiles,
            proposer=candidate.origin,
            batch=search.batch,
            asked=asked,
            size=len(candidates),
            seconds=seconds,
            note=[] if known else search.note,
        )
        ledger.add(record)
        known[record.smiles] = record
    return [known[c.smiles] for c in candidates] if whole else None


def _scored(oracle: Oracle, smiles: list[str]) -> tuple[list[list[float]], float]:
    """Rows of scores, infinities turned into NaN, and the wall time for each molecule in seconds."""
    if not smiles:
        return [], 0.0
    began = time.perf_counter()
    rows = finite_scores(oracle, smiles).reshape(len(smiles), -1)
    return rows.tolist(), (time.perf_counter() - began) / len(smiles)
