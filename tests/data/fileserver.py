"""A file server on loopback that can misbehave in the ways that real ones do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Files by name, and faults to show.

    Attributes:
        files: name -> content.
        cut_after: bytes after which a response breaks off, one for each of the next responses.
        statuses: status codes to answer with, one for each of the next responses.
        ranges: whether Range is understood.
        tag: entity tag of all files.
        content_type: what the server says it sends.
        requests: (path, Range header) of all requests so far.
        address: http://127.0.0.1:PORT
    """

    files: dict[str, bytes]
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    tag: str | None = '"1"'
    content_type: str = "application/octet-stream"
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    address: str = ""


@contextmanager
def serving(server: FileServer) -> Iterator[FileServer]:
    """Serve while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _answer(server, self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _answer(server: FileServer, request: BaseHTTPRequestHandler) -> None:
    asked = request.headers.get("Range")
    server.requests.append((request.path, asked))
    content = server.files.get(request.path.lstrip("/"))
    status = server.statuses.pop(0) if server.statuses else 404 if content is None else 200
    if status != 200 or content is None:
        request.send_error(status)
        return
    start = 0
    if asked and server.ranges and request.headers.get("If-Range") == server.tag:
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if server.tag:
        request.send_header("ETag", server.tag)
    request.send_header("Content-Type", server.content_type)
    request.send_header("Content-Length", str(len(content) - start))
    request.end_headers()
    body = content[start:]
    request.wfile.write(body[: server.cut_after.pop(0)] if server.cut_after else body)
