"""Any oracle, made fit to score several molecules at once, each in a process of its own."""

from __future__ import annotations

from molvae.core.errors import ConfigError
from molvae.oracles.command import CommandOracle
from molvae.oracles.components import External
from molvae.oracles.isolation import ParallelOracle
from molvae.oracles.objective import MoleculeOracle
from molvae.oracles.oracle import ComponentOf, Minimised, Oracle, Stacked, within
from molvae.oracles.wrappers import BudgetedOracle, CachedOracle


def isolated(oracle: Oracle, workers: int, timeout_seconds: float, reports: bool = False) -> Oracle:
    """The same oracle, to be called by `workers` threads at once: each molecule in a process of its own.

    What is isolated already keeps its own time-out; a cache stays outside, shared by all. Several oracles side by side
    go to one process together, unless one of them is such.

    Args:
        timeout_seconds: for a molecule, besides what the programs that an objective asks may take.
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
    return _in_processes(oracle, workers, timeout_seconds, reports)


def in_processes(oracle: Oracle, workers: int, timeout_seconds: float = 60.0) -> Oracle:
    """The same oracle, to be called once for many molecules, which processes share.

    Args:
        timeout_seconds: for a molecule, besides what external programs may take.
    """
    if isinstance(oracle, CachedOracle):
        return CachedOracle(in_processes(oracle.inner, workers, timeout_seconds), oracle.path)
    return _in_processes(oracle, workers, timeout_seconds)


def _in_processes(oracle: Oracle, workers: int, timeout_seconds: float, reports: bool = False) -> ParallelOracle:
    if isinstance(oracle, ParallelOracle):
        return ParallelOracle(oracle.inner, workers, oracle.timeout_seconds, oracle.chunk, reports)
    return ParallelOracle(oracle, workers, timeout_seconds + _of_programs(oracle), reports=reports)


def _of_programs(oracle: Oracle) -> float:
    """Seconds that the external programs of an oracle may take for one molecule, by their own time-outs."""
    programs = list[CommandOracle | External]()
    for each in within(oracle):
        if isinstance(each, CommandOracle):
            programs.append(each)
        elif isinstance(each, MoleculeOracle):
            programs += each.programs
    return sum(program.timeout_seconds for program in programs)


def _travels(oracle: Oracle) -> bool:
    """Whether an oracle can be sent to a process: nothing in it has processes, time-outs or files of its own."""
    return not any(isinstance(each, CommandOracle | CachedOracle | ParallelOracle) for each in within(oracle))
