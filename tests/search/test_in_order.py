"""With scores told in the order of proposals, neither the number of workers nor a stop changes what a search finds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_molecules import METHOD, MOLECULES

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError
from molvae.oracles.oracle import Oracle
from molvae.search import optimise
from molvae.search.asynchronous import run_with_crew, still_to_do
from molvae.search.config import SearchSpec
from molvae.search.ledger import Ledger
from molvae.search.methods import Setting
from molvae.workers.local import LocalCrew

CALLS = 40


class Uneven(Oracle):
    """Scores by length, and takes twenty times as long for some as for others."""

    name = "uneven"

    def __call__(self, smiles: Sequence[str]) -> np.ndarray:
        for each in smiles:
            time.sleep(0.02 if len(each) % 3 else 0.001)
        return np.array([float(len(each)) for each in smiles])


def found(workers: int, ledger: Ledger, file: Path | None = None, in_flight: int = 6, **how: Any) -> list[str]:
    crew = LocalCrew(Uneven(), workers, in_flight=in_flight, file=file, still=still_to_do(ledger, in_order=True))
    with crew:
        search = METHOD.build(Setting(start=MOLECULES[:8]))
        return run_with_crew(search, crew, ledger, budget=CALLS, batch_size=2, **how).smiles


@pytest.fixture(scope="module")
def whole() -> Ledger:
    """A search by one worker."""
    ledger = Ledger()
    found(1, ledger)
    return ledger


def test_the_number_of_workers_does_not_matter(whole: Ledger) -> None:
    smiles = [r.smiles for r in whole.records]
    assert len(set(smiles)) == CALLS
    for workers in (2, 6):
        other = Ledger()
        assert found(workers, other) == smiles
        assert [(r.batch, r.asked, r.note) for r in other.records] == [
            (r.batch, r.asked, r.note) for r in whole.records
        ]


def test_what_is_in_flight_does(whole: Ledger) -> None:
    assert found(3, Ledger(), in_flight=4) != [r.smiles for r in whole.records]


@pytest.mark.parametrize("calls", [0, 1, 3, 11, 33])
def test_a_stopped_search_goes_on_as_if_it_had_not_been(whole: Ledger, calls: int, tmp_path: Path) -> None:
    smiles = [r.smiles for r in whole.records]
    ledger, file = Ledger(), tmp_path / "pending.json"
    begun = found(3, ledger, file, stopped=lambda: len(ledger) >= calls)
    assert calls <= len(begun) < CALLS
    assert begun == smiles[: len(begun)]
    assert found(2, ledger, file) == smiles
    assert not file.exists()


@pytest.mark.integration
def test_a_search_in_python_is_repeated_and_continued(tmp_path: Path) -> None:
    def run(budget: int, workers: int, ledger: Path | None) -> list[str]:
        return optimise(
            "qed", budget, start=MOLECULES[:8], method=METHOD, workers=workers, in_flight=4, ledger=ledger
        ).smiles

    assert run(20, 1, tmp_path / "journal.log") == run(20, 3, None)
    assert run(30, 2, tmp_path / "journal.log")[:20] == run(20, 2, None)
    assert [path.name for path in tmp_path.iterdir() if "pending" in path.name] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"workers": 3, "in_flight": 2}, r"at least as many as workers \(3\); got 2"),
        ({"in_flight": 8, "ahead": 1}, "neither with ahead"),
        ({"in_flight": 8, "distributed": {}}, "neither with ahead"),
    ],
)
def test_what_does_not_go_together_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_config(settings, SearchSpec)
