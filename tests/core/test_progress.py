"""Progress on a terminal and elsewhere, and warnings in a file."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from molvae.core import progress as shown
from molvae.core.progress import progress, warnings_in


def test_progress_off_a_terminal_says_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shown, "LOG_INTERVAL_SECONDS", 0.0)
    with progress(2_000, "preparing", "molecules") as bar:
        bar.advance(500, dropped=3, loss=1.23456)
    captured = capsys.readouterr()
    assert captured.out == ""
    first, last = captured.err.splitlines()
    assert first.startswith("preparing: 500/2,000 molecules (25%), ")
    assert first.endswith("left, dropped 3, loss 1.235")
    assert last.startswith("preparing: 500/2,000")


def test_short_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(None, "reading", "rows") as bar:
        bar.advance()
    assert capsys.readouterr().err == ""


def test_resumed_work_does_not_count_for_the_speed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shown, "LOG_INTERVAL_SECONDS", 0.0)
    with progress(1_000_000, "training", "steps", done=999_990) as bar:
        time.sleep(0.02)
        bar.advance()
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("training: 999,991/1,000,000 steps")
    assert int(line.split(", ")[1].removesuffix("/s").replace(",", "")) <= 50


def test_progress_on_a_terminal_is_a_bar(tmp_path: Path) -> None:
    """In a pseudo-terminal of its own, since pytest's stderr is none."""
    import pty

    code = "from molvae.core.progress import progress as p\nwith p(3, 'working', 'steps') as b: b.advance(3, loss=2.0)"
    master, slave = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", code], stderr=slave, check=True, timeout=60, env={**os.environ, "TERM": "xterm"}
    )
    os.close(slave)
    text = os.read(master, 100_000).decode()
    os.close(master)
    assert done.returncode == 0
    assert "working" in text
    assert "3/3" in text
    assert "loss 2" in text


def test_quiet_work_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(shown, "LOG_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(logging.getLogger("molvae"), "level", logging.WARNING)
    with progress(3, "working") as bar:
        bar.advance()
    assert capsys.readouterr().err == ""


def test_warnings_are_kept_in_a_file_that_is_made_for_the_first(tmp_path: Path) -> None:
    file, log = tmp_path / "warnings.log", logging.getLogger("molvae.oracles")
    with warnings_in(file):
        log.info("all is well")
    assert not file.exists()
    for text in ("one", "another"):
        with warnings_in(file):
            log.warning(text)
    log.warning("after the end")
    assert [line.split(" ", 2)[2] for line in file.read_text().splitlines()] == ["one", "another"]
