"""One file over HTTP: resumed where it broke off, checked, whole or absent.

The transfer goes to `NAME.part`; `NAME.part.json` remembers the entity tag, so that a resumed transfer never joins the
halves of two versions of the file (RFC 9110, If-Range).
"""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from molvae.core.errors import DownloadError
from molvae.core.files import read_json, write_json
from molvae.core.progress import Progress, progress

log = logging.getLogger("molvae")

PIECE_BYTES = 1 << 16
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
NOT_DATA = {b"<!doctype html": "a web page", b"<html": "a web page", b"version https://git-lfs": "a Git LFS pointer"}


class _Broken(Exception):
    """The transfer broke off and can be resumed."""


def download(
    url: str,
    path: str | Path,
    checksums: Mapping[str, str] | None = None,
    *,
    attempts: int = 5,
    wait_seconds: float = 1.0,
    timeout_seconds: float = 30.0,
) -> Path:
    """Fetch `url` to `path`; a file already there with the right checksums is not fetched again.

    Args:
        url: http or https.
        path: final name.
        checksums: hexadecimal digests by algorithm ("sha256", "md5") that the file must have.
        attempts: how often a transfer that breaks off, or a server that is busy, is tried in a row without progress.
        wait_seconds: before the second attempt; doubled each time.
        timeout_seconds: silence after which a transfer counts as broken.

    Raises:
        DownloadError: not to be had, no data file, wrong checksum (the file is then removed), or not writable.
    """
    path, checksums = Path(path), dict(checksums or {})
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"{url}: expected an http or https address")
    if path.exists() and (not checksums or not _differing(path, checksums)):
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        _transfer_all(url, part, attempts, wait_seconds, timeout_seconds)
        if resumed and _differing(part, checksums):
            log.warning("%s: what was resumed does not have the right checksum; fetching it from the start", url)
            _remove(part)
            _transfer_all(url, part, attempts, wait_seconds, timeout_seconds)
        _check(url, part, checksums)
        with open(part, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(part, path)
    except DownloadError:
        raise
    except OSError as error:
        raise DownloadError(f"{path}: cannot be written ({error.strerror or error})") from error
    _remove(part)
    return path


def _transfer_all(url: str, part: Path, attempts: int, wait_seconds: float, timeout_seconds: float) -> None:
    """Transfer, and go on after breaks; every attempt that brings new bytes starts the count again."""
    failures, most = 0, part.stat().st_size if part.exists() else 0
    with progress(None, url.rsplit("/", 1)[-1], "bytes") as bar:
        while True:
            try:
                _transfer(url, part, timeout_seconds, bar)
                return
            except _Broken as error:
                after = part.stat().st_size if part.exists() else 0
                failures, most = (1, after) if after > most else (failures + 1, most)
                if failures >= attempts:
                    kept = f"; {after:,} bytes are kept and will be resumed" if after else ""
                    raise DownloadError(f"{url}: gave up after {attempts} attempts: {error}{kept}") from error
                log.warning("%s: %s; trying again", url, error)
                time.sleep(wait_seconds * 2 ** (failures - 1))


def _transfer(url: str, part: Path, timeout_seconds: float, bar: Progress) -> None:
    """One request, from where the part file ends."""
    start, headers = _resume_headers(url, part)
    request = urllib.request.Request(url, headers={"User-Agent": "molvae", "Accept-Encoding": "identity"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=timeout_seconds) as response:
            if start and not _continues(response, start):
                start = 0
            _refuse_pages(url, response)
            if start == 0:
                part.write_bytes(b"")
                write_json(_notes(part), {"url": url, "validator": _validator(response)})
            _receive(url, part, start, response, bar)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing after what we have: it is whole, or of another version
            if error.headers.get("Content-Range", "").endswith(f"/{start}"):
                return
            _remove(part)
            raise _Broken("the file on the server has changed") from error
        if error.code in RETRIED_STATUS:
            raise _Broken(f"the server answered {error.code} {error.reason}") from error
        raise DownloadError(f"{url}: the server answered {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise _Broken(f"no connection ({error.reason})") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise _Broken(f"the transfer broke off ({error or type(error).__name__})") from error


def _receive(url: str, part: Path, start: int, response: Any, bar: Progress) -> None:
    expected = response.headers.get("Content-Length")
    received = 0
    with open(part, "ab") as handle:
        while piece := response.read(PIECE_BYTES):
            if start + received == 0:
                _refuse_content(url, part, piece)
            handle.write(piece)
            received += len(piece)
            bar.advance(len(piece))
    if expected is not None and received < int(expected):
        raise _Broken(f"the transfer broke off after {received:,} of {int(expected):,} bytes")


def _resume_headers(url: str, part: Path) -> tuple[int, dict[str, str]]:
    """Where to go on and how to ask for it; a part whose version is not known is begun again."""
    try:
        size, notes = part.stat().st_size, read_json(_notes(part))
    except (OSError, ValueError):
        return 0, {}
    if size == 0 or notes.get("url") != url or not notes.get("validator"):
        return 0, {}
    return size, {"Range": f"bytes={size}-", "If-Range": notes["validator"]}


def _continues(response: Any, start: int) -> bool:
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")


def _validator(response: Any) -> str | None:
    """What names this version of the file: a strong entity tag, else the date of its last change."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")


def _refuse_pages(url: str, response: Any) -> None:
    if response.headers.get_content_type() == "text/html":
        raise DownloadError(f"{url}: the server sent a web page and not the file (a login, consent or proxy page?)")


def _refuse_content(url: str, part: Path, piece: bytes) -> None:
    beginning = piece[:64].lstrip().lower()
    for mark, what in NOT_DATA.items():
        if beginning.startswith(mark):
            _remove(part)
            raise DownloadError(f"{url}: the server sent {what} and not the file")


def _check(url: str, part: Path, checksums: Mapping[str, str]) -> None:
    if differing := _differing(part, checksums):
        _remove(part)
        raise DownloadError(
            f"{url}: wrong checksum, so the file was removed: {differing}; try again, or another mirror"
        )


def _differing(path: Path, checksums: Mapping[str, str]) -> str:
    """What is wrong with a file's checksums, in words; empty if nothing is."""
    wrong = []
    for algorithm, expected in checksums.items():
        with open(path, "rb") as handle:
            found = hashlib.file_digest(handle, algorithm).hexdigest()
        if found != expected.lower():
            wrong.append(f"expected {algorithm} {expected}, got {found}")
    return ", ".join(wrong)


def _notes(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _remove(part: Path) -> None:
    part.unlink(missing_ok=True)
    _notes(part).unlink(missing_ok=True)
