"""Constraints that nothing can meet are mistakes of the config, with their key; those that few meet are kept."""

from __future__ import annotations

import re
from typing import Any

import pytest
from search_molecules import METHOD, MOLECULES, Counting

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError
from molvae.search import optimise, propose
from molvae.search.config import SearchSpec
from molvae.search.methods import EvolutionSpec, MethodSpec


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"kind": "window", "name": "mw", "low": 5.0, "high": 1.0}, "a window on mw has low 5 above high 1"),
        ({"kind": "window", "name": "mw"}, "a window on mw needs low, high or both"),
        ({"kind": "window", "name": "logq", "low": 1.0}, "'logq'"),
        ({"kind": "similarity", "low": 0.6, "high": 0.4}, "expected 0 <= low <= high <= 1 for a similarity"),
        ({"kind": "similarity", "target": "C(C"}, "expected the SMILES of a molecule to be similar to, got 'C(C'"),
        ({"kind": "alerts", "catalogues": ["PAIN"]}, "unknown filter catalogue 'PAIN'; did you mean 'PAINS'?"),
        ({"kind": "substructures", "forbidden": ["[C"]}, "expected a SMARTS pattern, got '[C'"),
        ({"kind": "oracle", "name": "x", "component": "a", "low": 2.0, "high": 1.0}, "a window has low 2 above high 1"),
        ({"kind": "oracle", "name": "x", "component": "a"}, "a window needs low, high or both"),
        ({"kind": "substructures"}, "substructures need required, forbidden or both"),
    ],
)
def test_an_impossible_constraint_is_told_with_its_key(constraint: dict[str, Any], message: str) -> None:
    fine = {"kind": "window", "name": "mw", "high": 400.0}
    with pytest.raises(ConfigError, match=rf"^a\.toml: constraints\.1: .*{re.escape(message)}"):
        parse_config({"constraints": [fine, constraint]}, SearchSpec, "a.toml")


def test_the_key_is_named_where_a_kind_is_called_like_one_of_its_keys() -> None:
    mistakes = [
        ({"kind": "oracle", "name": "x", "oracle": {"kind": "named", "name": "qed"}, "hgh": 3.0}, "mean 'high'"),
        ({"kind": "oracle", "name": "x", "low": 1.0, "oracle": {"kind": "command", "command": "x", "timeout": 3}},
         "constraints.0.oracle.timeout: unknown key; did you mean 'timeout_seconds'"),
        ({"kind": "oracle", "name": "x", "low": 1.0,
          "oracle": {"kind": "command", "command": "x", "timeout_seconds": -1}},
         "constraints.0.oracle.timeout_seconds: should be greater than 0"),
    ]  # fmt: skip
    for constraint, message in mistakes:
        with pytest.raises(ConfigError, match=re.escape(message)):
            parse_config({"constraints": [constraint]}, SearchSpec, "a.toml")


NICOTINE = "CN1CCCC1c1cccnc1"
ITS_SCAFFOLD = {"kind": "scaffold", "target": NICOTINE}  # which none of the other molecules has


@pytest.mark.parametrize("method", [METHOD, EvolutionSpec(population=20)])
def test_what_breaks_a_constraint_is_not_built_on(method: MethodSpec) -> None:
    scored = Counting(lambda smiles: 0.1 if smiles == NICOTINE else 0.9 if smiles in MOLECULES else 0.5)
    found = optimise(scored, 30, start=MOLECULES, method=method, constraints=[ITS_SCAFFOLD])
    assert len(found.smiles) == 30
    assert all(record.feasible for record in found.records[len(MOLECULES) :])


def test_measured_molecules_that_break_a_constraint_are_not_built_on() -> None:
    data = {smiles: float(smiles != NICOTINE) for smiles in MOLECULES}
    assert len(propose(data, 4, method=METHOD, constraints=[ITS_SCAFFOLD])) == 4
    with pytest.raises(TypeError, match=r"got one string; write \[smiles\]"):
        propose(data, 4, method=METHOD, pending="CCO")
    with pytest.raises(ConfigError, match="seed: expected a whole number of at least 0, got -1"):
        propose(data, 4, seed=-1, method=METHOD)
