"""From a file to weights with a model card, start to end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd
import pytest
from small_model import TRAINING, small_molecules

from molvae.core.errors import ConfigError, DataError
from molvae.core.files import sha256_file
from molvae.generation import load
from pipelines.pretrain import main


def written(path: Path, splits: list[str]) -> Path:
    """Small molecules that take turns in the splits."""
    molecules = small_molecules()[:60]
    pd.DataFrame({"smiles": molecules, "split": [splits[i % len(splits)] for i in range(60)]}).to_csv(path, index=False)
    return path


@pytest.mark.integration
def test_the_card_tells_how_the_weights_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = written(tmp_path / "in.csv", ["train", "train", "valid", "test"])
    (tmp_path / "small.toml").write_text(TRAINING, encoding="utf-8")
    arguments = ["small.toml", "--data", str(data), "--name", "mine", "--set", "seed=3", "--note", "two words"]
    main(arguments)
    card = (tmp_path / "molvae/weights/mine/MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"`{shlex.join(['python', '-m', 'pipelines.pretrain', *arguments])}`" in card
    assert f"sha256 {sha256_file(tmp_path / 'runs/small/config.resolved.toml')}; seed 3 |" in card
    assert load(tmp_path / "molvae/weights/mine", "cpu").info["metrics"]["n_molecules"] == 15
    main(arguments)  # nothing is left to do
    (tmp_path / "other.toml").write_text(TRAINING, encoding="utf-8")
    with pytest.raises(ConfigError, match="weights/mine is there, and is not of runs/other; choose another --name"):
        main(["other.toml", *arguments[1:]])


@pytest.mark.integration
def test_conditional_weights_know_their_properties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = written(tmp_path / "in.csv", ["train", "train", "valid", "test"])
    (tmp_path / "small.toml").write_text(TRAINING, encoding="utf-8")
    arguments = ["small.toml", "--data", str(data), "--set", "model.condition_dim=1"]
    with pytest.raises(ConfigError, match="model.condition_dim is 1, but --descriptors names 0 properties"):
        main(arguments)
    assert not (tmp_path / "prepared").exists()
    main([*arguments, "--descriptors", "heavy_atoms"])
    assert load(tmp_path / "molvae/weights/small", "cpu").properties == ("heavy_atoms",)


def test_without_test_molecules_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = written(tmp_path / "in.csv", ["train", "valid"])
    (tmp_path / "small.toml").write_text(TRAINING, encoding="utf-8")
    with pytest.raises(DataError, match="no row has 'test'"):
        main(["small.toml", "--data", str(data)])
    assert not (tmp_path / "prepared").exists()
