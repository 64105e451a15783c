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

import numpy as np

from molvae.chem.filters import Filter
from molvae.chem.molecules import parse
from molvae.core.errors import ConfigError
from molvae.oracles.oracle import Oracle, finite_scores
from molvae.search.ask_tell import Search
from molvae.search.diversity import select
from molvae.search.ledger import Ledger, Record
from molvae.search.metrics import auc_top
from molvae.search.outcomes import Window
from molvae.search.pareto import front_mask, hypervolume, infer_reference
from molvae.search.proposals import Candidate

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        records: every distinct molecule scored, in call order.
        reason: why the search ended: "budget", "no new molecules" or "stopped".
    """

    records: tuple[Record, ...]
    reason: str

    @property
    def smiles(self) -> list[str]:
        """Canonical SMILES in call order."""
        return [record.smiles for record in self.records]

    @property
    def values(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Scores in call order, (N,), or (N, Q) of several objectives; NaN where the oracle could not score."""
        rows = [record.objectives or record.value for record in self.records]
        return np.array(rows, dtype=np.float64)

    def pareto(self) -> list[tuple[str, tuple[float, ...]]]:
        """The feasible molecules that no other feasible one dominates, with their values; best first by objective."""
        return [(record.smiles, tuple(record.scores)) for record in self.pareto_records()]

    def pareto_records(self) -> list[Record]:
        """The records of `pareto`."""
        usable = [r for r in self.records if r.feasible and r.scored]
        if not usable:
            return []
        mask = front_mask(np.array([r.scores for r in usable], dtype=np.float64))
        front = [r for r, on_it in zip(usable, mask, strict=True) if on_it]
        return sorted(front, key=lambda r: ([-v for v in r.scores], r.call))

    def hypervolume(self, reference: Sequence[float] | None = None) -> float:
        """Volume that the feasible molecules dominate above a reference point (Q,); without one, see `infer_reference`.

        Raises:
            ConfigError: the point has another number of values than there are objectives.
        """
        front = np.array([r.scores for r in self.pareto_records()], dtype=np.float64)
        if not len(front):
            return 0.0
        if reference is not None and len(reference) != front.shape[1]:
            raise ConfigError(f"expected a reference point of {front.shape[1]} values, got {len(reference)}")
        return hypervolume(front, infer_reference(front) if reference is None else reference)

    def best(self, n: int = 10) -> list[tuple[str, float]]:
        """The `n` best feasible molecules with their scores, best first.

        Raises:
            ConfigError: there are several objectives, and so no best but the front; see `pareto`.
        """
        self._require_scores("best")
        return [(record.smiles, record.value) for record in self.best_records(n)]

    def _require_scores(self, what: str) -> None:
        if any(record.objectives for record in self.records):
            raise ConfigError(f"{what}() needs one score a molecule, and there are several objectives; use pareto()")

    def best_records(self, n: int = 10) -> list[Record]:
        """The records of the `n` best feasible molecules, best first; the earlier call first among equals.

        Of several objectives: the first `n` of the front.
        """
        if any(r.objectives for r in self.records):
            return self.pareto_records()[:n]
        usable = [r for r in self.records if r.feasible and math.isfinite(r.value)]
        return sorted(usable, key=lambda r: (-r.value, r.call))[:n]

    def diverse(self, k: int = 10, distance: float = 0.6) -> list[tuple[str, float]]:
        """`k` good feasible molecules with their scores, best first, each at least `distance` from all others.

        Greedy: the best, then each next one that is not too near to those taken; fewer than `k` where no more are far
        enough. Distance is 1 - Tanimoto similarity of ECFP4 bits (radius 2, 2,048 of them).

        Raises:
            ConfigError: there are several objectives; see `diverse_records` for molecules of the front.
        """
        self._require_scores("diverse")
        return [(record.smiles, record.value) for record in self.diverse_records(k, distance)]

    def diverse_records(self, k: int = 10, distance: float = 0.6) -> list[Record]:
        """The records of `diverse`."""
        return select(self.best_records(len(self.records)), k, distance)

    def auc_top(self, k: int = 10, budget: int | None = None) -> float:
        """PMO's area under the top-k curve (see `metrics.auc_top`) of one objective; the budget defaults to the calls.

        An infeasible molecule counts like one that could not be scored, calls beyond the budget not at all.
        """
        budget = budget or max(len(self.records), 1)
        return auc_top([r.value if r.feasible else math.nan for r in self.records[:budget]], k, budget)


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
            return SearchResult(tuple(ledger.records), "stopped")
        scored = len(ledger) - len(unfinished)
        room = min(max(batch_size, int(batch_growth * scored)), budget - scored)
        asked = unfinished[0].asked if unfinished else room
        candidates = search.ask(asked)
        if not candidates:
            return SearchResult(tuple(ledger.records), "no new molecules")
        records = _finish_batch(search, asked, candidates, unfinished, oracle, ledger, demands)
        unfinished = []
        search.tell([r.smiles for r in records], [r.told for r in records])
        on_batch(records)
    return SearchResult(tuple(ledger.records), "budget")


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
