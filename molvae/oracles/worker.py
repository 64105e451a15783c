"""The process in which an isolated oracle runs. Started by `isolation.py` as a script; not to be imported.

Talks to its parent over stdin and stdout in JSON lines. The first, `{"bytes": n, "path": [...]}`, is followed by the
pickled oracle, n bytes (from the parent, over a pipe, and from nowhere else), and answered by `{"ready": true}`, or by
`{"fatal": why}` and the end. Then `{"smiles": [...], "seconds": s, "reports": false}` is answered by `{"values": [...],
"log": [...]}`, with the components beside them where reports are wanted, or by `{"error": why, "log": [...]}` where the
oracle raises. Whatever the user's function prints goes to stderr, and its own stdin is empty. The end of the requests
and SIGTERM end the process; the oracle is closed first, which ends the external programs that it runs.
"""

import faulthandler
import io
import json
import logging
import os
import pickle
import signal
import sys
from types import FrameType


class _Collect(logging.Handler):
    """Keeps log lines, to be handed to the parent with the next answer."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _leave(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # nothing must interrupt the closing
    sys.exit(0)


def main() -> None:
    """Load the oracle, then answer requests until stdin ends."""
    source, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # what a user's function starts must not read, or wait for, the requests
    os.dup2(2, 1)  # print() inside a user's function must not mix with the answers
    collected = _Collect()
    logging.getLogger().addHandler(collected)
    try:
        header = json.loads(source.readline())
        sys.path[:] = header["path"]  # replaces this script's own folder, whose names would shadow others'
        oracle = pickle.Unpickler(io.BytesIO(source.read(header["bytes"]))).load()
    except BaseException as error:
        answers.write(json.dumps({"fatal": f"{type(error).__name__}: {error}"}) + "\n")
        return
    signal.signal(signal.SIGTERM, _leave)
    with oracle, open(os.devnull, "w") as nowhere:
        answers.write(json.dumps({"ready": True}) + "\n")
        for line in source:
            request = json.loads(line)
            collected.lines.clear()
            # If the parent was killed while this hangs, nobody else would end it: leave a while after its time-out.
            faulthandler.dump_traceback_later(request["seconds"] * 1.5 + 5, exit=True, file=nowhere)
            answer: dict[str, object] = {"log": collected.lines}
            try:
                answer["values"] = oracle(request["smiles"]).tolist()
                if request["reports"]:
                    components = oracle.components(request["smiles"])
                    answer["components"] = {name: column.tolist() for name, column in components.items()}
            except Exception as error:
                answer["error"] = f"{type(error).__name__}: {error}"
            faulthandler.cancel_dump_traceback_later()
            answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
