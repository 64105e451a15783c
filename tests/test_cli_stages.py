"""The stages through the command line, on real but tiny inputs: prepare, train, search, report, and being stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from molvae.cli.faults import run
from molvae.core.files import exclusive

ROOT = Path(__file__).parents[1]

TRAIN = """
data = "prepared"
device = "cpu"
[model]
embedding_dim = 8
encoder_dim = 16
decoder_dim = 16
[model.bottleneck]
latent_dim = 8
[optimiser]
epochs = 8
batch_size = 8
warmup_steps = 2
"""

SEARCH = """
seed = 1
weights = "model"
device = "cpu"
[oracle]
kind = "named"
name = "qed"
[search]
budget = 24
[method]
kind = "bayesian"
inner = { generations = 1, candidates = 10 }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prepare_counts_what_it_drops(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "\n".join(["CCO,train", "OCC,train", "CCCO,valid", "nonsense,train", "CCOC,test"])
    (folder / "in.csv").write_text(f"smiles,split\n{rows}\n")
    arguments = ["prepare", "in.csv", "--out", "prepared", "--split-column", "split", "--workers", "0"]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "3 of 5 rows kept" in out
    assert "not a valid SMILES" in out
    assert (folder / "prepared" / "dropped.csv").is_file()
    assert run([*arguments, "--set", "max_length=30"]) == 3
    assert "--overwrite" in capsys.readouterr().err
    assert run([*arguments, "--set", "max_lenght=30", "--column", "smile"]) == 2
    assert "did you mean 'max_length'?" in capsys.readouterr().err


@pytest.mark.integration
def test_train_resumes_and_reports(folder: Path, tiny_prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "t.toml").write_text(TRAIN.replace("prepared", str(tiny_prepared)))
    assert run(["train", "t.toml"]) == 0
    out = capsys.readouterr().out
    assert "model: runs/t/model" in out
    assert "train loss nats" in (folder / "runs" / "t" / "report.html").read_text()
    assert run(["sample", "-n", "3", "--model", "runs/t/model"]) == 0
    capsys.readouterr()
    assert run(["train", "t.toml", "--set", "optimiser.epochs=9"]) == 0
    assert "resuming" in capsys.readouterr().err
    assert run(["train", "t.toml", "--seed", "5"]) == 2
    assert "other settings (seed" in capsys.readouterr().err
    assert run(["train", "t.toml", "--set", 'data="nowhere"', "--run-dir", "other"]) == 3
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.integration
def test_optimise_prints_the_best_resumes_and_reports(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "s.toml").write_text(SEARCH.replace('"model"', f'"{tiny_model}"'))
    assert run(["optimise", "s.toml", "--budget", "10"]) == 0
    assert "10 molecules scored" in capsys.readouterr().out
    assert run(["optimise", "s.toml"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1] == f"report: {folder / 'runs' / 's' / 'report.html'}"
    assert len([line for line in lines if line.strip()[:2].strip().isdigit() and "0." in line]) >= 10
    table = pd.read_parquet(folder / "runs" / "s" / "molecules.parquet")
    assert list(table["call"]) == list(range(1, 25))
    assert run(["optimise", "s.toml", "--seed", "2"]) == 2
    assert "--fresh" in capsys.readouterr().err
    with exclusive(folder / "runs" / "s"):
        assert run(["optimise", "s.toml"]) == 2
    assert "in use" in capsys.readouterr().err
    page = folder / "runs" / "s" / "report.html"
    page.unlink()
    assert run(["report", "runs/s"]) == 0
    assert page.is_file()


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_search_exits_with_130_and_keeps_what_it_found(
    folder: Path, tiny_model: Path, number: signal.Signals
) -> None:
    (folder / "s.toml").write_text(SEARCH.replace('"model"', f'"{tiny_model}"'))
    command = [sys.executable, "-m", "molvae", "optimise", "s.toml", "--budget", "100000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    events = folder / "runs" / "s" / "events.jsonl"
    while not (events.exists() and events.read_text().count('"batch"') >= 5):  # a batch tells a molecule or more
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.05)
    process.send_signal(number)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command continues" in message
    assert "Traceback" not in message
    assert len(pd.read_parquet(folder / "runs" / "s" / "molecules.parquet")) >= 5
    assert (folder / "runs" / "s" / "report.html").is_file()


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux to see how far the command has come")
def test_an_interrupt_outside_of_a_stage_is_quiet(folder: Path, tiny_model: Path) -> None:
    command = [sys.executable, "-m", "molvae", "sample", "-n", "100000000", "--model", str(tiny_model)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    while "torch" not in Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert (process.returncode, message.strip()) == (130, "interrupted")


BARE_NODE = """
import sys
sys.modules.update(dict.fromkeys({absent!r}))  # to import one of them raises ModuleNotFoundError
from molvae.cli.faults import run
sys.exit(run(["train", "run.toml", "--set", "optimiser.epochs=2"]))
"""


def test_a_bare_gpu_node_trains_with_the_packages_that_the_readme_names(folder: Path, tiny_prepared: Path) -> None:
    installed = re.search(r"pip install (torch .*?)`", (ROOT / "README.md").read_text(encoding="utf-8"))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert installed
    absent = {re.match(r"[\w-]+", r)[0] for r in required} - set(installed[1].split())  # type: ignore[index]
    assert {"rdkit", "selfies", "pandas", "scipy"} <= absent
    absent = absent - {"scikit-learn"} | {"sklearn"}
    (folder / "run.toml").write_text(TRAIN.replace('"prepared"', f'"{tiny_prepared}"'))
    command = [sys.executable, "-c", BARE_NODE.format(absent=absent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "no report page: import of" in done.stderr
    assert (folder / "runs/run/model/model.safetensors").is_file()


def test_a_dry_run_scores_a_few_molecules_and_writes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    smiles = ["CC(=O)Nc1ccc(O)cc1", "CN1CCCC1c1cccnc1", "CCO", "CCN"]
    text = f"""
        [oracle]
        kind = "stacked"
        oracles = [{{kind = "named", name = "qed"}}, {{kind = "named", name = "sa", direction = "minimise"}}]
        [search]
        budget = 600
        workers = 2
        start = {{smiles = {smiles}}}
        constraints = [{{kind = "oracle", name = "fat", oracle = {{kind = "named", name = "logp"}}, low = 1.0}}]
        [method]
        kind = "bayesian"
        proposers = [{{kind = "graph_mutation"}}]
    """
    (folder / "search.toml").write_text(text.replace("'", '"'))
    assert run(["optimise", "search.toml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert [line.split()[-1] for line in said.splitlines() if smiles[0] in line or "CCO" in line] == [smiles[0], "CCO"]
    assert "fat" in said
    assert "no: fat" in said
    assert "molecules that a run begins with: 4\n" in said
    assert "600 calls of the oracle take about 0:0" in said
    assert sorted(p.name for p in folder.iterdir()) == ["search.toml"]
    assert run(["optimise", "search.toml", "--dry-run", "--set", "oracle={kind='command', command='false'}"]) == 4
