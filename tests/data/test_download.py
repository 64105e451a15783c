"""Downloads from a real server on loopback: broken, resumed, wrong, missing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from molvae.core.errors import DownloadError
from molvae.data.download import download
from tests.data.fileserver import FileServer, serving

CONTENT = bytes(range(256)) * 2000  # 512 kB
SHA256 = {"sha256": hashlib.sha256(CONTENT).hexdigest()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(FileServer({"set.bin": CONTENT})) as running:
        yield running


def fetch(server: FileServer, path: Path, checksums: dict[str, str] | None = None) -> Path:
    return download(server.address + "/set.bin", path, checksums, attempts=3, wait_seconds=0.001, timeout_seconds=5)


def test_whole_file_arrives_and_nothing_else_stays(server: FileServer, tmp_path: Path) -> None:
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT
    assert [p.name for p in tmp_path.iterdir()] == ["set.bin"]


def test_file_that_is_there_is_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    fetch(server, tmp_path / "set.bin", SHA256)
    fetch(server, tmp_path / "set.bin", SHA256)
    assert len(server.requests) == 1


def test_damaged_file_is_fetched_again(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "set.bin").write_bytes(CONTENT[:-1])
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_truncated_transfer_is_resumed_at_once(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 70_000]
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT
    ranges = [asked for _, asked in server.requests]
    assert ranges == [None, "bytes=100000-", "bytes=100000-", "bytes=170000-"]


def test_transfer_that_was_given_up_is_resumed_by_the_next_call(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="gave up after 3 attempts.*100,000 bytes are kept"):
        fetch(server, tmp_path / "set.bin", SHA256)
    assert not (tmp_path / "set.bin").exists()
    server.cut_after.clear()
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=100000-"


def test_server_without_ranges_sends_all_again(server: FileServer, tmp_path: Path) -> None:
    server.ranges, server.cut_after = False, [100_000]
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_without_entity_tag_nothing_is_joined(server: FileServer, tmp_path: Path) -> None:
    server.tag, server.cut_after = None, [100_000]
    assert fetch(server, tmp_path / "set.bin").read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, None]


def test_halves_of_two_versions_are_never_joined(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "set.bin")
    server.cut_after.clear()
    server.tag, server.files["set.bin"] = '"2"', CONTENT[::-1]
    assert fetch(server, tmp_path / "set.bin").read_bytes() == CONTENT[::-1]


def test_part_that_is_whole_already_needs_no_bytes(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "set.bin", SHA256)
    server.cut_after.clear()
    (tmp_path / "set.bin.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_spoilt_part_is_noticed_and_fetched_from_the_start(server: FileServer, tmp_path: Path) -> None:
    server.cut_after = [100_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "set.bin", SHA256)
    server.cut_after.clear()
    (tmp_path / "set.bin.part").write_bytes(b"x" * 100_000)
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


def test_wrong_checksum_removes_the_file_and_says_so(server: FileServer, tmp_path: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(
        DownloadError, match=f"wrong checksum.*removed.*expected sha256 {wrong}, got {SHA256['sha256']}"
    ):
        fetch(server, tmp_path / "set.bin", {"sha256": wrong})
    assert list(tmp_path.iterdir()) == []


def test_md5_is_checked_too(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="md5"):
        fetch(server, tmp_path / "set.bin", {"md5": "0" * 32})


def test_missing_file_is_not_tried_again(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=re.escape("gone.bin: the server answered 404")):
        download(server.address + "/gone.bin", tmp_path / "gone.bin")
    assert len(server.requests) == 1
    assert list(tmp_path.iterdir()) == []


def test_busy_server_is_tried_again(server: FileServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert fetch(server, tmp_path / "set.bin", SHA256).read_bytes() == CONTENT


@pytest.mark.parametrize("by_type", [True, False])
def test_web_page_is_no_data(server: FileServer, tmp_path: Path, by_type: bool) -> None:
    server.files["set.bin"] = b"\n<!DOCTYPE html><title>Please log in</title>"
    server.content_type = "text/html; charset=utf-8" if by_type else "application/octet-stream"
    with pytest.raises(DownloadError, match="web page and not the file"):
        fetch(server, tmp_path / "set.bin")
    assert list(tmp_path.iterdir()) == []


def test_git_lfs_pointer_is_no_data(server: FileServer, tmp_path: Path) -> None:
    server.files["set.bin"] = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    with pytest.raises(DownloadError, match="Git LFS pointer"):
        fetch(server, tmp_path / "set.bin")


def test_no_server_at_all(tmp_path: Path) -> None:
    with serving(FileServer({})) as gone:
        address = gone.address
    with pytest.raises(DownloadError, match="gave up after 2 attempts: no connection"):
        download(address + "/set.bin", tmp_path / "set.bin", attempts=2, wait_seconds=0.001)


def test_only_http(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="expected an http or https address"):
        download("file:///etc/passwd", tmp_path / "set.bin")


def test_place_that_cannot_be_written(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        fetch(server, tmp_path / "file" / "set.bin")
