"""Runtime: versions, devices, progress, signals, manifests."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from molvae.core import runtime
from molvae.core.errors import DataError, DeviceError
from molvae.core.files import sha256_file
from molvae.core.runtime import (
    StopFlag,
    fingerprint,
    pick_device,
    progress,
    usable_cpus,
    versions,
    warnings_in,
    write_manifest,
)


def test_versions_are_those_of_the_installed_packages() -> None:
    found = versions()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["selfies"] >= "2.2"  # its own __version__ says 2.1.1
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"


def test_usable_cpus() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_missing_gpu_is_an_error_that_says_why(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"device '{name}' asked for, but .*; device 'cpu' or 'auto' works here"):
        pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "xpu", "meta"])
def test_an_unknown_device_is_an_error(name: str) -> None:
    with pytest.raises(DeviceError, match=f"unknown device '{name}': expected auto, cpu, cuda"):
        pick_device(name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_is_not_there_among_others() -> None:
    with pytest.raises(DeviceError, match="there are only"):
        pick_device("cuda:63")


def test_progress_off_a_terminal_says_plain_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runtime, "LOG_INTERVAL_SECONDS", 0.0)
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
    monkeypatch.setattr(runtime, "LOG_INTERVAL_SECONDS", 0.0)
    with progress(1_000_000, "training", "steps", done=999_990) as bar:
        time.sleep(0.02)
        bar.advance()
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith("training: 999,991/1,000,000 steps")
    assert int(line.split(", ")[1].removesuffix("/s").replace(",", "")) <= 50


def test_progress_on_a_terminal_is_a_bar(tmp_path: Path) -> None:
    """In a pseudo-terminal of its own, since pytest's stderr is none."""
    import pty

    code = "from molvae.core.runtime import progress as p\nwith p(3, 'working', 'steps') as b: b.advance(3, loss=2.0)"
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_only_sets_the_flag_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopFlag() as stop:
        assert not stop.stopped
        os.kill(os.getpid(), number)
        assert stop.stopped
    assert signal.getsignal(number) is before


def test_a_second_interrupt_stops_at_once() -> None:
    with StopFlag(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_stop_flag_in_another_thread_installs_nothing() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with StopFlag() as stop:
            seen.extend([signal.getsignal(signal.SIGINT), stop.stopped])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]


@pytest.mark.integration
def test_interrupts_reach_python_and_never_rdkit() -> None:
    """Without the thread, half of them are lost in RDKit, which then leaves matches out."""
    code = """
import os, signal, threading, time
from molvae.core.runtime import receive_interrupts_in_a_thread
receive_interrupts_in_a_thread()
from rdkit import Chem
molecule, pattern = Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1" + "CCOc1ccccc1" * 20), Chem.MolFromSmarts("c:c:c~*")
expected, seen = len(molecule.GetSubstructMatches(pattern)), []
signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
def send():
    for n in range(1, 31):
        os.kill(os.getpid(), signal.SIGINT)
        deadline = time.monotonic() + 20
        while len(seen) < n and time.monotonic() < deadline:
            time.sleep(0.001)
sender = threading.Thread(target=send)
sender.start()
while sender.is_alive():
    assert len(molecule.GetSubstructMatches(pattern)) == expected
print(len(seen))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    assert done.stdout == "30\n"


@pytest.mark.integration
def test_an_interrupt_wakes_a_blocking_call() -> None:
    code = """
import os, signal, threading, time
from molvae.core.runtime import receive_interrupts_in_a_thread
receive_interrupts_in_a_thread()
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("woken")
"""
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "woken\n"
    assert time.monotonic() - start < 30


def test_manifest_records_what_ran(tmp_path: Path) -> None:
    data = tmp_path / "in.csv"
    data.write_text("smiles\nCCO\n")
    device = torch.device("cpu")
    path = write_manifest(tmp_path, kind="embed", inputs={"molecules": data}, seed=3, device=device, seconds=1.25, n=7)
    manifest = json.loads(path.read_text())
    assert manifest["inputs"]["molecules"] == {"path": str(data), "sha256": sha256_file(data)}
    assert (manifest["kind"], manifest["seed"], manifest["device"], manifest["n"]) == ("embed", 3, "cpu", 7)
    assert manifest["versions"] == versions()


def test_manifest_of_an_absent_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or directory"):
        write_manifest(tmp_path, kind="x", inputs={"a": tmp_path / "absent"}, seed=None, device="cpu", seconds=0)


def test_fingerprint_of_directories(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("one")
    before = fingerprint(tmp_path)
    (tmp_path / "a" / "b.txt").write_text("two")
    assert fingerprint(tmp_path) != before
    (tmp_path / "model.json").write_text("{}")
    assert fingerprint(tmp_path) == sha256_file(tmp_path / "model.json")


def test_quiet_work_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(runtime, "LOG_INTERVAL_SECONDS", 0.0)
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
