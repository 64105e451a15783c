"""Files are whole or absent: after an exception, a full disk, a kill."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from molvae.core.files import (
    append_event,
    atomic_path,
    read_events,
    read_json,
    sha256_file,
    sha256_text,
    write_json,
    write_text,
)


def test_write_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "file.txt"
    write_text(path, "one")
    write_text(path, "zwölf")
    assert path.read_text(encoding="utf-8") == "zwölf"
    assert list(path.parent.iterdir()) == [path]


def test_exception_keeps_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "file") as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """A limit on file sizes stands for a full disk: the write fails half-way, as ENOSPC does."""
    write_text(tmp_path / "file", "old")
    code = f"""
import resource, signal
from molvae.core.files import write_text
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_text({str(tmp_path / "file")!r}, "x" * 1_000_000)
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 100_000


@pytest.mark.skipif(os.geteuid() != 0 if hasattr(os, "geteuid") else True, reason="mounting a small disk needs root")
def test_really_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        write_text(disk / "file", "old")
        with pytest.raises(OSError, match="No space left"):
            write_text(disk / "file", "x" * 1_000_000)
        assert (disk / "file").read_text() == "old"
        assert [path.name for path in disk.iterdir()] == ["file"]
    finally:
        subprocess.run(["umount", disk], check=True)


WRITER = """
import sys
from molvae.core.files import write_text
for i in range(10**9):
    write_text(sys.argv[1], str(i % 10) * 300_000)
"""


@pytest.mark.integration
def test_killed_at_any_moment_the_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for wait_seconds in (0.0, 0.013, 0.027, 0.041, 0.06):
        process = subprocess.Popen([sys.executable, "-c", WRITER, path])
        while not path.exists():
            time.sleep(0.001)
        time.sleep(wait_seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        content = path.read_text()
        assert len(content) == 300_000
        assert len(set(content)) == 1
        path.unlink()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            write_text(tmp_path / "file", "x")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [1.0, float("-inf")]}])
def test_json_has_no_nan(tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "file.json", value)
    assert not (tmp_path / "file.json").exists()


def test_json_round_trip(tmp_path: Path) -> None:
    value = {"a": [1, 2.5, None, True], "b": {"ü": "x"}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value


def test_digests(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc" * 700_000)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(b"abc" * 700_000).hexdigest()
    assert sha256_text("ü") == hashlib.sha256("ü".encode()).hexdigest()


def test_events_survive_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, {"step": 1})
    append_event(path, {"step": 2})
    with open(path, "a") as handle:
        handle.write('{"step": 3')
    assert read_events(path) == [{"step": 1}, {"step": 2}]


def test_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(json.JSONDecodeError):
        read_events(path)


def test_events_after_a_torn_line_are_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_event(path, {"step": 1})
    with open(path, "a", encoding="utf-8") as handle:
        handle.write('{"step": 2, "lo')  # killed while writing
    append_event(path, {"step": 3})
    append_event(path, {"step": 4})
    assert read_events(path) == [{"step": 1}, {"step": 3}, {"step": 4}]
