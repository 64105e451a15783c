"""Training as processes that are killed, signalled, and that work together."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import events, small_config, training_command, weights

from molvae.core.config import dump_config
from molvae.core.files import read_events
from molvae.model.checkpoint import load_checkpoint
from molvae.training.config import TrainConfig, ValidationSpec
from molvae.training.trainer import train

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 200
pytestmark = pytest.mark.integration


def long_config(data: Path, epochs: int) -> TrainConfig:
    """Saves after every step, so that a kill may come in the middle of saving."""
    looks = ValidationSpec(every_steps=1000, n_molecules=8)
    return small_config(data, epochs=epochs, checkpoint_minutes=1e-6, validation=looks)


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, text=True, stderr=subprocess.PIPE
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert process.poll() is None, f"ended too soon: {process.communicate()[1][-2000:]}"
        assert time.monotonic() < end
        time.sleep(0.01)


def logged(run_dir: Path, step: int) -> bool:
    """Whether the run has come to a logged step (every twentieth is)."""
    path = run_dir / "events.jsonl"
    return path.exists() and any(e.get("step", 0) >= step for e in read_events(path) if e["event"] == "train")


@pytest.fixture(scope="module")
def uninterrupted(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of the run of 120 steps that is never stopped."""
    directory = tmp_path_factory.mktemp("uninterrupted")
    train(long_config(tiny_prepared, 30), directory)
    return weights(directory)


def test_killed_and_resumed_equals_uninterrupted(uninterrupted: str, tiny_prepared: Path, tmp_path: Path) -> None:
    config, run_dir, rng = long_config(tiny_prepared, 30), tmp_path / "run", random.Random()
    for at in (20, 60):
        process = start(training_command(config, run_dir))
        wait_until(lambda at=at: logged(run_dir, at), process)
        time.sleep(rng.uniform(0, 0.1))
        process.kill()
        process.communicate()
        assert not (run_dir / "manifest.json").exists(), "the kill came too late to test anything"
    train(config, run_dir)
    assert weights(run_dir) == uninterrupted
    starts = [event["step"] for event in events(run_dir, "start")]
    assert starts[0] == 0
    assert starts[1] >= 19
    assert starts[2] >= 59


def test_sigterm_saves_and_resuming_equals_uninterrupted(
    uninterrupted: str, tiny_prepared: Path, tmp_path: Path
) -> None:
    config = long_config(tiny_prepared, 30).model_copy(update={"checkpoint_minutes": 60.0})
    run_dir = tmp_path / "run"
    process = start(training_command(config, run_dir))
    wait_until(lambda: logged(run_dir, 40), process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert "Interrupted: stopped at step" in errors
    step = load_checkpoint(run_dir / "model")[1]["step"]
    assert 40 <= step < 120
    train(config, run_dir)
    assert weights(run_dir) == uninterrupted
    assert [event["step"] for event in events(run_dir, "start")] == [0, step]


def test_a_second_run_in_the_same_directory_is_refused(tiny_prepared: Path, tmp_path: Path) -> None:
    config, run_dir = long_config(tiny_prepared, 500), tmp_path / "run"
    first = start(training_command(config, run_dir))
    try:
        wait_until(lambda: logged(run_dir, 20), first)
        second = start(training_command(config, run_dir))
        assert "in use by another run" in second.communicate(timeout=LIMIT_SECONDS)[1]
        assert second.returncode != 0
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()


def test_training_loads_no_chemistry(tiny_prepared: Path, tmp_path: Path) -> None:
    command = training_command(small_config(tiny_prepared, epochs=1), tmp_path / "run")
    command[-1] += (
        "; import sys; sys.exit(', '.join({'rdkit', 'selfies', 'pandas', 'sklearn'} & set(sys.modules)) or 0)"
    )
    process = start(command)
    errors = process.communicate(timeout=LIMIT_SECONDS)[1]
    assert process.returncode == 0, errors[-2000:]


TOGETHER = """
import os
from pathlib import Path
from molvae.core import progress
from molvae.core.config import load_config
from molvae.core.stopping import StopFlag
from molvae.training.config import TrainConfig
from molvae.training.hardware import leave_the_others, set_up
from molvae.training.trainer import Run

here = Path({here!r})
progress.LOG_INTERVAL_SECONDS = 0.0
config = load_config(here / "run.toml", TrainConfig)
run = Run(config, here / "run", False, set_up(config))
run.to_the_end(StopFlag())
sums = [float(value.double().sum()) for value in run.model.state_dict().values()]
leave_the_others()
threads = [Path(f"/proc/self/task/{{task}}/comm").read_text() for task in os.listdir("/proc/self/task")]
assert not [name for name in threads if "gloo" in name], "they may abort the end of Python"
(here / ("rank" + os.environ["RANK"])).write_text(repr(sums))
"""


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def test_two_processes_train_one_model(tiny_prepared: Path, tmp_path: Path) -> None:
    """As torchrun starts them: half of the data each, the same weights at the end, one of them writes."""
    config = small_config(tiny_prepared, epochs=10, batch_size=8)
    dump_config(config, tmp_path / "run.toml")
    (tmp_path / "together.py").write_text(TOGETHER.format(here=str(tmp_path)))
    process = start([*TORCHRUN, str(tmp_path / "together.py")])
    errors = process.communicate(timeout=LIMIT_SECONDS)[1]
    assert process.returncode == 0, errors[-3000:]
    assert errors.count("training: 20/40 steps") == 1, "one of them shows progress"
    assert (tmp_path / "rank0").read_text() == (tmp_path / "rank1").read_text()
    model, info = load_checkpoint(tmp_path / "run" / "model")
    assert info["step"] == 40, "64 molecules, 8 for each of two processes, ten times"
    assert [float(value.double().sum()) for value in model.state_dict().values()] == pytest.approx(
        literal_eval((tmp_path / "rank0").read_text())
    )
    lines = events(tmp_path / "run", "train")
    assert [line["step"] for line in lines] == [20, 40]
    assert lines[1]["loss_nats"] < lines[0]["loss_nats"]


def test_one_of_several_processes_reports(tiny_prepared: Path, tmp_path: Path) -> None:
    dump_config(small_config(tiny_prepared, epochs=1, batch_size=8), tmp_path / "run.toml")
    command = ["-m", "molvae", "train", str(tmp_path / "run.toml"), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(
        [*TORCHRUN, *command], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["report", "model"]
