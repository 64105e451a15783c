"""What a search found, and the questions that are asked of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.core.errors import ConfigError
from molvae.search.diversity import select
from molvae.search.ledger import Ledger, Record
from molvae.search.metrics import auc_top
from molvae.search.pareto import front_mask, hypervolume, infer_reference

if TYPE_CHECKING:
    import pandas as pd

# Prefixes of columns of a table of molecules:
COMPONENT = "component:"  # what a score is made of
OBJECTIVE = "objective:"  # of several, beside which `value` is empty
OUTCOME = "outcome:"  # what an oracle said about a constraint
CONSTRAINT = "constraint:"  # by how much one is broken
SIMILARITY = "similarity:"  # what a constraint on similarity measures


class Reason(StrEnum):
    """Why a search ended, or that it has not."""

    BUDGET = "budget"
    NOTHING_NEW = "no new molecules"
    STOPPED = "stopped"
    GIVEN_UP = "oracle given up"
    AT_WORK = "at work"


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search found.

    Attributes:
        records: every distinct molecule scored, in call order.
        reason: why the search ended.
        objectives: their names.
    """

    records: tuple[Record, ...]
    reason: Reason
    objectives: tuple[str, ...] = ("value",)

    @classmethod
    def of(cls, ledger: Ledger, reason: Reason) -> SearchResult:
        """All that a ledger holds."""
        return cls(tuple(ledger.records), reason, ledger.objectives)

    def __repr__(self) -> str:
        lost = len(self.records) - sum(record.scored and record.feasible for record in self.records)
        counts = f"{len(self.records):,} molecules" + (f", {lost:,} of them failed or infeasible" if lost else "")
        if self.several:
            found = f"a front of {len(self.pareto_records())}"
        else:
            found = (
                ", ".join(f"best {value:.4g}: {smiles}" for smiles, value in self.best(1))
                or "none feasible with a score"
            )
        return f"<SearchResult: {counts}; {found}; ended: {self.reason}>"

    @property
    def several(self) -> bool:
        """Whether there are several objectives, and so a front in place of a best molecule."""
        return len(self.objectives) > 1

    def frame(self) -> pd.DataFrame:
        """A row for each molecule, in call order, as in the file `molecules.csv` of a run.

        Columns: call, smiles, value, proposer, seconds, feasible, batch; of several objectives each has one
        `objective:NAME`, `value` is empty, and `front` says what is on the front; then `outcome:NAME` of what an oracle
        tells of constraints, and `constraint:NAME`, the amount by which each is broken.
        """
        import pandas as pd

        names = ("call", "smiles", "value", "proposer", "seconds", "feasible", "batch")
        columns: dict[str, list[Any]] = {name: [getattr(r, name) for r in self.records] for name in names}
        if self.several:
            for q, objective in enumerate(self.objectives):
                columns[OBJECTIVE + objective] = [r.objectives[q] for r in self.records]
            front = {r.call for r in self.pareto_records()}
            columns["front"] = [r.call in front for r in self.records]
        first = self.records[0] if self.records else None
        for name in first.outcomes if first else ():
            columns[OUTCOME + name] = [r.outcomes.get(name, math.nan) for r in self.records]
        for name in first.constraints if first else ():
            columns[CONSTRAINT + name] = [r.constraints.get(name, math.nan) for r in self.records]
        return pd.DataFrame(columns)

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
            ConfigError: there are several objectives, and so no best but the front (see `pareto`); or n is below 1.
        """
        self._require_scores("best")
        _at_least_one("n", n)
        return [(record.smiles, record.value) for record in self.best_records(n)]

    def _require_scores(self, what: str) -> None:
        if self.several:
            raise ConfigError(f"{what}() needs one score a molecule, and there are several objectives; use pareto()")

    def best_records(self, n: int = 10) -> list[Record]:
        """The records of the `n` best feasible molecules, best first; the earlier call first among equals.

        Of several objectives: the first `n` of the front.
        """
        if self.several:
            return self.pareto_records()[:n]
        usable = [r for r in self.records if r.feasible and math.isfinite(r.value)]
        return sorted(usable, key=lambda r: (-r.value, r.call))[:n]

    def diverse(self, k: int = 10, distance: float = 0.6) -> list[tuple[str, float]]:
        """`k` good feasible molecules with their scores, best first, each at least `distance` from all others.

        Greedy: the best, then each next one that is not too near to those taken; fewer than `k` where no more are far
        enough. Distance is 1 - Tanimoto similarity of ECFP4 bits (radius 2, 2,048 of them).

        Raises:
            ConfigError: there are several objectives (see `diverse_records` for molecules of the front), or a number is
                impossible.
        """
        self._require_scores("diverse")
        _at_least_one("k", k)
        if not 0 <= distance <= 1:
            raise ConfigError(f"distance: expected a number from 0 to 1, got {distance}")
        return [(record.smiles, record.value) for record in self.diverse_records(k, distance)]

    def diverse_records(self, k: int = 10, distance: float = 0.6) -> list[Record]:
        """The records of `diverse`."""
        return select(self.best_records(len(self.records)), k, distance)

    @property
    def has_auc(self) -> bool:
        """Whether `auc_top` means anything: it counts failures as 0, which is to be the worst of scores."""
        return not (self.values < 0).any()

    def auc_top(self, k: int = 10, budget: int | None = None) -> float:
        """PMO's area under the top-k curve (see `metrics.auc_top`) of one objective; the budget defaults to the calls.

        An infeasible molecule counts like one that could not be scored, calls beyond the budget not at all.

        Raises:
            ConfigError: there are several objectives, or k is below 1.
        """
        self._require_scores("auc_top")
        _at_least_one("k", k)
        budget = budget or max(len(self.records), 1)
        return auc_top([r.value if r.feasible else math.nan for r in self.records[:budget]], k, budget)


def _at_least_one(name: str, number: int) -> None:
    if number < 1:
        raise ConfigError(f"{name}: expected a number of at least 1, got {number}")
