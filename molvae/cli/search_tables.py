"""What a finished search shows on the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from molvae.cli.tables import print_table
from molvae.core.files import METRICS, read_json
from molvae.core.progress import clock
from molvae.search.config import OptimiseConfig
from molvae.search.ledger import Record
from molvae.search.outputs import similarities_of
from molvae.search.plan import Plan
from molvae.search.result import Reason, SearchResult
from molvae.search.run import WARNINGS

LONGEST_FRONT = 30  # lines; the rest stands in molecules.csv and in the report


def print_result(result: SearchResult, spec: OptimiseConfig, run_dir: Path) -> None:
    """The ten best molecules or, of several objectives, the front; and a line on the whole run."""
    metrics = read_json(run_dir / METRICS)
    if result.several:
        _print_front(result)
        about = f"{metrics['front']} on the front, hypervolume {metrics['hypervolume']:.4f}"
        if metrics["reference"]:
            about += f" above ({', '.join(f'{v:.4g}' for v in metrics['reference'])})"
        about += ", "
    else:
        best = result.best_records(10)
        near = similarities_of([r.smiles for r in best], spec.search.constraints)
        rows = [
            (i + 1, r.value, *(column[i] for column in near.values()), r.call, r.proposer, r.smiles)
            for i, r in enumerate(best)
        ]
        print_table(("rank", "score", *near, "call", "proposed by", "molecule"), rows)
        about = f"AUC top-10 {metrics['auc_top10']:.4f}, " if "auc_top10" in metrics else ""
    print(f"{_counts(metrics)}, {about}seed {spec.seed}, run: {run_dir}")
    if metrics["failed"] and (run_dir / WARNINGS).exists():  # workers elsewhere say it on their own terminal
        print(f"why molecules failed: {run_dir / WARNINGS}")
    if result.reason == Reason.NOTHING_NEW:
        demands = " that meets the constraints" if spec.search.constraints else ""
        print(f"ended after {metrics['calls']:,} of {metrics['budget']:,} calls: no new molecule{demands} was found")


def print_rehearsal(planned: Plan, records: list[Record], spec: OptimiseConfig) -> None:
    """What a few molecules scored, and what a run would do."""
    rows = [(*r.scores, *r.outcomes.values(), _verdict(r), round(r.seconds, 3), r.smiles) for r in records]
    print_table((*planned.oracle.objectives, *records[0].outcomes, "feasible", "seconds", "molecule"), rows)
    calls, seconds = spec.search.budget, sum(r.seconds for r in records) / len(records)
    known = f", {len(planned.measured.smiles):,} measured ones" if planned.measured else ""
    print(f"dry run: no run was begun; molecules that a run begins with: {len(planned.start):,}{known}")
    print(f"{calls:,} calls of the oracle take about {clock(seconds * calls / spec.search.workers)}; proposals: on top")


def _verdict(record: Record) -> str:
    """Whether a molecule is feasible and, if not, which constraints it breaks."""
    broken = [name for name, amount in record.constraints.items() if amount > 0]
    return f"no: {', '.join(broken)}" if broken else "yes"


def _counts(metrics: dict[str, Any]) -> str:
    """How many molecules were scored and, where there are such, how many could not be, or break a constraint."""
    found = f"{metrics['calls'] - metrics['failed']:,} molecules scored"
    failed = f", {metrics['failed']:,} failed" if metrics["failed"] else ""
    infeasible = f", {metrics['infeasible']:,} infeasible" if metrics["infeasible"] else ""
    return found + failed + infeasible


def _print_front(result: SearchResult) -> None:
    """The front, by the first objective; an even selection of a long one."""
    front = result.pareto_records()
    shown = front[:: -(-len(front) // LONGEST_FRONT)] if front else []
    rows = [(*r.scores, r.call, r.proposer, r.smiles) for r in shown]
    print_table((*result.objectives, "call", "proposed by", "molecule"), rows)
    if len(shown) < len(front):
        print(f"{len(shown)} of {len(front)} molecules of the front, evenly chosen; all are in molecules.csv")
