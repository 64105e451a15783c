"""Prepare is stopped, killed, or runs out of disk; the same command again gives what an undisturbed run gives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from molvae.core.config import dump_config
from molvae.core.errors import Interrupted
from molvae.core.stopping import StopFlag
from molvae.data.prepare import PrepareConfig
from tests.data.molecules import another_order, made_molecules
from tests.data.preparing import contents, run


@pytest.mark.usefixtures("small_chunks")
def test_stopped_run_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.smi").write_text("\n".join(made_molecules(200)))
    run(tmp_path / "in.smi", tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(StopFlag, "__enter__", lambda self: setattr(self, "stopped", True) or self)
        with pytest.raises(Interrupted, match="the same command goes on"):
            run(tmp_path / "in.smi", tmp_path / "out")
    assert len(list((tmp_path / "out" / ".prepare").glob("chunk-*"))) == 1
    run(tmp_path / "in.smi", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("small_chunks")
def test_unfinished_run_with_other_settings_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in.smi").write_text("\n".join(made_molecules(60)))
    with monkeypatch.context() as patched:
        patched.setattr(StopFlag, "__enter__", lambda self: setattr(self, "stopped", True) or self)
        with pytest.raises(Interrupted):
            run(tmp_path / "in.smi", tmp_path / "out", stereo="drop")
    run(tmp_path / "in.smi", tmp_path / "out")
    run(tmp_path / "in.smi", tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk is not allowed here")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.usefixtures("small_chunks")
def test_full_disk_and_then_space(tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "in.smi").write_text("\n".join(made_molecules(378)))
    with pytest.raises(OSError, match="No space left"):
        run(tmp_path / "in.smi", small_disk / "out")
    assert not (small_disk / "out" / "manifest.json").exists()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    run(tmp_path / "in.smi", small_disk / "out")
    run(tmp_path / "in.smi", tmp_path / "whole")
    assert contents(small_disk / "out") == contents(tmp_path / "whole")


@pytest.mark.integration
@pytest.mark.parametrize(("number", "to_all"), [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGINT, True)])
def test_stopped_command_says_so_and_goes_on(tmp_path: Path, number: signal.Signals, to_all: bool) -> None:
    """Ctrl-C on a terminal, and batch systems, signal the workers too."""
    (tmp_path / "in.smi").write_text("\n".join(made_molecules(378) * 100))
    command = ["prepare", tmp_path / "in.smi", "--out", tmp_path / "out", "--workers", "1"]
    start = [sys.executable, "-c", "from molvae.cli import main; main()", *command]
    process = subprocess.Popen(start, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list((tmp_path / "out" / ".prepare").glob("chunk-*")):
        time.sleep(0.01)
    (os.killpg if to_all else os.kill)(process.pid, number)
    _, messages = process.communicate(timeout=60)
    assert process.returncode == 130, messages
    assert "the same command goes on from there" in messages
    assert list((tmp_path / "out" / ".prepare").glob("chunk-*"))


SCRIPT = """
import sys
from molvae.core.config import load_config
from molvae.data import prepare
if __name__ == "__main__":
    prepare.ROWS_PER_CHUNK = 25
    prepare.prepare(load_config(sys.argv[1], prepare.PrepareConfig))
"""


def n_chunks(work: Path) -> int:
    try:
        return sum(name.startswith("chunk-") for name in os.listdir(work))
    except FileNotFoundError:  # not there yet, or removed at this moment
        return 0


@pytest.mark.integration
@pytest.mark.usefixtures("small_chunks")
def test_killed_at_any_moment_and_run_again_equals_the_whole(tmp_path: Path) -> None:
    smiles = made_molecules(378)
    lines = [*smiles, *(another_order(s, k) for k in range(2) for s in smiles), "C(C"]
    (tmp_path / "in.smi").write_text("\n".join(lines))
    config = PrepareConfig(inputs=(tmp_path / "in.smi",), output=tmp_path / "out", workers=1)
    dump_config(config, tmp_path / "prepare.toml")
    (tmp_path / "script.py").write_text(SCRIPT)
    kills = 0
    for wanted in (1, 12, 30, 10_000):
        process = subprocess.Popen([sys.executable, tmp_path / "script.py", tmp_path / "prepare.toml"])
        while process.poll() is None and n_chunks(tmp_path / "out" / ".prepare") < wanted:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills == 3
    assert process.returncode == 0
    run(tmp_path / "in.smi", tmp_path / "whole")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    """No worker outlives a parent that was ended by kill -9."""
    (tmp_path / "in.smi").write_text("\n".join(made_molecules(378) * 200))
    dump_config(PrepareConfig(inputs=(tmp_path / "in.smi",), output=tmp_path / "out", workers=1), tmp_path / "p.toml")
    (tmp_path / "script.py").write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, tmp_path / "script.py", tmp_path / "p.toml"], start_new_session=True)
    while not list((tmp_path / "out" / ".prepare").glob("chunk-*")):
        time.sleep(0.01)
    process.kill()
    process.wait()
    for _ in range(1000):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail("a worker is still running 10 s after its parent was killed")
