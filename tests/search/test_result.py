"""What a search from Python gives: a line, a table, what was found when it is interrupted, the measured defaults."""

from __future__ import annotations

import inspect
import math
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from search_molecules import METHOD, MOLECULES

from molvae.core.config import load_config
from molvae.core.errors import OracleError
from molvae.oracles.oracle import Oracle
from molvae.search import Record, SearchResult, optimise
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import WindowSpec
from molvae.search.ledger import Ledger
from molvae.search.methods import BayesianSpec
from molvae.search.python import BATCH_GROWTH
from molvae.search.result import Reason

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def record(call: int, smiles: str, value: float = math.nan, **more: object) -> Record:
    return Record(call, smiles, value, "start", 0, 3, 3, 0.1, **more)  # type: ignore[arg-type]


SCORED = (record(1, "CCO", 0.5), record(2, "CC"), record(3, "CCN", 0.75))
PLAIN = SearchResult(SCORED, Reason.BUDGET)


def test_one_line_instead_of_all_records() -> None:
    assert repr(PLAIN) == "<SearchResult: 3 molecules, 1 of them failed or infeasible; best 0.75: CCN; ended: budget>"
    assert (
        repr(SearchResult((), Reason.STOPPED))
        == "<SearchResult: 0 molecules; none feasible with a score; ended: stopped>"
    )
    several = [record(1, "C", objectives=[1.0, 2.0]), record(2, "CC", objectives=[2.0, 1.0])]
    front = SearchResult(tuple(several), Reason.BUDGET, ("qed", "mass"))
    assert repr(front) == "<SearchResult: 2 molecules; a front of 2; ended: budget>"


def test_a_frame_has_a_row_for_each_molecule() -> None:
    frame = PLAIN.frame()
    assert list(frame["smiles"]) == PLAIN.smiles
    np.testing.assert_array_equal(frame["value"], PLAIN.values)
    assert list(frame.columns) == ["call", "smiles", "value", "proposer", "seconds", "feasible", "batch"]
    assert SearchResult((), Reason.BUDGET).frame().empty


def test_a_frame_of_several_objectives_names_them_and_the_front() -> None:
    ledger = Ledger(objectives=("qed", "mass"))
    for call, scores in enumerate([[0.5, 1.0], [0.4, 0.9], [0.4, 2.0]], start=1):
        told = {"objectives": scores, "outcomes": {"tpsa": 90.0}, "constraints": {"tpsa": 0.0}}
        ledger.add(record(call, "C" * call, **told))
    frame = SearchResult.of(ledger, Reason.BUDGET).frame()
    assert list(frame["objective:qed"]) == [0.5, 0.4, 0.4]
    assert list(frame["objective:mass"]) == [1.0, 0.9, 2.0]
    assert list(frame["front"]) == [True, False, True]
    assert list(frame.columns[-2:]) == ["outcome:tpsa", "constraint:tpsa"]


def test_settings_are_given_as_in_a_config() -> None:
    def found(method: object, constraint: object) -> SearchResult:
        return optimise("qed", 20, start=MOLECULES[:6], method=method, constraints=[constraint])  # type: ignore[arg-type]

    light = {"kind": "window", "name": "mw", "high": 150.0}
    result = found(METHOD.model_dump(), light)
    assert result.smiles == found(METHOD, WindowSpec.model_validate(light)).smiles
    assert result.frame()["feasible"][6:].all()


class Impatient(Oracle):
    """The length of a molecule; somebody presses Ctrl-C during the fifth batch."""

    name = "impatient"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, smiles: Sequence[str]) -> np.ndarray:
        self.calls += 1
        if self.calls == 5:
            signal.raise_signal(signal.SIGINT)
        return np.array([float(len(s)) for s in smiles])


def test_an_interrupted_search_loses_nothing(tmp_path: Path) -> None:
    oracle = Impatient()
    settings = {"start": MOLECULES, "method": METHOD, "ledger": tmp_path / "search.log"}
    first = optimise(oracle, 18, **settings)  # type: ignore[arg-type]
    assert (first.reason, len(first.records)) == ("stopped", 10)
    again = optimise(oracle, 18, **settings)  # type: ignore[arg-type]
    assert again.records[:10] == first.records
    assert again.smiles == optimise(oracle, 18, start=MOLECULES, method=METHOD).smiles


def test_an_oracle_that_scores_nothing_is_given_up() -> None:
    class Broken(Impatient):
        def __call__(self, smiles: Sequence[str]) -> np.ndarray:
            self.calls += len(smiles)
            return np.full(len(smiles), np.nan)

    oracle = Broken()
    with pytest.raises(OracleError, match="could score none of 30 molecules"):
        optimise(oracle, 60, start=MOLECULES, method=METHOD)
    assert oracle.calls == 30


def test_python_searches_as_the_measured_config_does() -> None:
    config = load_config(CONFIGS / "search" / "default.toml", OptimiseConfig)
    defaults = {name: p.default for name, p in inspect.signature(optimise).parameters.items()}
    for name in ("budget", "batch_size", "largest", "hardest", "workers", "in_flight"):
        assert defaults[name] == getattr(config.search, name), name
    assert config.search.batch_growth == BATCH_GROWTH
    plain = BayesianSpec()
    assert isinstance(config.method, BayesianSpec)
    assert config.method.inner == plain.inner.model_copy(update={"most": config.method.inner.most})
    assert config.method.model_copy(update={"inner": plain.inner, "acquisition": None}) == plain
