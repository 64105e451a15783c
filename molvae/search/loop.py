"""The loop on top of ask and tell: score what is asked for, record it, tell it, until the budget is spent.

A search is a pure function of what it was told, and the ledger holds just that: resuming replays the ledger. A batch
that was cut short is asked for again, comes out the same, and the molecules already recorded are not scored again.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from molvae.chem.filters import Filter
from molvae.chem.molecules import parse
from molvae.core.errors import OracleError
from molvae.oracles.oracle import Oracle, finite_scores
from molvae.search.ask_tell import Search
from molvae.search.ledger import Ledger, Record
from molvae.search.outcomes import Window
from molvae.search.proposals import Candidate
from molvae.search.result import SearchResult

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
    constraints: Mapping[str, Filter] | None = None,
    windows: Mapping[str, Window] | None = None,
    on_batch: Callable[[list[Record]], None] = lambda records: None,
    stopped: Callable[[], bool] = lambda: False,
) -> SearchResult:
    """Search until `budget` distinct molecules are scored, nothing new is found, or `stopped` says so.

    Args:
        search: new, told nothing yet.
        ledger: what was scored before; it is replayed first.
        batch_growth: a batch has at least this share of the molecules scored so far.
        constraints: by name; a molecule that breaks one is recorded as infeasible.
        windows: by name, of the constraints that the oracle's last columns tell; the columns before are objectives.
        on_batch: called with the records of each finished batch, not with replayed ones.

    Raises:
        OracleError: the oracle returned something else than a score for each molecule.
    """
    demands = Demands(constraints or {}, windows or {})
    unfinished = replay(search, ledger)
    while len(ledger) - len(unfinished) < budget:
        if stopped():
            return SearchResult.of(ledger, "stopped")
        scored = len(ledger) - len(unfinished)
        room = min(max(batch_size, int(batch_growth * scored)), budget - scored)
        asked = unfinished[0].asked if unfinished else room
        candidates = search.ask(asked)
        if not candidates:
            return SearchResult.of(ledger, "no new molecules")
        records = _finish_batch(search, asked, candidates, unfinished, oracle, ledger, demands)
        unfinished = []
        search.tell([r.smiles for r in records], [r.told for r in records])
        on_batch(records)
    return SearchResult.of(ledger, "budget")


def is_hopeless(records: Sequence[Record]) -> bool:
    """Whether `FAILURES` molecules or more have come back, and not one with a score."""
    return len(records) >= FAILURES and not any(record.scored for record in records)


def require_a_score(records: Sequence[Record]) -> None:
    """Make sure that some molecule could be scored.

    Raises:
        OracleError: none could.
    """
    if records and not any(record.scored for record in records):
        raise OracleError(f"the oracle could score none of {len(records)} molecules; its messages say why")


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
    demands: Demands,
) -> list[Record]:
    """Score and record the candidates that are not among the records `done`; returns the whole batch in order asked."""
    known = {record.smiles: record for record in done}
    if not known.keys() <= {c.smiles for c in candidates}:
        log.warning("batch %d differs from the recorded one; keeping what was recorded", search.batch)
        candidates = [Candidate(r.smiles, r.proposer) for r in done]
    todo = [c for c in candidates if c.smiles not in known]
    rows, seconds = _scored(oracle, [c.smiles for c in todo])
    for candidate, row in zip(todo, rows, strict=True):
        record = Record(
            call=len(ledger) + 1,
            smiles=candidate.smiles,
            proposer=candidate.origin,
            batch=search.batch,
            asked=asked,
            size=len(candidates),
            seconds=seconds,
            note=[] if known else search.note,
            **demands.judged(row, demands.broken(candidate.smiles)),
        )
        ledger.add(record)
        known[record.smiles] = record
    return [known[c.smiles] for c in candidates]


def _scored(oracle: Oracle, smiles: list[str]) -> tuple[list[list[float]], float]:
    """Rows of scores, infinities turned into NaN, and the wall time for each molecule in seconds."""
    if not smiles:
        return [], 0.0
    began = time.perf_counter()
    rows = finite_scores(oracle, smiles).reshape(len(smiles), -1)
    return rows.tolist(), (time.perf_counter() - began) / len(smiles)


@dataclass(frozen=True)
class Demands:
    """What is demanded of a molecule: filters, and windows of the last numbers of its row."""

    filters: Mapping[str, Filter]
    windows: Mapping[str, Window]

    def broken(self, smiles: str) -> dict[str, float]:
        """How many reasons each filter has against a molecule."""
        mol = parse(smiles) if self.filters else None
        return {name: float(len(f.reasons(mol))) for name, f in self.filters.items()} if mol is not None else {}

    def judged(self, row: Sequence[float], broken: Mapping[str, float]) -> dict[str, Any]:
        """The fields of a record that say how good a molecule is.

        Args:
            row: what the oracle told, objectives first.
            broken: what the filters have against it.
        """
        n = len(row) - len(self.windows)
        outcomes = dict(zip(self.windows, row[n:], strict=True))
        outside = {name: self.windows[name].excess(value) for name, value in outcomes.items()}
        several = n > 1
        return {
            "value": math.nan if several else row[0],
            "objectives": list(row[:n]) if several else [],
            "outcomes": outcomes,
            "constraints": {**broken, **outside},
        }
