"""One PostgreSQL server for all tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from postgres_server import binaries, server

from molvae.workers.spec import DistributedSpec


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


@pytest.fixture
def spec(postgres: str, request: pytest.FixtureRequest) -> DistributedSpec:
    """A study of its own for each test; the coordinator watches for two seconds before it calls a worker lost."""
    return DistributedSpec(storage=postgres, study=request.node.name, heartbeat_seconds=1, grace_seconds=2, attempts=2)
