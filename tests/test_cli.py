"""The command as users meet it: quick help, one clear message for each thing that can be wrong, the right exit code."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch

from molvae.cli.faults import run as run_here
from molvae.cli.faults import run_script
from molvae.core.errors import DataError, Interrupted

ROOT = Path(__file__).parents[1]
VERBS = [
    "init",
    "data",
    "prepare",
    "train",
    "optimise",
    "sample",
    "embed",
    "score",
    "oracles",
    "evaluate",
    "report",
    "doctor",
]


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder, in this process: a second less for each."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        code = run_here([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return run


@pytest.fixture
def start(tmp_path: Path) -> Run:
    """Run a command in an empty folder, in a process of its own, as users do."""

    def start(*arguments: object, env: dict[str, str] | None = None, **options: Any) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "molvae", *map(str, arguments)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            cwd=tmp_path,
            timeout=240,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            **options,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return start


def fails(done: Done, code: int, *parts: str) -> None:
    """The run failed with one clear message and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1, done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def molecules(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("id,smiles\na,Fc1ccccc1\nb,not a molecule\nc,Clc1ccccc1\nd,\n")
    return path


# --- help -----------------------------------------------------------------------------------------------------------


def test_help_is_quick_and_lists_all_verbs(start: Run) -> None:
    """Processor time, since the clock depends on what else the machine does."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = start("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert all(f"  {verb} " in done.stdout for verb in VERBS)
    assert min(seconds) < 0.3


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(run: Run, verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0
    assert f"molvae {verb}" in done.stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout.startswith("molvae 0.")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["train", "x.toml", "--sed", "3"], "--sed"),
        (["score", "qed"], "molvae score --help"),
        (["sample", "-n", "many"], "'-n'"),
        (["sample", "--seed", "-1"], "'--seed'"),
        (["evaluate", "x.smi", "--seed", "-1"], "'--seed'"),
        (["train", "x.toml", "--seed", "-1"], "'--seed'"),
        (["optimise", "x.toml", "--seed", "-1"], "'--seed'"),
        (["optimise", "x.toml", "--budget", "-3"], "'--budget'"),
        (["prepare", "x.smi", "--out", "y", "--split", "foo"], "'--split'"),
        (["prepare", "x.smi", "--out", "y", "--workers", "-1"], "'--workers'"),
        (["sample", "--device", "foo"], "'--device': unknown device 'foo'"),
        (["sample", "--given", "logp"], "--given 'logp': expected NAME=VALUE, for instance logp=3.5"),
        (["sample", "--given", "logp=3"], "this model is not conditioned on properties"),
        (["train", "x.toml", "--device", "xpu"], "'--device': unknown device 'xpu'"),
        (["sample", "--out", "s.xlsx"], "s.xlsx: expected a name ending in .smi, .csv, .tsv or .parquet"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], part: str) -> None:
    fails(run(*arguments), 2, part)


# --- configs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["train", "optimise"])
def test_unknown_keys_are_corrected(run: Run, verb: str) -> None:
    template = {"train": "zinc250k", "optimise": "quickstart"}[verb]
    assert run("init", "mine.toml", "--from", template).returncode == 0
    fails(run(verb, "mine.toml", "--set", "sed=3", "--set", "seed=x"), 2, "did you mean 'seed'?", "valid integer")
    fails(run(verb, "nine.toml"), 2, "nine.toml: no such file; did you mean 'mine.toml'?")
    fails(run(verb, "mine.toml", "--set", "seed"), 2, "expected KEY=VALUE")
    if verb == "train":
        fails(
            run(verb, "mine.toml", "--set", "model.bottleneck.kind=vq"), 2, "latent_dim: unknown key (known here: codes"
        )
    fails(run(verb, "mine.toml", "--set", "device=gpu"), 2, "--set: device: unknown device 'gpu': expected auto, cpu")


def test_init_never_replaces_a_file(run: Run, tmp_path: Path) -> None:
    assert "molvae optimise mine.toml" in run("init", "mine.toml").stdout
    assert "molvae train small.toml" in run("init", "small.toml", "--from", "small").stdout
    study = run("init", "study.toml", "--from", "pmo/default_1000").stdout
    assert "python -m pipelines.benchmark_pmo study.toml --out study.csv" in study
    shipped = (ROOT / "configs" / "quickstart.toml").read_text()
    assert (tmp_path / "mine.toml").read_text() == shipped.replace("configs/quickstart.toml", "mine.toml")
    fails(run("init", "mine.toml"), 2, "exists already")
    fails(run("init", "other.toml", "--from", "quikstart"), 2, "did you mean 'quickstart'?")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_gpu_is_said_with_the_reason(run: Run, molecules: Path, tiny_model: Path) -> None:
    done = run("embed", molecules, "--out", "z.parquet", "--model", tiny_model, "--device", "cuda")
    fails(done, 1, "device 'cuda' asked for, but", "'cpu'")


# --- scoring --------------------------------------------------------------------------------------------------------


def test_score_keeps_rows_and_leaves_failures_empty(run: Run, molecules: Path, tmp_path: Path) -> None:
    done = run("score", "qed", molecules, "--out", "out.csv")
    assert done.returncode == 0, done.stderr
    assert "2 of 4 molecules" in done.stdout
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table["id"]) == ["a", "b", "c", "d"]
    assert list(table["qed"].notna()) == [True, False, True, False]


def test_score_takes_parameters_and_files(run: Run, molecules: Path, tmp_path: Path) -> None:
    run("score", "similarity", molecules, "--out", "a.csv", "--param", "target=Clc1ccccc1")
    assert pd.read_csv(tmp_path / "a.csv")["similarity"][2] == 1
    (tmp_path / "o.toml").write_text('seed = 1\n[oracle]\nkind = "named"\nname = "logp"\n')
    run("score", "o.toml", molecules, "--out", "b.csv")
    assert "logp" in pd.read_csv(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["qedd", "in.csv"], 2, "unknown oracle 'qedd'; did you mean 'qed'?"),
        (["qed", "in.csv", "--param", "x=1"], 2, "'x'"),
        (["similarity", "in.csv", "--param", "targt=CC"], 2, "did you mean 'target'?"),
        (["similarity", "in.csv", "--param", "target"], 2, "--param 'target': expected KEY=VALUE"),
        (["o.toml", "in.csv", "--param", "kind=comand"], 2, "--param: oracle: unknown kind 'comand'"),
        (["qed", "absent.csv"], 3, "absent.csv"),
        (["qed", "in.csv", "--column", "smile"], 3, "did you mean 'smiles'?"),
        (["qed", "folder.csv"], 3, "Is a directory"),
        (["qed", "empty.csv"], 3, "is empty"),
        (["qed", "in.csv", "--column", "id"], 3, "none of the 4 cells of the column 'id'"),
        (["o.toml", "in.csv"], 4, "not one molecule of in.csv could be scored"),
        (["qed", "in.csv", "--out", "out.xlsx"], 2, "out.xlsx: expected a name ending in .csv, .tsv or .parquet"),
        (["qed", "torn.csv.gz"], 3, "torn.csv.gz: its gzip data are damaged or cut short"),
        (["absent.toml", "in.csv"], 2, "absent.toml: no such file"),
    ],
)
def test_what_cannot_be_scored(
    run: Run, molecules: Path, tmp_path: Path, arguments: list[str], code: int, part: str
) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "torn.csv.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")
    (tmp_path / "o.toml").write_text('oracle = { kind = "command", name = "broken", command = "false" }')
    fails(run("score", "--out", "out.csv", *arguments), code, part)
    assert not (tmp_path / "out.csv").exists()


def test_oracles_are_listed_and_filtered(run: Run) -> None:
    everything, some = run("oracles").stdout, run("oracles", "osimertinib").stdout
    assert "celecoxib_rediscovery" in everything
    assert "osimertinib_mpo" in some
    assert "celecoxib" not in some
    fails(run("oracles", "osimertnib"), 2, "no oracle has 'osimertnib' in its name")


# --- models ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model, to be damaged."""
    return Path(shutil.copytree(tiny_model, tmp_path / "model"))


def test_sample_is_reproducible(run: Run, model: Path, tmp_path: Path) -> None:
    first, again = (run("sample", "-n", 7, "--model", model, "--seed", 3).stdout for _ in range(2))
    assert first == again
    assert len(first.splitlines()) == 7
    assert run("sample", "-n", 7, "--model", model, "--seed", 3, "--out", "s.smi").returncode == 0
    assert (tmp_path / "s.smi").read_text() == first
    for name, read in (("s.csv", pd.read_csv), ("s.tsv", pd.read_csv), ("s.parquet", pd.read_parquet)):
        assert run("sample", "-n", 7, "--model", model, "--seed", 3, "--out", name).returncode == 0
        table = read(tmp_path / name)
        assert list(table.columns) == ["smiles"]
        assert table["smiles"].tolist() == first.splitlines()


def test_embed_keeps_rows_and_says_what_is_invalid(run: Run, model: Path, molecules: Path, tmp_path: Path) -> None:
    done = run("embed", molecules, "--out", "z.parquet", "--model", model)
    assert done.returncode == 0, done.stderr
    assert "4 rows, 2 of them without a point" in done.stdout
    table = pd.read_parquet(tmp_path / "z.parquet")
    assert list(table["id"]) == ["a", "b", "c", "d"]
    assert list(table["z0"].notna()) == [True, False, True, False]
    fails(
        run("embed", molecules, "--out", "z.parquet", "--model", model, "--column", "smile"),
        3,
        "did you mean 'smiles'?",
    )
    fails(run("embed", molecules, "--out", "z.txt", "--model", model), 2, "z.txt: expected a name ending in")


def test_evaluate_prints_and_writes_its_measures(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "held.csv").write_text("smiles,split\nFc1ccccc1,test\nFC1CC1,train\nClc1ccccc1,test\n")
    done = run("evaluate", "held.csv", "--split", "test", "--model", model, "--out", "m.json")
    assert done.returncode == 0, done.stderr
    assert "reconstruction" in done.stdout
    assert json.loads((tmp_path / "m.json").read_text())["n_molecules"] == 2
    fails(
        run("evaluate", "held.csv", "--split", "tset", "--model", model),
        3,
        "held.csv: no molecules in the split 'tset'",
    )


def test_a_flipped_bit_in_the_weights_is_found(run: Run, model: Path) -> None:
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-100] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    fails(run("sample", "--model", model), 3, "model.safetensors is damaged", "sha256")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("model.safetensors", None, "model.safetensors is missing"),
        ("model.safetensors", b"", "is damaged"),
        ("vocabulary.json", b"{}", "is damaged"),
        ("model.json", b"{", "cannot be read as a model"),
        ("model.json", b'{"format_version": 99}', "format version 99"),
    ],
)
def test_a_damaged_model_is_refused(run: Run, model: Path, name: str, content: bytes | None, part: str) -> None:
    (model / name).unlink()
    if content is not None:
        (model / name).write_bytes(content)
    fails(run("sample", "--model", model), 3, part)


