"""One PostgreSQL server for all tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from postgres_server import binaries, server


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a fresh PostgreSQL database; skips where there is no server, except in CI, where that is a failure."""
    if binaries() is None:
        reason = "no PostgreSQL server binaries (Debian: apt-get install postgresql)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    pytest.importorskip("psycopg", reason="needs the extra `distributed`")
    with server() as address:
        yield address
