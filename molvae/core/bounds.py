"""Bounds that do not hang on a last digit.

A sum over atoms ends in other digits in another order of the atoms: a TPSA of 88.58 is 88.58000000000001 now and then.
A molecule at a bound is within it in any order, if values are compared with what lies just beyond.
"""

from __future__ import annotations

from typing import TypeVar

from molvae.core.arrays import Array

Bound = TypeVar("Bound", float, Array)


def just_below(bound: Bound) -> Bound:
    """The least that counts as at least `bound`."""
    return bound - _slack(bound)


def just_above(bound: Bound) -> Bound:
    """The most that counts as at most `bound`."""
    return bound + _slack(bound)


def _slack(bound: Bound) -> Bound:
    return 1e-9 * abs(bound) + 1e-12
