"""Cache and budget: what is paid for, what is remembered, what a damaged file does."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from molvae.core.errors import BudgetExhausted, ConfigError, OracleError
from molvae.oracles import BudgetedOracle, CachedOracle, ComponentOf, Stacked, oracle
from molvae.oracles.oracle import FloatArray, Minimised, Oracle, distinct


class Counting(Oracle):
    """Heavy atoms by string length of the SMILES; remembers what it was asked; fails where told."""

    def __init__(self, fails: Sequence[str] = (), parameter: int = 0) -> None:
        self.name, self.parameters = "counting", {"parameter": parameter}
        self.asked: list[str] = []
        self.fails = set(fails)

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        self.asked += smiles
        return np.array([np.nan if each in self.fails else float(len(each)) for each in smiles])


def named(name: str) -> Oracle:
    return oracle(len, name=name, isolate=False)


def test_cache_pays_once_for_a_molecule(tmp_path: Path) -> None:
    inner = Counting()
    with CachedOracle(inner, tmp_path / "deep" / "scores.sqlite") as cached:
        first = cached(["OCC", "CCO", "C", "not a molecule", "C(O)C"])
        np.testing.assert_array_equal(first, [3, 3, 1, np.nan, 3])
        assert inner.asked == ["CCO", "C"]  # canonical, each once
        np.testing.assert_array_equal(cached(["C", "OCC"]), [1, 3])
        assert inner.asked == ["CCO", "C"]


def test_cache_outlives_the_process_and_knows_parameters(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with CachedOracle(Counting(), path) as cached:
        cached(["CCO"])
    again, other = Counting(), Counting(parameter=1)
    with CachedOracle(again, path) as cached, CachedOracle(other, path) as different:
        assert cached(["OCC"])[0] == 3
        assert different(["OCC"])[0] == 3
    assert again.asked == []
    assert other.asked == ["CCO"]
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


def test_failures_are_tried_again_by_the_next_process_only(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    failing, well = Counting(fails=["CCO"]), Counting()
    with CachedOracle(failing, path) as cached:
        assert np.isnan(cached(["CCO"])[0])
        assert np.isnan(cached(["CCO"])[0])
    assert failing.asked == ["CCO"]
    with CachedOracle(well, path) as cached:
        assert cached(["CCO"])[0] == 3


def test_several_objectives_and_signs_in_the_cache(tmp_path: Path) -> None:
    both = Stacked([oracle("qed"), oracle("sa", direction="minimise")])
    with CachedOracle(both, tmp_path / "s.sqlite") as cached:
        expected = cached(["CCO", "bad", "c1ccccc1"])
        assert expected.shape == (3, 2)
        np.testing.assert_array_equal(expected, cached(["CCO", "bad", "c1ccccc1"]))
    np.testing.assert_array_equal(expected[[0, 2], 1], -oracle("sa")(["CCO", "c1ccccc1"]))
    assert Minimised(oracle("sa")).identity != oracle("sa").identity


def test_objectives_have_names_that_wrappers_keep(tmp_path: Path) -> None:
    sa = oracle("sa", direction="minimise")
    assert Stacked([oracle("qed"), sa, oracle("qed")]).objectives == ("qed", "sa", "qed_2")
    named = Stacked([oracle("qed"), sa], names=["nice", "easy"])
    with CachedOracle(BudgetedOracle(named, 9), tmp_path / "s.sqlite") as wrapped:
        assert wrapped.objectives == ("nice", "easy")
    assert sa.objectives == ("sa",)
    assert oracle(lambda s: (1.0, 2.0), n_objectives=2, name="f", isolate=False).objectives == ("f_0", "f_1")
    for names in (["one"], ["one", "one"]):
        with pytest.raises(ConfigError, match="expected 2 different names"):
            Stacked([oracle("qed"), sa], names=names)


def test_a_component_is_an_oracle() -> None:
    terms = [{"component": {"kind": "property", "name": "logp"}, "modifier": {"kind": "gaussian", "mean": 2, "sd": 1}}]
    joint = oracle("desirability", terms=terms)
    label = next(name for name in joint.components(["CCO"]) if ":" not in name)
    np.testing.assert_array_equal(ComponentOf(joint, label)(["CCO", "bad"]), oracle("logp")(["CCO", "bad"]))
    assert ComponentOf(joint, label).identity != ComponentOf(oracle("qed"), label).identity
    with pytest.raises(ConfigError, match=f"did you mean '{label}'"):
        ComponentOf(joint, label[:-1])(["CCO"])


def test_an_oracle_without_components_is_said_to_be_one() -> None:
    for inner in (Counting(), oracle(len, isolate=False), Stacked([Counting(), Counting()])):
        with pytest.raises(ConfigError, match="has no component 'typo'; it reports none"):
            ComponentOf(inner, "typo")(["CCO"])
    assert np.isnan(ComponentOf(oracle("osimertinib_mpo"), "tpsa")(["bad"])).all()  # no molecule is no mistake


def test_components_of_equal_names_are_told_apart() -> None:
    logp, mw = ({"component": {"kind": "property", "name": name}} for name in ("logp", "mw"))
    both = Stacked([oracle("desirability", terms=[logp]), oracle("desirability", terms=[mw, mw])])
    parts = both.components(["CCO"])
    assert [*parts] == ["desirability.logp", "desirability_2.mw", "desirability_2.mw_2"]
    assert parts["desirability.logp"] == oracle("logp")(["CCO"])
    limits = [{"kind": "substructures", "required": ["O"]}, {"kind": "substructures", "required": ["N"]}]
    parts = oracle("desirability", terms=[logp], constraints=limits).components(["CCO", "bad"])
    np.testing.assert_array_equal(parts["substructures"], [1, np.nan])
    np.testing.assert_array_equal(parts["substructures_2"], [0, np.nan])


def test_numbers_are_given_until_they_are_free() -> None:
    assert distinct(["a", "a_2", "a", "a"]) == ["a", "a_2", "a_3", "a_4"]
    assert Stacked([named("a"), named("a"), named("a_2")]).objectives == ("a", "a_2", "a_2_2")


class Explained(Counting):
    """Also says the number of carbons, and counts how often it is asked for that."""

    def __init__(self) -> None:
        super().__init__()
        self.explained: list[str] = []

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        self.explained += smiles
        return {name: np.array([float(each.count(name)) for each in smiles]) for name in ("C", "O")}


def test_cache_remembers_components(tmp_path: Path) -> None:
    first, second = Explained(), Explained()
    for inner, asked in ((first, ["CCO", "C"]), (second, [])):
        with CachedOracle(inner, tmp_path / "s.sqlite") as cached:
            both = Stacked([cached, ComponentOf(cached, "C"), ComponentOf(cached, "O")])
            np.testing.assert_array_equal(
                both(["OCC", "bad", "CCO", "C"]), [[3, 2, 1], [np.nan] * 3, [3, 2, 1], [1, 1, 0]]
            )
        assert inner.asked == inner.explained == asked  # canonical, once each, and never again


def test_a_budget_explains_only_what_was_paid_for() -> None:
    inner = Explained()
    budgeted = BudgetedOracle(inner, 2, known={"CO": 2.0})
    budgeted(["CCO"])
    parts = budgeted.components(["OCC", "CCCC", "bad", "CO"])
    np.testing.assert_array_equal(parts["C"], [2, np.nan, np.nan, 1])
    assert inner.explained == ["CCO", "CO"]


def docking(folder: Path) -> tuple[dict[str, Any], Path]:
    """A component whose program gives the length of a SMILES, and the file to which it adds what it was asked."""
    seen, script = folder / "seen", folder / "dock.py"
    script.write_text(
        f"import json, sys\nmolecules = sys.stdin.read().split()\nopen({str(seen)!r}, 'a').write(repr(molecules))\n"
        "for s in molecules: print(json.dumps({'smiles': s, 'value': len(s)}))"
    )
    return {"kind": "command", "command": [sys.executable, str(script)], "name": "dock"}, seen


def test_a_component_costs_no_second_start_of_a_program(tmp_path: Path) -> None:
    program, seen = docking(tmp_path)
    joint = oracle("desirability", terms=[{"component": program}])
    with CachedOracle(joint, tmp_path / "s.sqlite") as cached:
        assert np.isnan(cached.components(["CC"])["dock"])  # not scored yet, which is not remembered
        both = Stacked([cached, ComponentOf(cached, "dock")])
        for _ in range(2):
            np.testing.assert_array_equal(both(["OCC", "C", "CC"]), [[3, 3], [1, 1], [2, 2]])
    assert seen.read_text() == "['CCO', 'C', 'CC']"


def test_a_component_of_a_remembered_score_is_asked_for_once_and_only_where_it_is_wanted(tmp_path: Path) -> None:
    program, seen = docking(tmp_path)
    carbons = {"component": {"kind": "element", "symbol": "C"}, "modifier": {"kind": "threshold", "threshold": 1}}

    def cached() -> CachedOracle:
        joint = oracle("desirability", terms=[{"component": program}, carbons])
        return CachedOracle(joint, tmp_path / "s.sqlite")

    with cached() as scored:  # as by `molvae score`, which wants no components
        scored(["CCO", "O"])
    with cached() as looked:
        assert np.isnan(looked.components(["CCO", "O"])["dock"]).all()  # nobody is paid for a look
    with cached() as searched:
        both = Stacked([searched, ComponentOf(searched, "dock")])
        for _ in range(2):
            np.testing.assert_array_equal(both(["CCO", "O"])[:, 1], [3, np.nan])  # no program is asked about what has 0
    assert seen.read_text() == "['CCO']" * 2


@pytest.mark.integration
def test_processes_that_make_a_cache_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom molvae.oracles import CachedOracle, oracle\nqed = oracle('qed')\nprint(flush=True)\n"
        "sys.stdin.readline()\nfor i in range(60):\n    CachedOracle(qed, f'{sys.argv[1]}/{i}.sqlite')(['C' * (i + 1)])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    for process in processes:
        process.stdout.readline()
    for process in processes:  # all are ready: now they begin
        process.stdin.close()
    assert [process.stderr.read() for process in processes] == [""] * 4
    assert [process.wait() for process in processes] == [0] * 4


@pytest.mark.parametrize("content", [b"this is no database but a text " * 50, b"SQLite format 3\0" + b"\1" * 5000])
def test_damaged_cache_is_said_to_be_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "scores.sqlite"
    path.write_bytes(content)
    with pytest.raises(OracleError, match=r"scores.sqlite cannot be used .* move it away"):
        CachedOracle(Counting(), path)


def test_cache_damaged_while_in_use(tmp_path: Path) -> None:
    path = tmp_path / "scores.sqlite"
    with CachedOracle(Counting(), path) as cached:
        cached([f"{'C' * n}O" for n in range(1, 400)])
    blob = bytearray(path.read_bytes())
    blob[4096:] = b"\xff" * (len(blob) - 4096)
    path.write_bytes(bytes(blob))
    with pytest.raises(OracleError, match="cannot be used"):  # noqa: SIM117
        with CachedOracle(Counting(), path) as cached:
            cached(["CCO"])


def test_another_program_s_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE trials (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(OracleError, match="no score cache"):
        CachedOracle(Counting(), path)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OracleError, match="cannot be used"):
        CachedOracle(Counting(), tmp_path / "file" / "scores.sqlite")


def test_scores_are_kept_when_the_cache_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with CachedOracle(Counting(), tmp_path / "scores.sqlite") as cached:
        cached._database.execute("PRAGMA query_only=1")  # as a full disk would: reads work, writes fail
        assert cached(["CCO"])[0] == 3
    assert "going on without" in caplog.text


def test_budget_is_never_exceeded() -> None:
    inner = Counting(fails=["CC"])
    budgeted = BudgetedOracle(inner, 3)
    np.testing.assert_array_equal(budgeted(["CCO", "OCC", "bad", "CC"]), [3, 3, np.nan, np.nan])
    assert (budgeted.used, budgeted.remaining) == (2, 1)  # a failure has been paid for, an invalid SMILES has not
    np.testing.assert_array_equal(budgeted(["CC", "CCO", "bad"]), [np.nan, 3, np.nan])
    assert budgeted.remaining == 1
    with pytest.raises(BudgetExhausted, match=r"2 new molecules asked for, 1 of 3 left"):
        budgeted(["N", "O"])
    assert inner.asked == ["CCO", "CC"]  # nothing of the refused batch was scored
    assert budgeted(["N"])[0] == 1
    assert budgeted.remaining == 0
    assert budgeted(["N", "OCC"]).tolist() == [1, 3]
    with pytest.raises(BudgetExhausted):
        budgeted(["O"])
    assert len(inner.asked) == 3


def test_budget_counts_what_an_earlier_run_paid_for() -> None:
    inner = Counting()
    budgeted = BudgetedOracle(inner, 2, known={"CCO": 7.0})
    assert budgeted(["OCC", "C"]).tolist() == [7, 1]
    assert inner.asked == ["C"]
    assert budgeted.remaining == 0


def test_cache_hits_cost_no_budget(tmp_path: Path) -> None:
    with CachedOracle(Counting(), tmp_path / "s.sqlite") as cached:
        cached(["CCO", "CC"])
    budgeted = BudgetedOracle(Counting(), 1)
    with CachedOracle(budgeted, tmp_path / "s.sqlite") as cached:
        assert cached(["CCO", "CC", "C"]).tolist() == [3, 2, 1]
    assert budgeted.used == 1


def test_impossible_budget() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        BudgetedOracle(Counting(), 0)
