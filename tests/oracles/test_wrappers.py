"""Cache and budget: what is paid for, what is remembered, what a damaged file does."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from molvae.core.errors import BudgetExhausted, ConfigError, OracleError
from molvae.oracles import BudgetedOracle, CachedOracle, ComponentOf, Stacked, oracle
from molvae.oracles.oracle import FloatArray, Minimised, Oracle


class Counting(Oracle):
    """Heavy atoms by string length of the SMILES; remembers what it was asked; fails where told."""

    def __init__(self, fails: Sequence[str] = (), parameter: int = 0) -> None:
        self.name, self.parameters = "counting", {"parameter": parameter}
        self.asked: list[str] = []
        self.fails = set(fails)

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        self.asked += smiles
        return np.array([np.nan if each in self.fails else float(len(each)) for each in smiles])


def test_cache_pays_once_for_a_molecule(tmp_path: Path) -> None:
    inner = Counting()
    with CachedOracle(inner, tmp_path / "deep" / "scores.sqlite") as cached:
        first = cached(["OCC", "CCO", "C", "not a molecule", "C(O)C"])
        np.testing.assert_array_equal(first, [3, 3, 1, np.nan, 3])
        assert inner.asked == ["CCO", "C"]  # canonical, each once
        np.testing.assert_array_equal(cached(["C", "OCC"]), [1, 3])
        assert inner.asked == ["CCO", "C"]
        assert (cached.hits, cached.misses) == (2, 2)


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
