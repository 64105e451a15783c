"""Signals: one sets a flag, and none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from molvae.core.stopping import StopFlag


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
from molvae.core.stopping import receive_interrupts_in_a_thread
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
from molvae.core.stopping import receive_interrupts_in_a_thread
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
