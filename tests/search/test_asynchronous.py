"""Many workers: nothing is scored twice, nothing is lost, proposals know what is on its way, and nobody waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from search_molecules import METHOD, MOLECULES

from molvae.chem.filters import PropertyWindow
from molvae.chem.molecules import parse
from molvae.core.config import dump_config, parse_config
from molvae.core.errors import ConfigError, Interrupted, OracleError
from molvae.core.files import read_json, write_json
from molvae.oracles import CachedOracle, ParallelOracle, oracle
from molvae.oracles.command import CommandOracle
from molvae.oracles.isolated import in_processes, isolated
from molvae.oracles.oracle import Minimised, Oracle
from molvae.search import optimise
from molvae.search.ask_tell import Search
from molvae.search.asynchronous import run_with_crew, still_to_do
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import Constraints
from molvae.search.features import CountFingerprint
from molvae.search.kernel import tanimoto
from molvae.search.ledger import Ledger, Record
from molvae.search.methods import Setting
from molvae.search.run import run
from molvae.search.surrogate import TanimotoGP
from molvae.workers.crew import Scored, Task
from molvae.workers.local import LocalCrew


class Slow(Oracle):
    """Scores by length after a while, and remembers all calls and how many there were at a time."""

    name = "slow"

    def __init__(self, seconds: float = 0.0, rule: Any = len) -> None:
        self.seconds, self.rule, self.seen = seconds, rule, list[str]()
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, smiles: Sequence[str]) -> np.ndarray:
        with self._lock:
            self.seen += smiles
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        with self._lock:
            self.now -= 1
        return np.array([self.rule(s) for s in smiles], dtype=float)


def search(n: int = 6) -> Search:
    return METHOD.build(Setting(start=MOLECULES[:n]))


# --- proposals and what is pending ---


def test_a_believer_keeps_its_means_and_loses_uncertainty_as_if_it_had_observed() -> None:
    prints = CountFingerprint()([mol for s in MOLECULES if (mol := parse(s)) is not None])
    told, pending, rest = prints[:5], prints[5:8], prints[8:]
    gp = TanimotoGP(noise=1e-2, scaling="standard")
    gp.append(told, np.array([3.0, 1.0, 4.0, 1.0, 5.0]))
    before = gp.posterior(rest)
    seen = prints[:8]
    kernel = tanimoto(seen, seen) + 1e-2 * np.eye(8)
    across = tanimoto(seen, rest)
    variance = 1.0 - np.einsum("nm,nm->m", across, np.linalg.solve(kernel, across))
    with gp.believing(pending):
        believed = gp.posterior(rest)
    np.testing.assert_allclose(believed.mean, before.mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(believed.std, before.scale * np.sqrt(variance), rtol=1e-9)
    assert (believed.std < before.std).all()
    after = gp.posterior(rest)
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.std, before.std)
    gp.append(rest[:1], np.array([2.0]))
    other = TanimotoGP(noise=1e-2, scaling="standard")
    other.append(told, np.array([3.0, 1.0, 4.0, 1.0, 5.0]))
    other.append(rest[:1], np.array([2.0]))
    np.testing.assert_allclose(gp.posterior(rest).std, other.posterior(rest).std, rtol=1e-12)


def test_pending_molecules_are_not_asked_again_and_do_not_count_as_told() -> None:
    one = search(4)
    first = [c.smiles for c in one.ask(3)]
    assert first == MOLECULES[:3]
    assert [c.smiles for c in one.ask(3, first)] == MOLECULES[3:4]
    one.tell(MOLECULES[:4], [1.0, 2.0, 3.0, 4.0])
    alone = [c.smiles for c in one.ask(4)]
    beside = [c.smiles for c in one.ask(4, alone)]
    assert beside == [c.smiles for c in one.ask(4, alone)]
    assert len({*alone, *beside, *MOLECULES[:4]}) == 12
    assert set(one.values) == set(MOLECULES[:4])
    one.tell(beside, [5.0] * 4)  # out of order
    one.tell(alone, [5.0] * 4)
    assert one.batch == 3


def test_what_is_noted_outlives_results_told_one_by_one() -> None:
    one = search(4)
    one.ask(4)
    one.tell(MOLECULES[:4], [1.0, 2.0, 3.0, 4.0])
    asked = [c.smiles for c in one.ask(2)]
    note = one.note
    assert note
    one.tell(asked[:1], [1.0])
    one.tell(asked[1:], [1.0])
    assert one._noted == note
    again = search(4)
    again.load_state_dict(one.state_dict())
    assert again._noted == note
    assert again.ask(3) == one.ask(3)


# --- the loop ---


@pytest.mark.parametrize(("budget", "workers", "ahead"), [(1, 3, None), (25, 4, None), (23, 3, 0)])
def test_budget_is_met_and_nothing_is_scored_twice(budget: int, workers: int, ahead: int | None) -> None:
    slow = Slow(0.002)
    with LocalCrew(slow, workers, ahead) as crew:
        result = run_with_crew(search(), crew, Ledger(), budget=budget, batch_size=2)
    assert result.reason == "budget"
    assert len(result.smiles) == len(set(result.smiles)) == len(slow.seen) == budget
    assert set(result.smiles) == set(slow.seen)
    assert slow.most <= workers
    assert result.values.tolist() == [len(s) for s in result.smiles]
    assert [r.call for r in result.records] == list(range(1, budget + 1))


class Together(Oracle):
    """Scores only when so many molecules are being scored at the same time."""

    name = "together"

    def __init__(self, n: int) -> None:
        self.barrier = threading.Barrier(n)

    def __call__(self, smiles: Sequence[str]) -> np.ndarray:
        self.barrier.wait(60)  # raises if the others do not come
        return np.array([float(len(s)) for s in smiles])


def test_all_workers_are_busy_at_once() -> None:
    with LocalCrew(Together(8), 8) as crew:
        result = run_with_crew(search(12), crew, Ledger(), budget=32, batch_size=2)
    assert len(set(result.smiles)) == 32


def test_failures_and_infeasible_molecules_are_recorded() -> None:
    small = PropertyWindow("mw", high=160)
    one = METHOD.build(Setting(start=MOLECULES[:8], accept=small))
    rule = {MOLECULES[0]: np.nan, MOLECULES[1]: np.inf}
    with LocalCrew(Slow(rule=lambda s: rule.get(s, 1.0)), 3) as crew:
        result = run_with_crew(one, crew, Ledger(), budget=16, batch_size=2, constraints=Constraints({"mw": small}))
    values = dict(zip(result.smiles, result.values, strict=True))
    assert np.isnan([values[MOLECULES[0]], values[MOLECULES[1]]]).all()
    assert {r.feasible for r in result.records if r.proposer == "start"} == {True, False}
    assert all(r.feasible for r in result.records if r.proposer != "start")


class Gated(LocalCrew):
    """Opens a gate when it is told to begin nothing new."""

    def pause(self) -> None:
        super().pause()
        GATE.set()


GATE = threading.Event()


def test_a_stop_records_what_is_being_scored_and_begins_nothing(tmp_path: Path) -> None:
    ledger, file, start = Ledger(), tmp_path / "pending.json", ["C" * n for n in range(1, 31)]
    GATE.clear()
    slow = Slow(rule=lambda s: len(s) if len(slow.seen) <= 7 or GATE.wait(60) else np.nan)
    with Gated(slow, 3, file=file) as crew:
        one = METHOD.build(Setting(start=start))
        stopped = lambda: len(ledger) >= 5 and crew.wanted == 0  # noqa: E731  # three are at the gate, three wait
        result = run_with_crew(one, crew, ledger, budget=40, batch_size=2, stopped=stopped)
    assert result.reason == "stopped"
    assert set(slow.seen) == set(result.smiles)  # what was begun was finished
    left = [entry[0] for entry in read_json(file) if entry[0] not in result.smiles]
    assert left
    again = Slow()
    with LocalCrew(again, 1, file=file, still=still_to_do(ledger, in_order=False)) as crew:
        assert [task.smiles for task in crew.pending] == left
        one = METHOD.build(Setting(start=start))
        result = run_with_crew(one, crew, ledger, budget=40, batch_size=2)
    assert again.seen[: len(left)] == left
    assert len(result.smiles) == len(set(result.smiles)) == 40
    assert not set(again.seen) & set(slow.seen)
    assert not file.exists()


def test_a_stop_while_the_crew_is_out_of_reach_keeps_what_was_recorded() -> None:
    class Vanishing(LocalCrew):
        def finished(self, seconds: float) -> list[Scored]:
            if len(ledger) >= 5:
                raise Interrupted("stopped while the storage was out of reach")
            return super().finished(seconds)

    ledger = Ledger()
    with Vanishing(Slow(), 1, ahead=0) as crew:  # one at a time, however busy the machine is
        result = run_with_crew(search(), crew, ledger, budget=40, batch_size=2)
    assert (result.reason, len(result.smiles)) == ("stopped", 5)


def test_an_oracle_that_cannot_run_ends_the_search() -> None:
    with LocalCrew(Slow(rule=lambda s: [1.0, 2.0]), 2) as crew, pytest.raises(OracleError, match="expected 1 scores"):
        run_with_crew(search(), crew, Ledger(), budget=9, batch_size=2)


def test_a_search_without_new_molecules_ends() -> None:
    one = METHOD.build(Setting(start=MOLECULES[:5], accept=lambda mol: False))
    with LocalCrew(Slow(), 3) as crew:
        result = run_with_crew(one, crew, Ledger(), budget=50, batch_size=2)
    assert (len(result.smiles), result.reason) == (5, "no new molecules")


def test_a_batch_cut_short_before_there_were_workers_is_kept() -> None:
    ledger = Ledger()
    for i in range(2):
        ledger.add(Record(i + 1, MOLECULES[i], 5.0, "start", 0, 5, 5, 0.0))
    with LocalCrew(Slow(), 2) as crew:
        result = run_with_crew(search(), crew, ledger, budget=12, batch_size=2)
    assert result.smiles[:2] == MOLECULES[:2]
    assert len(set(result.smiles)) == 12
    assert [record.batch for record in result.records] == [0, *range(11)], "as a replay counts them"


# --- oracles in processes ---


def test_what_is_isolated_keeps_its_own_way(tmp_path: Path) -> None:
    qed = oracle("qed")
    assert isinstance(isolated(qed, 3, 5.0), ParallelOracle)
    command = CommandOracle("true")
    assert isolated(command, 3, 5.0) is command
    cached = isolated(CachedOracle(Minimised(qed), tmp_path / "c.sqlite"), 3, 5.0)
    assert isinstance(cached, CachedOracle)
    assert isinstance(cached.inner, Minimised)
    inner = cached.inner.inner
    assert isinstance(inner, ParallelOracle)
    assert (inner.workers, inner.timeout_seconds) == (3, 5.0)
    assert isolated(ParallelOracle(qed, 1, 7.0), 3, 5.0).timeout_seconds == 7.0  # type: ignore[attr-defined]
    cached.close()


def test_a_program_has_its_own_time_in_a_process(tmp_path: Path) -> None:
    terms = [{"component": {"kind": "command", "command": ["true"], "timeout_seconds": 300}}]
    docked = oracle("desirability", terms=terms)
    assert isolated(docked, 2, 60.0).timeout_seconds == 360.0  # type: ignore[attr-defined]
    with in_processes(CachedOracle(docked, tmp_path / "c.sqlite"), 2) as cached:
        assert isinstance(cached, CachedOracle)
        assert cached.inner.timeout_seconds == 360.0  # type: ignore[attr-defined]
    assert in_processes(CommandOracle("true", timeout_seconds=200), 2).timeout_seconds == 260.0  # type: ignore[attr-defined]
    own = in_processes(ParallelOracle(oracle("qed"), 1, 7.0, chunk=3), 2)
    assert isinstance(own, ParallelOracle)
    assert (own.workers, own.timeout_seconds, own.chunk) == (2, 7.0, 3)


@pytest.mark.integration
def test_closing_ends_what_hangs() -> None:
    with oracle(lambda smiles: time.sleep(1000)) as hanging, LocalCrew(isolated(hanging, 2, 500.0), 2) as crew:
        result = run_with_crew(search(), crew, Ledger(), budget=9, batch_size=2, stopped=_after(crew, 3.0))
    assert result.records == ()  # what was cut off has no score
    assert len(crew.pending) == 4


def _after(crew: LocalCrew, seconds: float) -> Any:
    """Closes the crew after so many seconds, as a second Ctrl-C would, and says to stop."""
    deadline = time.monotonic() + seconds

    def stopped() -> bool:
        if time.monotonic() < deadline:
            return False
        crew.close()
        return True

    return stopped


@pytest.mark.integration
def test_functions_run_in_processes(tmp_path: Path) -> None:
    def pid(smiles: str) -> float:
        time.sleep(0.05)
        return float(os.getpid())

    result = optimise(pid, 12, start=MOLECULES, method=METHOD, workers=2, ledger=tmp_path / "journal.log")
    assert len(set(result.values)) == 2
    assert os.getpid() not in result.values
    assert [r.smiles for r in Ledger(tmp_path / "journal.log").records] == result.smiles


SCRIPT = """
import sys
from pathlib import Path
from molvae.core.config import load_config
from molvae.search.run import run
from molvae.search.config import OptimiseConfig
run(load_config(Path(sys.argv[1]), OptimiseConfig), sys.argv[2])
"""


def config(tmp_path: Path, **settings: Any) -> OptimiseConfig:
    (tmp_path / "start.smi").write_text("\n".join(MOLECULES))
    start = {"file": str(tmp_path / "start.smi"), "n": 8}
    return parse_config(
        {
            "oracle": {"kind": "named", "name": "qed"},
            "search": {"budget": 40, "start": start, "workers": 3, **settings},
            "method": METHOD.model_dump(mode="json"),
        },
        OptimiseConfig,
    )


@pytest.mark.integration
@pytest.mark.parametrize("in_flight", [None, 5])
def test_killed_and_resumed_loses_nothing(in_flight: int | None, tmp_path: Path) -> None:
    settings = {} if in_flight is None else {"in_flight": in_flight}
    dump_config(config(tmp_path, **settings), tmp_path / "config.toml")
    folder = tmp_path / "run"
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "config.toml"), str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    journal = folder / "journal.log"
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 20):
        time.sleep(0.002)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = [r.smiles for r in Ledger(journal).records]
    left = [entry[0] for entry in read_json(folder / "pending.json") if entry[0] not in before]
    result = run(config(tmp_path, workers=2, **settings), folder)  # the number of workers may change
    assert result.smiles[: len(before)] == before
    assert left
    assert set(left) <= set(result.smiles)
    if in_flight is not None:
        assert result.smiles == run(config(tmp_path, **settings), tmp_path / "whole").smiles
    table = pd.read_parquet(folder / "molecules.parquet")
    assert len(table) == table["smiles"].nunique() == 40
    values = oracle("qed")(table["smiles"].tolist())
    np.testing.assert_array_equal(table["value"], values)
    assert not (folder / "pending.json").exists()


def test_workers_here_and_elsewhere_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="for this machine alone"):
        config(tmp_path, distributed={})


def test_what_was_pending_in_another_search_is_not_scored(tmp_path: Path) -> None:
    file = tmp_path / "pending.json"
    write_json(file, [Task("CCO", "start", {}, 0)])
    with LocalCrew(Slow(), 1, file=file, still=still_to_do(Ledger(), in_order=False)) as crew:
        assert not crew.pending
