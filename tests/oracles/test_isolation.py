"""Functions that crash, hang, raise or talk nonsense cost their molecule and nothing else."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from molvae.core.errors import ConfigError, OracleError
from molvae.oracles import (
    BudgetedOracle,
    CachedOracle,
    Minimised,
    Oracle,
    ParallelOracle,
    Stacked,
    oracle,
)
from molvae.oracles.functions import FunctionOracle

# Eleven jobs, after the table that shows ProcessPoolExecutor and joblib losing all of them. Molecule -> what happens.
JOBS = {
    "C": "ok",
    "CC": "hang",
    "CCC": "ok",
    "CCCC": "crash",
    "CCCCC": "exit",
    "CCCCCC": "raise",
    "N": "nan",
    "NC": "inf",
    "NCC": "text",
    "NCCC": "none",
    "NCCCC": "ok",
}


def troublesome(smiles: str) -> float | str | None:
    job = JOBS[smiles]
    if job == "hang":
        time.sleep(1000)
    if job == "crash":
        os.kill(os.getpid(), 11)
    if job == "exit":
        os._exit(3)
    if job == "raise":
        raise KeyError("no such thing")
    answers = {"nan": float("nan"), "inf": float("inf"), "text": "a lot", "none": None}
    return answers.get(job, float(len(smiles)))


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 3])
def test_eleven_jobs(workers: int, caplog: pytest.LogCaptureFixture) -> None:
    smiles = list(JOBS)
    with oracle(troublesome, timeout_seconds=1.0, workers=workers) as scored:
        values = scored(smiles)
        expected = [len(each) if JOBS[each] == "ok" else np.nan for each in smiles]
        np.testing.assert_array_equal(values, expected)
        for each in (each for each, job in JOBS.items() if job != "ok"):
            assert repr(each) in caplog.text  # every failure is logged with its molecule
        assert "no answer within 1 s" in caplog.text
        assert "SIGSEGV" in caplog.text
        assert "exit status 3" in caplog.text
        assert "no such thing" in caplog.text
        assert "the function returned None; does it lack a return?" in caplog.text
        np.testing.assert_array_equal(scored(smiles[:1] * 3), [1, 1, 1])  # and it goes on working


def test_lambdas_and_closures_travel() -> None:
    offset = 10
    with oracle(lambda smiles: len(smiles) + offset) as scored:
        np.testing.assert_array_equal(scored(["CCO", "bad smiles", "C", ""]), [13, np.nan, 11, np.nan])


@pytest.mark.integration
def test_a_batch_function_loses_only_the_bad_molecule(caplog: pytest.LogCaptureFixture) -> None:
    def lengths(smiles: list[str]) -> list[int]:
        if "CC" in smiles:
            os._exit(1)
        return [len(each) for each in smiles]

    with oracle(lengths, batch=True, chunk=3, timeout_seconds=20) as scored:
        np.testing.assert_array_equal(scored(["C", "CC", "CCC", "CCCC", "nonsense"]), [1, np.nan, 3, 4, np.nan])
    assert "trying each alone" in caplog.text


def raises_for_cc(smiles: list[str]) -> list[int]:
    if "CC" in smiles:
        raise ValueError("too flat")
    return [len(each) for each in smiles]


def leaves_out_cc(smiles: list[str]) -> list[int]:
    return [len(each) for each in smiles if each != "CC"]


@pytest.mark.parametrize(
    ("function", "together", "alone"),
    [
        (raises_for_cc, "ValueError: too flat", "ValueError: too flat"),
        (leaves_out_cc, "expected one number for each of 3, got [1, 3]", "expected one number for a molecule, got []"),
    ],
)
def test_a_batch_that_fails_is_asked_for_one_by_one(
    function: Callable[..., object], together: str, alone: str, caplog: pytest.LogCaptureFixture
) -> None:
    scored = oracle(function, batch=True, isolate=False)
    np.testing.assert_array_equal(scored(["C", "bad", "CC", "CCC"]), [1, np.nan, np.nan, 3])
    assert f"3 molecules together failed ({together}); trying each alone" in caplog.text
    assert f"'CC' could not be scored: {alone}" in caplog.text


def test_several_numbers_for_one_objective_are_explained(caplog: pytest.LogCaptureFixture) -> None:
    assert np.isnan(oracle(lambda smiles: (1.0, 2.0), isolate=False)(["C"])[0])
    assert "got (1.0, 2.0); are they objectives (n_objectives=2), or does it take a list (batch=True)?" in caplog.text


def test_several_objectives() -> None:
    two = oracle(lambda smiles: (len(smiles), float("nan") if smiles == "C" else 1), n_objectives=2, isolate=False)
    np.testing.assert_array_equal(two(["CCO", "C", "bad"]), [[3, 1], [np.nan, np.nan], [np.nan, np.nan]])
    assert two([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("q", "answer", "expected"),
    [
        (1, [[1], [2], [3]], [1, 2, 3]),
        (1, [[1, 2, 3]], [np.nan] * 3),
        (2, [[1, 2], [3, 4], [5, 6]], [[1, 2], [3, 4], [5, 6]]),
        (2, [[1, 3, 5], [2, 4, 6]], [[np.nan] * 2] * 3),  # transposed: not to be read as the one above
        (2, [1, 2, 3, 4, 5, 6], [[np.nan] * 2] * 3),
    ],
)
def test_answers_of_another_shape_are_failures(q: int, answer: list[object], expected: list[object]) -> None:
    built = FunctionOracle(lambda smiles: answer, batch=True, n_objectives=q)
    np.testing.assert_array_equal(built(["C", "CC", "CCC"]), expected)


@pytest.mark.parametrize("answer", [1.0, [1.0], [[1.0]], np.float32(1)])
def test_one_number_may_come_in_brackets(answer: object) -> None:
    assert FunctionOracle(lambda smiles: answer)(["C"])[0] == 1


def test_a_number_too_large_for_a_float_is_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    np.testing.assert_array_equal(FunctionOracle(lambda s: 10**400 if s == "C" else 1)(["C", "CC"]), [np.nan, 1])
    assert "'C'" in caplog.text


def docking(tmp_path: Path) -> tuple[Oracle, Path]:
    """A desirability with a program that says its process id in a file and hangs."""
    pid, script = tmp_path / "pid", tmp_path / "dock.py"
    script.write_text(
        f"import os, time\nopen({str(pid)!r} + '~', 'w').write(str(os.getpid()))\n"
        f"os.rename({str(pid)!r} + '~', {str(pid)!r})\ntime.sleep(1000)\n"
    )
    program = {"kind": "command", "command": [sys.executable, str(script)], "timeout_seconds": 500}
    return oracle("desirability", terms=[{"component": program}]), pid


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.integration
def test_an_external_program_does_not_outlive_a_worker_that_overstays(tmp_path: Path) -> None:
    inner, pid = docking(tmp_path)
    with ParallelOracle(Stacked([oracle("mw"), inner]), timeout_seconds=5) as scored:
        assert np.isnan(scored(["CCO"])).all()
        assert wait_until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


@pytest.mark.integration
@pytest.mark.parametrize("isolated", [True, False])
def test_closing_ends_the_external_program_of_a_call_under_way(tmp_path: Path, isolated: bool) -> None:
    inner, pid = docking(tmp_path)
    scored = ParallelOracle(inner, timeout_seconds=500) if isolated else inner
    call = threading.Thread(target=scored, args=(["CCO"],))
    call.start()
    assert wait_until(pid.exists)
    scored.close()
    call.join(30)
    assert not call.is_alive()
    assert wait_until(lambda: not Path(f"/proc/{pid.read_text()}").exists())


@pytest.mark.integration
def test_a_worker_that_does_not_hear_is_killed() -> None:
    """As one that hangs in C code; what it holds is lost, but no one waits for it."""

    def deaf(smiles: str) -> float:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        time.sleep(1000)
        return 1.0

    began = time.monotonic()
    with oracle(deaf, timeout_seconds=0.5) as scored:
        assert np.isnan(scored(["C"])[0])
    assert time.monotonic() - began < 30


def test_printing_does_not_disturb() -> None:
    def talkative(smiles: str) -> float:
        print('{"values": [99], "log": []}')
        return len(smiles)

    with oracle(talkative) as scored:
        assert scored(["CCO"])[0] == 3


def test_what_a_function_starts_does_not_read_the_requests() -> None:
    with oracle(lambda smiles: len(subprocess.run(["cat"], capture_output=True).stdout), timeout_seconds=20) as scored:
        np.testing.assert_array_equal(scored(["C", "CC"]), [0, 0])


def test_parallel_equals_serial() -> None:
    smiles = ["C" * n for n in range(1, 40)] + ["broken"]
    plain = oracle("logp")
    with ParallelOracle(plain, workers=2, timeout_seconds=60, chunk=7) as parallel:
        np.testing.assert_array_equal(parallel(smiles), plain(smiles))
        assert parallel.identity == plain.identity
        assert parallel([]).shape == (0,)


def test_what_cannot_be_sent() -> None:
    lock = threading.Lock()

    def locked(smiles: str) -> float:
        with lock:
            return 1.0

    with pytest.raises(OracleError, match="isolate=False"):
        oracle(locked)
    assert oracle(locked, isolate=False)(["C"])[0] == 1


def test_what_cannot_be_received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vanishing.py").write_text("def score(smiles):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    import vanishing  # type: ignore[import-not-found]

    with ParallelOracle(FunctionOracle(vanishing.score)) as scored:
        assert scored(["C"])[0] == 1  # importable modules of the caller are importable in the worker
    (tmp_path / "vanishing.py").unlink()
    with ParallelOracle(FunctionOracle(vanishing.score)) as scored, pytest.raises(OracleError, match="vanishing"):
        scored(["C"])


@pytest.mark.integration
def test_a_script_without_main_guard(tmp_path: Path) -> None:
    """multiprocessing would run the script again in each worker and fail; and no worker outlives the run."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import os
        import molvae
        print("ran")
        pids = molvae.oracle(lambda smiles: os.getpid(), workers=2)
        print(int(pids(["C"])[0]))
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=True)
    ran, pid = done.stdout.split()
    assert ran == "ran"
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_identity_follows_the_code() -> None:
    def identity(function: Callable[[str], float], **settings: str) -> str:
        return FunctionOracle(function, name="f", **settings).identity  # type: ignore[arg-type]

    def make(n: int) -> Callable[[str], float]:
        return lambda smiles: len(smiles) + n

    assert identity(make(1)) == identity(make(1))
    assert identity(make(1)) != identity(make(2))
    assert identity(lambda smiles: 1.0) != identity(lambda smiles: 2.0)
    assert identity(make(1)) != identity(make(1), version="2")


