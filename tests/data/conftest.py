"""Shared by the tests of data."""

from __future__ import annotations

import pytest

from molvae.data import prepare as prepare_module


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 25 rows, so that a few molecules make several."""
    monkeypatch.setattr(prepare_module, "ROWS_PER_CHUNK", 25)
