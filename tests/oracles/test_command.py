"""External programs: the contract, and everything that breaks it."""

from __future__ import annotations

import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from molvae.core.errors import ConfigError, OracleError
from molvae.oracles import oracle
from molvae.oracles.command import CommandOracle

HEAD = """
import json, sys, time
def answer(smiles, value, **more):
    print(json.dumps({"smiles": smiles, "value": value, **more}), flush=True)
molecules = [line.strip() for line in sys.stdin]
"""
SMILES = ["CCO", "CC", "not a molecule", "C", "CCO", ""]
WELL = [3, 2, np.nan, 1, 3, np.nan]


def program(tmp_path: Path, body: str, **settings) -> CommandOracle:  # type: ignore[no-untyped-def]
    path = tmp_path / "score.py"
    path.write_text(HEAD + textwrap.dedent(body))
    return CommandOracle([sys.executable, str(path)], **{"timeout_seconds": 20, **settings})


@pytest.mark.parametrize(
    "body",
    [
        "for s in molecules: answer(s, len(s), version=1)",
        "for s in reversed(molecules): answer(s, len(s))",  # any order
        "print('hello'); [answer(s, len(s)) for s in molecules]; print('[1, 2'); print('[]'); print('3')",  # garbage
        "sys.stderr.write('x' * 10_000_000); [answer(s, len(s)) for s in molecules]",  # 10 MB on stderr
        "[answer(s, len(s)) for s in molecules + molecules + ['CCCC']]",  # too long
        "print('[' * 200_000); [answer(s, len(s)) for s in molecules]",  # too deep for a parser
        "[answer(s, len(s)) for s in molecules]; sys.exit(1)",  # exit 1 after the work
        "[answer(s, len(s)) for s in molecules]; time.sleep(100)",  # does not end
    ],
)
def test_good_answers_survive(tmp_path: Path, body: str) -> None:
    np.testing.assert_array_equal(program(tmp_path, body)(SMILES), WELL)


def test_molecules_come_once_and_valid(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    program(tmp_path, f"open({str(seen)!r}, 'w').write(repr(molecules)); [answer(s, 1) for s in molecules]")(SMILES)
    assert seen.read_text() == "['CCO', 'CC', 'C']"


@pytest.mark.parametrize(
    "value", ["null", "float('nan')", "float('inf')", "'3'", "[1, 2]", "[1]", "{}", "True", "10**400"]
)
def test_values_that_are_no_finite_number(tmp_path: Path, value: str, caplog: pytest.LogCaptureFixture) -> None:
    body = f"for s in molecules: answer(s, {value if value != 'null' else 'None'} if s == 'CC' else 1)"
    np.testing.assert_array_equal(program(tmp_path, body)(["C", "CC", "CCC"]), [1, np.nan, 1])
    assert "'CC' could not be scored" in caplog.text


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("sys.exit(1)", "exit status 1"),
        ("time.sleep(1000)", "no answer within"),
        ("[print('noise', flush=True) or time.sleep(0.1) for _ in iter(int, 1)]", "no answer within"),
        ("import os; os.kill(os.getpid(), 9)", "exit status -9"),
        ("print('y' * 3_000_000)", "a line of more than"),
    ],
)
def test_one_bad_molecule(tmp_path: Path, trouble: str, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """The answers before it are kept, it is NaN and logged, the others come from a new start."""
    body = f"""
    for s in molecules:
        if s == "CC":
            sys.stderr.write("last words"); {trouble}
        answer(s, len(s))
    """
    scored = program(tmp_path, body, timeout_seconds=1.5)(["C", "CC", "CCC", "CCCC"])
    np.testing.assert_array_equal(scored, [1, np.nan, 3, 4])
    assert "'CC' could not be scored" in caplog.text
    assert said in caplog.text
    assert "last words" in caplog.text


def test_short_output(tmp_path: Path) -> None:
    """A program that silently leaves molecules out is asked again for the others."""
    scored = program(tmp_path, "for s in molecules: s == 'CC' or answer(s, len(s))")(["C", "CC", "CCC"])
    np.testing.assert_array_equal(scored, [1, np.nan, 3])


@pytest.mark.parametrize("batch_size", [None, 1, 3])
@pytest.mark.parametrize("dies", ["for s in molecules: s in bad and sys.exit(1)", ""], ids=["at once", "in order"])
def test_bad_molecules_cost_no_others(tmp_path: Path, dies: str, batch_size: int | None) -> None:
    """However many stand together, however they are grouped, and also where the program reads all of them first."""
    bad, good = ["C" * n for n in range(1, 6)], ["N", "NN", "NNN"]
    body = f"bad = {bad!r}\n{dies}\nfor s in molecules: s in bad and sys.exit(1); answer(s, len(s))"
    scored = program(tmp_path, body, batch_size=batch_size)([good[0], *bad, *good[1:]])
    np.testing.assert_array_equal(scored, [1, *[np.nan] * 5, 2, 3])


def test_a_program_that_never_answers_is_given_up(tmp_path: Path) -> None:
    start = time.monotonic()
    scored = program(tmp_path, "sys.exit('no licence')", batch_size=4)
    assert np.isnan(scored(["C" * n for n in range(1, 6)] * 2)).all()  # too few to tell
    with pytest.raises(OracleError, match="failed on each of 20 molecules.*never answered.*stderr ends: no licence"):
        scored(["C" * n for n in range(1, 100)])
    assert time.monotonic() - start < 20


def test_a_program_that_has_answered_once_is_never_given_up(tmp_path: Path) -> None:
    scored = program(tmp_path, "for s in molecules: s == 'N' or sys.exit(1); answer(s, 1)")
    assert scored(["N"]) == [1]
    assert np.isfinite(scored([*["C" * n for n in range(1, 30)], "N"])).tolist() == [False] * 29 + [True]


def test_stderr_is_kept(tmp_path: Path) -> None:
    body = "sys.stderr.write('a note\\n'); [answer(s, 1) for s in molecules]"
    with program(tmp_path, body, stderr_path=tmp_path / "logs" / "stderr.txt", batch_size=1) as scored:
        scored(["C", "CC"])
    assert (tmp_path / "logs" / "stderr.txt").read_text() == "a note\na note\n"
    with pytest.raises(OracleError, match="stderr_path .*logs cannot be written.*name another file"):
        program(tmp_path, body, stderr_path=tmp_path / "logs")(["C"])


def test_several_objectives(tmp_path: Path) -> None:
    scored = program(tmp_path, "for s in molecules: answer(s, [len(s), 0] if s != 'C' else 1)", n_objectives=2)
    np.testing.assert_array_equal(scored(["CC", "C", "bad"]), [[2, 0], [np.nan] * 2, [np.nan] * 2])


@pytest.mark.parametrize("value", ["['1', True]", "[1, True]", "[1, None]", "[1, 10**400]", "[[1], 2]", "[1]"])
def test_each_of_several_values_is_a_number(tmp_path: Path, value: str) -> None:
    scored = program(tmp_path, f"for s in molecules: answer(s, {value} if s == 'C' else [1, 2])", n_objectives=2)
    np.testing.assert_array_equal(scored(["C", "CC"]), [[np.nan] * 2, [1, 2]])


def test_later_contract_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OracleError, match="speaks version 2"):
        program(tmp_path, "for s in molecules: answer(s, 1, version=2)")(["C"])


