"""Oracles that fail, and what a search makes of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from search_molecules import METHOD, MOLECULES, Counting, config

from molvae.core.config import parse_config
from molvae.core.errors import OracleError
from molvae.core.files import read_json
from molvae.search import optimise
from molvae.search.config import OptimiseConfig
from molvae.search.run import WARNINGS, run

DEAF = """
import json, sys
for line in sys.stdin:
    print(json.dumps({"smiles": line.strip(), "value": None}), flush=True)
"""


def test_failures_and_infinities_are_recorded_as_nan_and_the_search_goes_on() -> None:
    odd = {MOLECULES[0]: np.nan, MOLECULES[1]: np.inf, MOLECULES[2]: -np.inf}
    result = optimise(Counting(lambda s: odd.get(s, 1.0)), 20, start=MOLECULES[:6], method=METHOD)
    assert np.isnan(result.values[:3]).all()
    assert np.isfinite(result.values[3:]).all()
    assert not {s for s, _ in result.best(20)} & set(odd)


def test_everything_failing_still_ends() -> None:
    result = optimise(Counting(lambda s: np.nan), 15, start=MOLECULES[:6], method=METHOD)
    assert np.isnan(result.values).all()
    assert result.best() == []


def test_an_oracle_of_the_wrong_shape_is_an_error() -> None:
    with pytest.raises(OracleError, match="expected 5 scores"):
        optimise(Counting(lambda s: [1.0, 2.0]), 15, start=MOLECULES, batch_size=5, method=METHOD)


def test_an_oracle_that_scores_nothing_is_given_up(tmp_path: Path) -> None:
    deaf = {"kind": "command", "command": [sys.executable, "-c", DEAF]}
    spec = parse_config({**config(tmp_path, budget=1000).model_dump(mode="json"), "oracle": deaf}, OptimiseConfig)
    with pytest.raises(OracleError, match="could score none of 3[0-9] molecules"):
        run(spec, tmp_path / "run")
    failed = read_json(tmp_path / "run" / "metrics.json")["failed"]
    with pytest.raises(OracleError, match="could score none"):
        run(spec, tmp_path / "run")
    assert read_json(tmp_path / "run" / "metrics.json")["failed"] >= failed + 30, "a mended oracle is asked again"


def test_an_oracle_that_breaks_later_is_an_error_too(tmp_path: Path) -> None:
    switch = tmp_path / "broken"
    value = f"None if os.path.exists({str(switch)!r}) else 1.0"
    program = DEAF.replace("import json", "import json, os").replace("None", value)
    oracle = {"kind": "command", "command": [sys.executable, "-c", program]}
    spec = parse_config({**config(tmp_path, budget=8).model_dump(mode="json"), "oracle": oracle}, OptimiseConfig)
    assert len(run(spec, tmp_path / "run").records) == 8
    switch.touch()
    more = spec.model_copy(update={"search": spec.search.model_copy(update={"budget": 200})})
    with pytest.raises(OracleError, match="could score none of 30 molecules or more and was given up"):
        run(more, tmp_path / "run")
    assert read_json(tmp_path / "run" / "metrics.json")["ended"] == "oracle given up"
    assert "could not be scored" in (tmp_path / "run" / WARNINGS).read_text()


def test_an_oracle_of_a_constraint_that_tells_nothing_is_given_up(tmp_path: Path) -> None:
    deaf = {"kind": "command", "command": [sys.executable, "-c", DEAF]}
    dock = {"kind": "oracle", "name": "dock", "oracle": deaf, "high": -8.0}
    with pytest.raises(OracleError, match="the oracle, or one of a constraint, could score none of 30 molecules"):
        run(config(tmp_path, budget=1000, constraints=[dock]), tmp_path / "run")
    with pytest.raises(OracleError, match="the oracle of the constraint 'dock' could score none of 10 molecules"):
        run(config(tmp_path, budget=10, constraints=[dock]), tmp_path / "short")


def test_a_component_that_is_not_known_yet_does_not_end_a_search(tmp_path: Path) -> None:
    """A program is not asked about molecules that another part of the objective gives 0."""
    terms = [
        {"component": {"kind": "command", "command": [sys.executable, "-c", DEAF], "name": "dock"}},
        {"component": {"kind": "property", "name": "mw"}, "modifier": {"kind": "threshold", "threshold": 5000}},
    ]
    spec = config(tmp_path, budget=40, constraints=[{"kind": "oracle", "name": "dock", "component": "dock", "high": 0}])
    oracle = {"kind": "desirability", "terms": terms}
    spec = parse_config({**spec.model_dump(mode="json"), "oracle": oracle}, OptimiseConfig)
    assert run(spec, tmp_path / "run").reason == "budget"


def test_a_cached_oracle_still_tells_components_when_the_search_has_ended(tmp_path: Path) -> None:
    cached = {
        "kind": "cached",
        "path": str(tmp_path / "scores.sqlite"),
        "oracle": {"kind": "named", "name": "osimertinib_mpo"},
    }
    spec = parse_config({**config(tmp_path, budget=8).model_dump(mode="json"), "oracle": cached}, OptimiseConfig)
    run(spec, tmp_path / "run")
    assert any(name.startswith("component:") for name in pd.read_csv(tmp_path / "run" / "molecules.csv").columns)
