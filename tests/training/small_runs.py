"""Short training runs for the tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from molvae.core.config import dump_config
from molvae.core.errors import Interrupted
from molvae.core.files import read_events, sha256_file
from molvae.core.stopping import StopFlag
from molvae.model.bottlenecks import GaussianSpec
from molvae.model.objective import Constant, Objective
from molvae.model.vae import VAESpec
from molvae.training.config import OptimiserSpec, TrainConfig, ValidationSpec
from molvae.training.hardware import set_up
from molvae.training.trainer import Run

SPEC = VAESpec(embedding_dim=8, encoder_dim=12, decoder_dim=24, bottleneck=GaussianSpec(latent_dim=6))


def small_config(data: Path, epochs: int = 3, batch_size: int = 16, **changes: Any) -> TrainConfig:
    """A run of 4 steps an epoch on the 64 molecules of `tiny_prepared`."""
    settings: dict[str, Any] = {
        "data": str(data),
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "model": SPEC,
        "objective": Objective(beta=Constant(value=0.1)),
        "optimiser": OptimiserSpec(epochs=epochs, batch_size=batch_size, learning_rate=5e-3, warmup_steps=3),
        "validation": ValidationSpec(every_steps=5, n_molecules=16),
    }
    return TrainConfig(**(settings | changes))


class StopAfter(StopFlag):
    """Looks as if a signal came during step number `n_steps` (from 1)."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    @property
    def stopped(self) -> bool:  # type: ignore[override]
        self.n_steps -= 1
        return self.n_steps <= 0


def stopped(config: TrainConfig, directory: Path, n_steps: int) -> None:
    """Train `n_steps` steps and be interrupted."""
    with pytest.raises(Interrupted, match=f"stopped at step {n_steps}; the same command goes on from there"):
        Run(config, directory, False, set_up(config)).to_the_end(StopAfter(n_steps))


def weights(run_dir: Path) -> str:
    """Fingerprint of the trained weights, to the bit."""
    return sha256_file(run_dir / "model" / "model.safetensors")


def events(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run_dir / "events.jsonl") if event["event"] == kind]


def training_command(config: TrainConfig, run_dir: Path) -> list[str]:
    """A process that trains, without the command line and so without chemistry."""
    file = run_dir.parent / f"{run_dir.name}.toml"
    dump_config(config, file)
    code = (
        "from molvae.core.config import load_config; from molvae.training.config import TrainConfig; "
        "from molvae.training.trainer import train; "
        f"train(load_config({str(file)!r}, TrainConfig), {str(run_dir)!r})"
    )
    return [sys.executable, "-c", code]
