"""Batches over processes: in order, and a row that crashes or hangs its worker loses only itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from molvae.data.workers import map_batches


def behave(rows: Sequence[str], refused: Mapping[int, str]) -> list[str]:
    """What the row says; runs in a worker process."""
    answers = []
    for position, row in enumerate(rows):
        if position in refused:
            answers.append(refused[position])
            continue
        if row == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if row == "hang":
            time.sleep(600)
        answers.append(row.upper())
    return answers


def batches(*rows: list[str]) -> Iterator[tuple[int, list[str]]]:
    yield from enumerate(rows)


@pytest.mark.parametrize("workers", [0, 2])
def test_results_come_in_order(workers: int) -> None:
    rows = [[f"{i}a", f"{i}b"] for i in range(10)]
    results = list(map_batches(behave, batches(*rows), workers))
    assert results == [(i, [f"{i}A", f"{i}B"]) for i in range(10)]


def test_only_the_rows_that_crash_or_hang_are_lost() -> None:
    rows = [["a", "b"], ["c", "crash", "d", "hang", "crash"], ["e"]]
    results = list(map_batches(behave, batches(*rows), 2, base_seconds=1.0, seconds_per_row=0.1))
    crash, hang = "crashes RDKit or SELFIES", "takes too long"
    assert results == [(0, ["A", "B"]), (1, ["C", crash, "D", hang, crash]), (2, ["E"])]


def test_input_is_read_only_a_little_ahead() -> None:
    read = 0

    def counted() -> Iterator[tuple[int, list[str]]]:
        nonlocal read
        for read in range(100):
            yield read, ["a"]

    for index, _ in map_batches(behave, counted(), 1):
        assert read <= index + 2


def test_error_in_the_work_itself_is_raised() -> None:
    with pytest.raises(AttributeError):
        list(map_batches(behave, iter([(0, [None])]), 1))  # type: ignore[list-item]  # None has no upper()


def test_script_without_main_guard_is_told_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from molvae.data.workers import map_batches\nprint(list(map_batches(max, [(0, [1])], 1)))\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "if __name__ == '__main__'" in done.stderr
