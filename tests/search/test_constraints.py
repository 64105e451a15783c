"""Constraints that nothing can meet, or that name what is not there, are mistakes of the config, with their key."""

from __future__ import annotations

import re
from typing import Any

import pytest

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError
from molvae.search.config import SearchSpec


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
    ],
)
def test_an_impossible_constraint_is_told_with_its_key(constraint: dict[str, Any], message: str) -> None:
    fine = {"kind": "window", "name": "mw", "high": 400.0}
    with pytest.raises(ConfigError, match=rf"^a\.toml: constraints\.1: .*{re.escape(message)}"):
        parse_config({"constraints": [fine, constraint]}, SearchSpec, "a.toml")