def test_command_that_is_not_there() -> None:
    with pytest.raises(OracleError, match="no-such-program"):
        oracle("command", command="no-such-program --fast")(["C"])
    with pytest.raises(ConfigError, match="command: is missing"):
        oracle("command")
    with pytest.raises(ConfigError, match="empty"):
        oracle("command", command="")
    with pytest.raises(ConfigError, match="expected a command as for a shell.*No closing quotation"):
        oracle("command", command="dock 'abc")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"command": 5}, "command: should be a valid string, got 5"),
        ({"timeout_seconds": "soon"}, "timeout_seconds: should be a valid number.*got 'soon'"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds: should be a finite number"),
        ({"n_objectives": 0}, "n_objectives: should be greater than or equal to 1, got 0"),
        ({"batch_size": -5}, "batch_size: .*got -5"),
        ({"timeout": 5}, "timeout: unknown key; did you mean 'timeout_seconds'"),
    ],
)
def test_impossible_settings_are_explained(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        oracle("command", **{"command": ["true", Path("score.py"), 8], **wrong})


def test_one_part_of_an_objective(tmp_path: Path) -> None:
    """The program is started once for a batch, and only for molecules that can still score."""
    seen = tmp_path / "seen"
    (tmp_path / "score.py").write_text(
        HEAD
        + f"open({str(seen)!r}, 'a').write(repr(molecules))\nfor s in molecules: answer(s, 8 if s != 'CCN' else None)"
    )
    external = {"kind": "command", "command": [sys.executable, str(tmp_path / "score.py")], "name": "dock"}
    terms = [
        {"component": external, "modifier": {"kind": "clip", "upper": 10}},
        {"component": {"kind": "smarts", "pattern": "N"}},
    ]
    limits = [{"kind": "window", "name": "mw", "high": 100}]
    scored = oracle("desirability", terms=terms, constraints=limits, aggregation="geometric")
    values = scored(["CN", "CCO", "bad", "CCN", "CCCCCCCCCCCCN", "CN"])
    np.testing.assert_allclose(values, [0.8**0.5, 0, np.nan, np.nan, 0, 0.8**0.5])
    assert seen.read_text() == "['CN', 'CCN']"
    parts = scored.components(["CN", "CCO", "bad", "CCN", "CCCCCCCCCCCCN"])
    np.testing.assert_array_equal(parts["dock"], [8, np.nan, np.nan, np.nan, np.nan])  # what had no chance is not asked
    np.testing.assert_array_equal(parts["has N"], [1, 0, np.nan, 1, 1])
    assert seen.read_text() == "['CN', 'CCN']"  # nor is anything asked twice
    scored(["CCN"])
    assert seen.read_text() == "['CN', 'CCN']['CCN']"  # but scoring asks anew
    parts = scored.components(["CN", "CCCN"])  # what was scored long ago is known, and what never was costs nothing
    np.testing.assert_array_equal(parts["dock"], [8, np.nan])
    np.testing.assert_array_equal(parts["has N"], [1, 1])
    assert seen.read_text() == "['CN', 'CCN']['CCN']"


def test_sign_and_identity(tmp_path: Path) -> None:
    one = program(tmp_path, "for s in molecules: answer(s, -7.5)", name="dock")
    assert one.name == "dock"
    minimised = oracle(one, direction="minimise")
    assert minimised(["C"])[0] == 7.5
    assert one.identity != program(tmp_path, "", name="dock", version="2").identity
