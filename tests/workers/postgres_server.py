"""A PostgreSQL server of the tests' own: in a temporary folder, on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "not-to-be-seen"
ACCOUNT = "postgres"  # the server refuses to run as root


def binaries() -> Path | None:
    """The folder that holds `initdb` and `postgres`, if there is one."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)  # where Debian puts them
    return next((f for f in folders if (f / "initdb").exists() and (f / "postgres").exists()), None)


@contextmanager
def server() -> Iterator[str]:
    """Run a server; gives the address of its database, password included."""
    folder = binaries()
    assert folder is not None
    place = Path(tempfile.mkdtemp(prefix="molvae-postgres-"))  # not pytest's folder, which others may not enter
    account = {"user": ACCOUNT, "group": pwd.getpwnam(ACCOUNT).pw_gid} if os.getuid() == 0 else {}
    if account:
        shutil.chown(place, ACCOUNT)
    word = place / "password"
    word.write_text(PASSWORD)
    word.chmod(0o644)
    data = str(place / "data")
    make = [folder / "initdb", "-D", data, "-U", "molvae", "--auth=scram-sha-256", f"--pwfile={word}", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, cwd=place, **account)  # type: ignore[call-overload]
    port = _free_port()
    start = [folder / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", place, "-F"]
    with open(place / "log", "w") as log:
        process = subprocess.Popen(start, stdout=log, stderr=log, cwd=place, **account)  # type: ignore[call-overload]
    try:
        _wait_for(port, process)
        yield f"postgresql://molvae:{PASSWORD}@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
        process.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server did not start"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the server does not answer")
