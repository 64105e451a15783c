"""What a run is not resumed with: other settings, processes, or data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import SPEC, small_config, stopped

from molvae.core.errors import ConfigError
from molvae.core.files import read_json, write_json
from molvae.model.objective import Constant, Objective
from molvae.training.hardware import Hardware
from molvae.training.trainer import Run, train


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"seed": 3}, "seed was 0, is 3"),
        ({"batch_size": 8}, "optimiser.batch_size was 16, is 8"),
        ({"objective": Objective(beta=Constant(value=0.7))}, "objective.beta.value was 0.1, is 0.7"),
        ({"model": SPEC.model_copy(update={"decoder_dim": 32})}, "model.decoder_dim was 24, is 32"),
        ({"precision": "bfloat16"}, "precision was float32, is bfloat16"),
    ],
)
def test_other_settings_are_refused(tiny_prepared: Path, tmp_path: Path, changes: dict[str, Any], key: str) -> None:
    stopped(small_config(tiny_prepared), tmp_path, 1)
    with pytest.raises(ConfigError, match=rf"other settings \({key}\).*start again with --fresh"):
        train(small_config(tiny_prepared, **changes), tmp_path)


def test_another_number_of_processes_is_refused(
    tiny_prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = small_config(tiny_prepared, batch_size=8)
    stopped(config, tmp_path, 1)
    with pytest.raises(ConfigError, match=r"holds a run of 1 process\(es\), not 2; start as many as before"):
        Run(config, tmp_path, False, Hardware(torch.device("cpu"), False, rank=1, world_size=2))
    with caplog.at_level("INFO"):
        Run(config, tmp_path, False, Hardware(torch.device("cpu"), False, rank=1, world_size=1))
    assert caplog.text == "", "only the main process says that it resumes"


def test_data_prepared_anew_with_other_tokens_are_refused(tiny_prepared: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_prepared, tmp_path / "data"))
    stopped(small_config(data), tmp_path / "run", 1)
    vocabulary = read_json(data / "vocabulary.json")
    vocabulary["tokens"][3:5] = vocabulary["tokens"][4:2:-1]
    write_json(data / "vocabulary.json", vocabulary)
    with pytest.raises(ConfigError, match="lists other tokens than the run has learnt"):
        train(small_config(data), tmp_path / "run")
    train(small_config(data, epochs=1), tmp_path / "run", fresh=True)


def test_other_molecules_in_the_same_place_are_refused(tiny_prepared: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(tiny_prepared, tmp_path / "data"))
    manifest = read_json(data / "manifest.json") | {"inputs": {"a.smi": {"path": "/a.smi", "sha256": "1"}}}
    write_json(data / "manifest.json", manifest)
    stopped(small_config(data), tmp_path / "run", 1)
    write_json(data / "manifest.json", manifest | {"inputs": {"a.smi": {"path": "/a.smi", "sha256": "2"}}})
    with pytest.raises(ConfigError, match=r"data holds other molecules than the run in .*run began with"):
        train(small_config(data), tmp_path / "run")
    same = {"inputs": {"b.smi": {"path": "/b.smi", "sha256": "1"}}, "finished": "later"}
    write_json(data / "manifest.json", manifest | same)  # prepared again, out of the same molecules
    train(small_config(data), tmp_path / "run")


def test_a_state_of_an_older_version_takes_the_data_it_finds(tiny_prepared: Path, tmp_path: Path) -> None:
    stopped(small_config(tiny_prepared), tmp_path, 1)
    state = tmp_path / "resume" / "state.pt"
    value = torch.load(state, weights_only=True)
    found = value.pop("data_sha256")
    torch.save(value, state)
    train(small_config(tiny_prepared), tmp_path)
    assert torch.load(state, weights_only=True)["data_sha256"] == found
