"""The examples in docstrings."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ("core", "chem", "tokens", "data", "oracles")
MODULES = sorted(
    f"molvae.{package}.{path.stem}"
    for package in PACKAGES
    for path in (Path(__file__).parents[1] / "molvae" / package).glob("*.py")
    if path.stem not in ("__init__", "worker")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
