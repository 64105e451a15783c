"""The hash of a function: the same in every process, another one for whatever changes its values."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem

from molvae.oracles.codehash import code_hash

SCRIPT = """
import functools
import numpy as np
from rdkit import Chem
from molvae.oracles.functions import FunctionOracle

HALOGENS = {"F", "Cl", "Br", "I"}

def helper(smiles):
    return smiles in HALOGENS

def plain(smiles, floor=frozenset("abcdef")):
    return 1.0 if smiles in {"CCO", "CCN", "CCC", "CCF"} else float(helper(smiles))

class Scorer:
    halogens, sizes = HALOGENS, {"x", "y", "z"}
    helper = staticmethod(helper)
    score = classmethod(lambda cls, smiles: smiles in cls.sizes)
    heavy = property(lambda self: self.weight)
    def __init__(self, weight):
        self.weight, self.names = weight, {"x", "y", "z"}
    def __call__(self, smiles):
        return self.weight

def closure():
    target, weights = Chem.MolFromSmiles("CCO"), np.arange(3.0)
    return lambda smiles: target.GetNumAtoms() * weights[0]

for function in (plain, Scorer(2.0), functools.partial(plain, floor=3), closure(), Scorer(1.0).__call__, len):
    print(FunctionOracle(function).identity)
"""


def test_every_process_says_the_same(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    said = [
        subprocess.run(
            [sys.executable, script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]  # fmt: skip
    assert said[0] == said[1] == said[2]
    assert len(set(said[0].split("\n"))) == 7  # six oracles and the end


def with_default(smiles: str, weight: float = 1.0) -> float:
    return weight


class Scorer:
    def __init__(self, weight: Any) -> None:
        self.weight = weight

    def __call__(self, smiles: str) -> float:
        return float(self.weight)


def capturing(value: Any) -> Callable[[str], float]:
    return lambda smiles: float(value)


def having(value: Any) -> Callable[[str], float]:
    """An instance of a class that differs in an attribute."""
    return type("Having", (Scorer,), {"value": value, "__module__": __name__})(1.0)  # type: ignore[no-any-return]


PAIRS: list[tuple[Callable[..., float], Callable[..., float]]] = [
    (capturing(Chem.MolFromSmiles("CCO")), capturing(Chem.MolFromSmiles("CCN"))),
    (capturing(np.arange(3)), capturing(np.arange(1, 4))),
    (capturing({"a": 1, "b": {2, 3}}), capturing({"a": 1, "b": {2, 4}})),
    (capturing(capturing(1)), capturing(capturing(2))),
    (capturing((1, 2)), capturing([1, 2])),
    (capturing(1), capturing(True)),
    (Scorer(1.0), Scorer(2.0)),
    (partial(with_default, weight=1.0), partial(with_default, weight=2.0)),
    (having(1.0), having(2.0)),
    (having({"a", "b"}), having({"a", "c"})),
    (having(property(lambda self: 1.0)), having(property(lambda self: 2.0))),
    (having(staticmethod(lambda: 1.0)), having(staticmethod(lambda: 2.0))),
    (having(classmethod(lambda cls: 1.0)), having(classmethod(lambda cls: 2.0))),
    (lambda smiles: smiles.count("C"), lambda smiles: smiles.index("C")),
    (lambda smiles: PAIRS is None, lambda smiles: Scorer is None),
    (lambda smiles, weight=1.0: weight, lambda smiles, weight=2.0: weight),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_what_changes_values_changes_the_hash(pair: tuple[Callable[..., float], Callable[..., float]]) -> None:
    one, other = map(code_hash, pair)
    assert one != other
    assert [one, other] == [code_hash(function) for function in pair]


def test_cycles_end_and_what_cannot_be_pickled_is_its_type() -> None:
    ring: list[Any] = [1]
    ring.append(ring)
    assert code_hash(capturing(ring)) == code_hash(capturing(ring))

    def itself(smiles: str) -> float:
        return itself(smiles[1:]) if smiles else 0.0

    assert code_hash(itself) == code_hash(itself)
    assert code_hash(capturing(threading.Lock())) == code_hash(capturing(threading.Lock()))
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert code_hash(capturing(deep))