def test_what_must_stay_in_one_process_is_refused(tmp_path: Path) -> None:
    with CachedOracle(oracle("qed"), tmp_path / "s.sqlite") as cached:
        for inner, kind in ((BudgetedOracle(oracle("qed"), 9), "BudgetedOracle"), (cached, "CachedOracle")):
            for around in (inner, Stacked([oracle("mw"), Minimised(inner)])):
                with pytest.raises(ConfigError, match=f"put it outside: {kind}"):
                    ParallelOracle(around, workers=2)
    with oracle(len) as isolated, pytest.raises(ConfigError, match="of its own already.*say there how many `workers`"):
        ParallelOracle(isolated)


def test_misuse_is_refused() -> None:
    with pytest.raises(ConfigError, match="timeout_seconds"):
        ParallelOracle(oracle("qed"), workers=1, timeout_seconds=0)
    with pytest.raises(ConfigError, match="did you mean 'workers'"):
        oracle(len, worker=2)
    with pytest.raises(ConfigError, match="n_objectives: should be greater than or equal to 1, got 0"):
        oracle(len, n_objectives=0)
    with pytest.raises(ConfigError, match="timeout_seconds: should be a finite number"):
        oracle(len, timeout_seconds=float("inf"))
    with pytest.raises(ConfigError, match="isolated"):
        oracle(len, isolate=False, workers=2)
    with pytest.raises(ConfigError, match="a function"):
        FunctionOracle(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="one string"):
        oracle("qed")("CCO")


def test_log_lines_of_the_worker_reach_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    def warns(smiles: str) -> float:
        logging.getLogger("user").warning("strange: %s", smiles)
        return 1.0

    with oracle(warns) as scored:
        scored(["CCO"])
    assert "strange: CCO" in caplog.text
