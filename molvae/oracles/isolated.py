"""Any oracle, made fit to score several molecules at once, each in a process of its own."""

from __future__ import annotations

from molvae.core.errors import ConfigError
from molvae.oracles.command import CommandOracle
from molvae.oracles.isolation import ParallelOracle
from molvae.oracles.oracle import ComponentOf, Minimised, Oracle, Stacked, within
from molvae.oracles.wrappers import BudgetedOracle, CachedOracle


def isolated(oracle: Oracle, workers: int, timeout_seconds: float, reports: bool = False) -> Oracle:
    """The same oracle, to be called by `workers` threads at once: each molecule in a process of its own.

    What is isolated already keeps its own time-out; a cache stays outside, shared by all. Several oracles side by side
    go to one process together, unless one of them is such.

    Args:
        reports: components will be asked for after each score, and are to be kept.
    """
    if isinstance(oracle, CommandOracle):  # every call starts the program
        return oracle
    if isinstance(oracle, BudgetedOracle):
        raise ConfigError(
            "expected an oracle without a budget of its own, which processes cannot share; budget the search"
        )
    if isinstance(oracle, CachedOracle):
        return CachedOracle(isolated(oracle.inner, workers, timeout_seconds, reports), oracle.path)
    if isinstance(oracle, Minimised):
        return Minimised(isolated(oracle.inner, workers, timeout_seconds, reports))
    if isinstance(oracle, ParallelOracle):
        return ParallelOracle(oracle.inner, workers, oracle.timeout_seconds, reports=reports)
    if isinstance(oracle, Stacked) and not _travels(oracle):
        reporting = [part.inner for part in oracle.inner if isinstance(part, ComponentOf)]
        alone = {
            id(part): isolated(part, workers, timeout_seconds, reports or any(part is each for each in reporting))
            for part in oracle.inner
            if not isinstance(part, ComponentOf)
        }
        parts = [
            ComponentOf(alone[id(part.inner)], part.name) if isinstance(part, ComponentOf) else alone[id(part)]
            for part in oracle.inner
        ]
        return Stacked(parts, oracle.name, oracle.objectives)
    return ParallelOracle(oracle, workers, timeout_seconds, reports=reports)


def _travels(oracle: Oracle) -> bool:
    """Whether an oracle can be sent to a process: nothing in it has processes, time-outs or files of its own."""
    return not any(isinstance(each, CommandOracle | CachedOracle | ParallelOracle) for each in within(oracle))