def test_an_unknown_model_is_a_wrong_argument(run: Run, molecules: Path, tmp_path: Path) -> None:
    for verb in (["sample"], ["embed", molecules, "--out", "z.csv"], ["evaluate", molecules]):
        fails(run(*verb, "--model", "zinc"), 2, "no model 'zinc'")
    (tmp_path / "s.toml").write_text('weights = "nope"\noracle.name = "qed"\noracle.kind = "named"')
    fails(run("optimise", "s.toml"), 2, "no model 'nope'")


def test_doctor_says_what_is_broken_and_what_to_do(run: Run, model: Path) -> None:
    done = run("doctor", "--model", model)
    assert done.returncode == 0, done.stdout
    assert "QED of aspirin is 0.5501" in done.stdout
    assert "everything works" in done.stdout
    (model / "model.safetensors").write_bytes(b"")
    done = run("doctor", "--model", model)
    assert done.returncode == 1
    assert "X " in done.stdout
    assert "-> get the weights again" in done.stdout


# --- files that cannot be written -----------------------------------------------------------------------------------


def small_files_only() -> None:
    """As on a full disk: nothing longer than 1,000 bytes can be written."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))


def test_a_full_disk_leaves_no_half_file(start: Run, tmp_path: Path) -> None:
    (tmp_path / "many.csv").write_text("smiles\n" + "CCO\n" * 500)
    no_bytecode = {"PYTHONDONTWRITEBYTECODE": "1"}
    done = start("score", "qed", "many.csv", "--out", "out.csv", preexec_fn=small_files_only, env=no_bytecode)
    fails(done, 1, "no space left to write", "Free some space")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.csv"]


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that even root cannot write to")
def test_a_read_only_folder_is_named(run: Run, molecules: Path) -> None:
    fails(run("score", "qed", molecules, "--out", "/sys/out.csv"), 3, "/sys/out.csv: cannot be written")
    fails(run("init", "/sys/mine.toml"), 3, "/sys", "choose another place")


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    line = f"{sys.executable} -m molvae oracles | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


# --- faults ---------------------------------------------------------------------------------------------------------


def test_the_unexpected_is_short_and_can_be_traced(start: Run, tmp_path: Path) -> None:
    (tmp_path / "pandas.py").write_text("raise ZeroDivisionError('broken on purpose')\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    broken = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    fails(start("report", "run", env=broken), 1, "unexpected ZeroDivisionError: broken on purpose", "MOLVAE_DEBUG=1")
    assert "Traceback" in start("report", "run", env={**broken, "MOLVAE_DEBUG": "1"}).stderr


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DataError("no such rows"), 3, "error: no such rows"),
        (FileNotFoundError(2, "gone", "in.csv"), 3, "error: in.csv: no such file"),
        (Interrupted("stopped at step 3"), 130, "stopped at step 3"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_scripts_say_what_is_wrong(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise error

    assert run_script(main) == code
    assert capsys.readouterr().err.startswith(words)
    assert [run_script(lambda: None), run_script(lambda: 1)] == [0, 1]


def test_bytes_that_are_no_text_cost_their_own_row(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bytes.csv").write_bytes(b"smiles\n\xff\xfe\nCCO\n")
    done = run("score", "qed", "bytes.csv", "--out", "out.csv")
    assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "out.csv")["qed"].notna()) == [False, True]
