"""Being stopped by Ctrl-C or SIGTERM, with time to save."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from types import FrameType
from typing import Any


class StopFlag:
    """While entered, Ctrl-C and SIGTERM only set `stopped`; a second Ctrl-C raises KeyboardInterrupt.

    The loop looks at `stopped` between steps, saves its state and raises `Interrupted`. Outside the main thread, where
    Python allows no handlers, nothing is installed and `stopped` stays False.

    Args:
        signals: those to hear.
    """

    def __init__(self, *signals: int) -> None:
        self.stopped = False
        self._signals = signals or (signal.SIGINT, signal.SIGTERM)
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopFlag:
        if threading.current_thread() is threading.main_thread():
            for number in self._signals:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.stopped and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.stopped:
            # os.write and not print: a handler may run in the middle of another print
            os.write(2, b"\nstopping after this step, the state will be saved (Ctrl-C again stops at once)\n")
        self.stopped = True


def receive_interrupts_in_a_thread() -> None:
    """Let a thread of its own receive SIGINT and hand it to Python's handler in the main thread; call it once, early.

    RDKit installs its own C handler for the time of a substructure search. A Ctrl-C at that moment never reaches
    Python, and worse, the search is cut short: a wrong score would be recorded. With the signal blocked in every thread
    but this one, RDKit's handler is never called. Threads made before keep their own mask, hence "early".
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return
    main = threading.get_ident()
    signal.signal(signal.SIGURG, lambda number, frame: None)  # only wakes the main thread from a blocking call
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def receive() -> None:
        while True:
            signal.sigwait({signal.SIGINT})
            _thread.interrupt_main(signal.SIGINT)
            signal.pthread_kill(main, signal.SIGURG)

    threading.Thread(target=receive, name="interrupts", daemon=True).start()
