"""What a run learns from, and what is said of data and weights that it cannot learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_model import small_molecules, small_tokenizer, write_prepared
from small_runs import SPEC, events, small_config

from molvae.core.errors import CheckpointError, ConfigError, DataError
from molvae.core.files import read_json, write_json
from molvae.data.shards import ShardWriter
from molvae.model.checkpoint import load_checkpoint
from molvae.training.config import ValidationSpec
from molvae.training.trainer import train


def with_properties(directory: Path, values: list[float], name: str = "x") -> Path:
    molecules, tokenizer = small_molecules()[:32], small_tokenizer()
    write_prepared(directory, {}, tokenizer)
    for split in ("train", "valid"):
        with ShardWriter(directory, split, len(tokenizer.vocabulary), n_properties=1) as writer:
            for smiles, value in zip(molecules, values, strict=True):
                writer.append(tokenizer.encode(smiles), np.array([value]))
    write_json(directory / "manifest.json", read_json(directory / "manifest.json") | {"properties": [name]})
    return directory


def test_a_model_without_conditions_leaves_properties_aside(tmp_path: Path) -> None:
    data = with_properties(tmp_path / "data", [float("nan")] * 32)
    directory = train(small_config(data, epochs=1), tmp_path / "run")
    model, info = load_checkpoint(directory)
    assert model.spec.condition_dim == 0
    assert "conditions" not in info


def test_a_conditional_model_reads_properties(tmp_path: Path) -> None:
    data = with_properties(tmp_path / "data", list(range(32)))
    spec = SPEC.model_copy(update={"condition_dim": 1})
    looks = ValidationSpec(every_steps=1, n_molecules=16)
    directory = train(small_config(data, epochs=1, model=spec, validation=looks), tmp_path / "run")
    model, info = load_checkpoint(directory)
    assert model.spec.condition_dim == 1
    assert info["conditions"] == {
        "names": ["x"],
        "mean": [15.5],
        "std": [pytest.approx(np.std(range(32)))],
        "columns": [],
    }
    assert [look["step"] for look in events(tmp_path / "run", "valid")] == [1, 2]


def test_a_conditional_model_keeps_the_scale_it_began_with(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"condition_dim": 1})
    first = with_properties(tmp_path / "first", list(range(32)))
    model = train(small_config(first, epochs=1, model=spec), tmp_path / "run")
    second = with_properties(tmp_path / "second", [100.0 + i for i in range(32)])
    config = small_config(second, epochs=1, model=spec, initial=str(model))
    went_on = train(config, tmp_path / "again")
    assert load_checkpoint(went_on)[1]["conditions"] == load_checkpoint(model)[1]["conditions"]
    other = with_properties(tmp_path / "third", list(range(32)), "y")
    with pytest.raises(ConfigError, match=r"the data have the properties y, but .* was trained with x"):
        train(small_config(other, epochs=1, model=spec, initial=str(went_on)), tmp_path / "mixed")


def test_a_conditional_model_begins_with_a_model(tmp_path: Path) -> None:
    data = with_properties(tmp_path / "data", list(range(32)))
    config = small_config(data, model=SPEC.model_copy(update={"condition_dim": 1}), initial=str(data))
    with pytest.raises(CheckpointError, match=r"data: not a model directory, model.json is missing"):
        train(config, tmp_path / "run")


def test_conditions_that_are_not_there_are_said(tiny_prepared: Path, tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"condition_dim": 2})
    with pytest.raises(ConfigError, match=r"model.condition_dim is 2, but .* has 0 properties"):
        train(small_config(tiny_prepared, model=spec), tmp_path / "run")
    data = with_properties(tmp_path / "data", [1.0] * 31 + [float("nan")])
    with pytest.raises(DataError, match="1 of 32 molecules of the split .valid. lack a value of a property"):
        train(small_config(data, model=SPEC.model_copy(update={"condition_dim": 1})), tmp_path / "other")


def test_data_that_are_not_there_are_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `molvae prepare` first"):
        train(small_config(tmp_path / "nowhere"), tmp_path / "run")
    data = write_prepared(tmp_path / "data", {"train": small_molecules()[:20], "valid": []}, small_tokenizer())
    with pytest.raises(DataError, match="split 'valid' holds no molecules"):
        train(small_config(data), tmp_path / "run")
    (data / "vocabulary.json").unlink()
    with pytest.raises(DataError, match=r"vocabulary.json: not a vocabulary .*run `molvae prepare` again"):
        train(small_config(data), tmp_path / "run")
    with pytest.raises(ConfigError, match="lower batch_size"):
        train(small_config(with_properties(tmp_path / "few", [0.0] * 32), batch_size=64), tmp_path / "run")


@pytest.mark.parametrize("warmup_steps", [4, 5])
def test_a_warm_up_longer_than_the_run_is_said(
    tiny_prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, warmup_steps: int
) -> None:
    config = small_config(tiny_prepared, epochs=1)
    optimiser = config.optimiser.model_copy(update={"warmup_steps": warmup_steps})
    train(config.model_copy(update={"optimiser": optimiser}), tmp_path)
    said = "optimiser.warmup_steps is 5, but the run has 4 steps" in caplog.text
    assert said == (warmup_steps == 5)
