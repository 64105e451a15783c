"""Checkpoints come back as they were, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_model import SMALL_SPEC, small_molecules, small_tokenizer, token_batch

from molvae.core.errors import CheckpointError, ConfigError, UnknownModelError
from molvae.core.files import read_json, write_json
from molvae.model.checkpoint import load_checkpoint, model_directory, save_checkpoint
from molvae.model.vae import SequenceVAE

INFO = {"step": 7, "metrics": {"exact_tokens": 0.5}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SequenceVAE]:
    directory = tmp_path_factory.mktemp("saved")
    tokenizer = small_tokenizer()
    tokenizer.save(directory / "vocabulary.json")
    torch.manual_seed(0)
    model = SequenceVAE(SMALL_SPEC, len(tokenizer.vocabulary))
    save_checkpoint(directory / "model", model, directory / "vocabulary.json", INFO)
    return directory / "model", model


@pytest.fixture
def copy(saved: tuple[Path, SequenceVAE], tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved[0], tmp_path / "model"))


def test_round_trip(saved: tuple[Path, SequenceVAE]) -> None:
    directory, model = saved
    loaded, info = load_checkpoint(directory)
    assert not loaded.training
    assert loaded.spec == model.spec
    assert {key: info[key] for key in INFO} == INFO
    for name, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=0, atol=0)
    tokens, lengths, _ = token_batch(small_molecules()[:3], small_tokenizer())
    for one, other in zip(model.eval().encode(tokens, lengths), loaded.encode(tokens, lengths), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_half_precision_is_half_the_size_and_loads_as_float32(saved: tuple[Path, SequenceVAE], tmp_path: Path) -> None:
    directory, model = saved
    save_checkpoint(tmp_path / "half", model, directory / "vocabulary.json", INFO, torch.float16)
    sizes = [(place / "model.safetensors").stat().st_size for place in (tmp_path / "half", directory)]
    assert sizes[0] < 0.6 * sizes[1]
    loaded, _ = load_checkpoint(tmp_path / "half")
    for name, value in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(loaded.state_dict()[name], value, rtol=1e-3, atol=1e-4)


def test_saving_again_replaces(copy: Path, saved: tuple[Path, SequenceVAE]) -> None:
    save_checkpoint(copy, saved[1], saved[0] / "vocabulary.json", {"step": 8})
    assert load_checkpoint(copy)[1]["step"] == 8
    assert sorted(path.name for path in copy.iterdir()) == ["model.json", "model.safetensors", "vocabulary.json"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "vocabulary.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(CheckpointError, match=f"not a model directory, {name} is missing"):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "vocabulary.json"])
def test_a_flipped_bit_is_noticed(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"{name} is damaged .*fetch it again"):
        load_checkpoint(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "vocabulary.json"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_noticed(copy: Path, name: str, kept: float) -> None:
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[: int(kept * len(content)) - 2 if kept else 0])
    with pytest.raises(CheckpointError, match="damaged|cannot be read as a model"):
        load_checkpoint(copy)


def test_any_flipped_bit_of_the_description_is_an_error_or_harmless(copy: Path) -> None:
    path, rng = copy / "model.json", np.random.default_rng(0)
    content = path.read_bytes()
    expected = load_checkpoint(copy)[0].state_dict()
    for _ in range(150):
        changed = bytearray(content)
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            found = load_checkpoint(copy)[0].state_dict()
        except CheckpointError:
            continue
        assert all(torch.equal(found[name], expected[name]) for name in expected)


Change = Callable[[dict[str, object]], object]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(format_version=99), "format version 99, this molvae reads 1; update molvae"),
        (lambda d: d.pop("format_version"), "cannot be read as a model"),
        (lambda d: d.pop("sha256"), "cannot be read as a model"),
        (lambda d: d.update(sha256=[]), "cannot be read as a model"),
        (lambda d: d.update(sha256={}), "cannot be read as a model"),
        (lambda d: d.update(n_tokens=5), "cannot be read as a model"),
        (lambda d: d.update(n_tokens="many"), "cannot be read as a model"),
        (lambda d: d.update(spec={"layers": 3}), "cannot be read as a model"),
        (lambda d: d.update(spec=None), "cannot be read as a model"),
    ],
)
def test_a_wrong_description_is_an_error_with_words(copy: Path, change: Change, words: str) -> None:
    description = read_json(copy / "model.json")
    change(description)
    write_json(copy / "model.json", description)
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(copy)


@pytest.mark.parametrize("content", ["[]", "3", "null", "not json"])
def test_a_description_of_another_kind_is_an_error(copy: Path, content: str) -> None:
    (copy / "model.json").write_text(content)
    with pytest.raises(CheckpointError, match="cannot be read as a model"):
        load_checkpoint(copy)


def test_a_run_directory_stands_for_its_model(copy: Path, tmp_path: Path) -> None:
    assert model_directory(tmp_path) == copy
    assert model_directory(copy) == copy


def test_whoever_may_read_the_vocabulary_may_read_the_weights(saved: tuple[Path, SequenceVAE]) -> None:
    modes = {(saved[0] / name).stat().st_mode for name in ("model.safetensors", "vocabulary.json")}
    assert len(modes) == 1


def test_what_is_no_directory(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"not a model directory, model.json is missing"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="cannot be read as a model"):
        load_checkpoint(copy / "model.safetensors")


def test_a_model_is_named_not_handed_over(saved: tuple[Path, SequenceVAE]) -> None:
    with pytest.raises(ConfigError, match="expected a model's name or directory, got SequenceVAE"):
        model_directory(saved[1])  # type: ignore[arg-type]
    with pytest.raises(UnknownModelError, match="one of zinc250k .*names are looked up in .*weights"):
        model_directory("zinc251k")
