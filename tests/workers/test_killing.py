"""A distributed search, workers and coordinator killed with -9: every budgeted call is recorded exactly once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import optuna
import pandas as pd
import pytest
from optuna.trial import TrialState
from postgres_server import PASSWORD

from molvae.workers.study import LOST

BUDGET = 60

PROGRAM = """
import json, sys, time
for line in sys.stdin:
    smiles = line.strip()
    with open(sys.argv[1], "a") as calls:
        calls.write(smiles + "\\n")
    time.sleep(0.3)
    value = None if len(smiles) % 7 == 0 else len(smiles) / 100
    print(json.dumps({"smiles": smiles, "value": value}), flush=True)
"""

CONFIG = """
[oracle]
kind = "command"
command = [{python!r}, "-S", {program!r}, {calls!r}]

[search]
budget = {budget}

[search.start]
file = {start!r}
n = 8

[search.distributed]
study = "killed"
heartbeat_seconds = 1
grace_seconds = 4

[method]
kind = "bayesian"

[method.inner]
generations = 2
candidates = 20

[[method.proposers]]
kind = "graph_mutation"

[[method.proposers]]
kind = "graph_crossover"
"""

START = ["CC(=O)Oc1ccccc1C(=O)O", "CC(=O)Nc1ccc(O)cc1", "CN1CCCC1c1cccnc1", "NCCc1ccc(O)c(O)c1", "O=C(O)c1ccccc1O"]
START += ["OC1CCCCC1N", "CC(N)Cc1ccccc1", "Cc1ccccc1NC(=O)CN"]


class Site:
    """A folder in which coordinator and workers are started as a user would."""

    def __init__(self, folder: Path, storage: str) -> None:
        self.folder, self.run = folder, folder / "run"
        self.environment = {**os.environ, "MOLVAE_STORAGE": storage, "OMP_NUM_THREADS": "1"}
        self.processes: list[subprocess.Popen[bytes]] = []
        (folder / "program.py").write_text(PROGRAM)
        (folder / "start.smi").write_text("\n".join(START))
        names = {"program": folder / "program.py", "calls": folder / "calls", "start": folder / "start.smi"}
        text = CONFIG.format(python=sys.executable, budget=BUDGET, **{k: str(v) for k, v in names.items()})
        (folder / "config.toml").write_text(text.replace("'", '"'))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "said", "ab") as said:
            command = [sys.executable, "-m", "molvae", *arguments]
            process = subprocess.Popen(command, stdout=said, stderr=said, env=self.environment)
        self.processes.append(process)
        return process

    def coordinator(self) -> subprocess.Popen[bytes]:
        return self.start("optimise", str(self.folder / "config.toml"), "--run-dir", str(self.run))

    def recorded(self) -> int:
        """Roughly how many molecules are in the journal."""
        journal = self.run / "journal.log"
        return journal.read_bytes().count(b"\n") if journal.exists() else 0

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def site(tmp_path: Path, postgres: str) -> Iterator[Site]:
    with ExitStack() as stack:
        made = Site(tmp_path, postgres)
        stack.callback(made.close)
        yield made


def wait_until(true: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(process: subprocess.Popen[bytes]) -> None:
    assert process.poll() is None
    process.kill()
    process.wait()


@pytest.mark.integration
@pytest.mark.timeout(900)  # a quarter of a minute on a quiet machine; eleven processes on a busy one take their time
def test_every_call_is_recorded_once_whoever_is_killed(site: Site, postgres: str) -> None:
    workers = [site.start("worker", "--study", "killed") for _ in range(4)]
    first = site.coordinator()
    wait_until(lambda: site.recorded() > 15)
    kill(workers[0])
    wait_until(lambda: site.recorded() > 25)
    kill(first)
    second = site.coordinator()
    before = site.recorded()
    wait_until(lambda: site.recorded() > before + 5)
    kill(workers[1])
    said = site.folder / "said"
    assert second.wait(240) == 0, said.read_text()
    assert [worker.wait(240) for worker in workers[2:]] == [0, 0], said.read_text()

    table = pd.read_parquet(site.run / "molecules.parquet")
    assert len(table) == BUDGET
    assert table["smiles"].is_unique
    expected = [None if len(s) % 7 == 0 else len(s) / 100 for s in table["smiles"]]
    pd.testing.assert_series_equal(table["value"], pd.Series(expected, dtype=float, name="value"))
    assert table["value"].isna().any()

    study = optuna.load_study(study_name="killed", storage=postgres.replace("postgresql", "postgresql+psycopg"))
    scored = [t for t in study.trials if t.state in (TrialState.COMPLETE, TrialState.FAIL)]
    assert sorted(t.user_attrs["smiles"] for t in scored) == sorted(table["smiles"])
    assert len(study.trials) == BUDGET

    calls = Counter((site.folder / "calls").read_text().split())
    assert set(calls) == set(table["smiles"])
    given_back = sum(t.user_attrs.get(LOST, 0) for t in study.trials)
    assert sum(calls.values()) <= BUDGET + given_back  # work that was lost, and nothing else, is done again
    texts = [p.read_bytes() for p in (said, *site.run.rglob("*")) if p.is_file()]
    assert not any(PASSWORD.encode() in text for text in texts)
