"""Oracles: what says how good a molecule is. See `oracle` for making one and `oracle.Oracle` for what one is."""

from molvae.oracles.guacamol import PMO_TASKS
from molvae.oracles.isolation import ParallelOracle
from molvae.oracles.oracle import ComponentOf, Minimised, Oracle, Stacked
from molvae.oracles.registry import OracleInfo, list_oracles, oracle
from molvae.oracles.wrappers import BudgetedOracle, CachedOracle

__all__ = [
    "PMO_TASKS",
    "BudgetedOracle",
    "CachedOracle",
    "ComponentOf",
    "Minimised",
    "Oracle",
    "OracleInfo",
    "ParallelOracle",
    "Stacked",
    "list_oracles",
    "oracle",
]
