"""What a run needs to go on as if it had never stopped: model, optimiser, step, and the way back from a failed step.

The order of the molecules and the noise are functions of the step, so they need no state.
"""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # the class only: nothing here is read by pickle itself
from typing import Any

import torch
from torch import Tensor, nn

from molvae.core.errors import CheckpointError, TrainingError
from molvae.core.files import atomic_path
from molvae.training.config import OptimiserSpec


def build_optimiser(model: nn.Module, spec: OptimiserSpec) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": spec.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(0.9, 0.98), fused=True)


def learning_rate(spec: OptimiserSpec, step: int, n_steps: int) -> float:
    """Linear warm-up, then cosine decay to `final_fraction` of the highest (Loshchilov and Hutter 2017, eq. 5)."""
    if step < spec.warmup_steps:
        return spec.learning_rate * (step + 1) / spec.warmup_steps
    progress = min(1.0, (step - spec.warmup_steps) / max(1, n_steps - spec.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * progress))
    return spec.learning_rate * (spec.final_fraction + (1 - spec.final_fraction) * cosine)


@dataclass
class NanGuard:
    """Goes back to the last good state when the loss or a gradient is not finite.

    Keeps a copy of the state every `every` good steps. The step that failed is not tried again, since it would fail
    alike (its noise and its batch are functions of its number); training goes on behind it.
    """

    every: int = 200
    patience: int = 5
    failures: int = 0
    good: dict[str, Any] = field(default_factory=dict)

    def remember(self, state: TrainState) -> None:
        """Copy the state if it is time."""
        if not self.good or state.step % self.every == 0:
            self.good = {
                "model": _cloned(state.model.state_dict()),
                "optimiser": _cloned(state.optimiser.state_dict()),
            }

    def go_back(self, state: TrainState) -> None:
        """Restore the copy.

        Raises:
            TrainingError: it has happened `patience` times.
        """
        self.failures += 1
        if self.failures >= self.patience:
            raise TrainingError(
                f"the loss was not finite {self.failures} times, last at step {state.step}; lower "
                "optimiser.learning_rate or set precision = 'float32'; the last checkpoint is kept"
            )
        if self.good:
            state.model.load_state_dict(self.good["model"])
            state.optimiser.load_state_dict(_cloned(self.good["optimiser"]))


@dataclass
class TrainState:
    """Model, optimiser and position.

    Attributes:
        step: optimiser steps done.
        seconds: wall time spent so far, over all parts of the run.
        world_size: processes that train together; the steps of an epoch depend on it.
        data_sha256: see `resume.data_sha256`.
        guard: holds the state that a failed step goes back to.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    world_size: int = 1
    data_sha256: str = ""
    guard: NanGuard = field(default_factory=NanGuard)

    def save(self, path: Path) -> None:
        """Write everything, tensors and plain types only, so that `weights_only=True` reads it."""
        value = {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "world_size": self.world_size,
            "data_sha256": self.data_sha256,
            "failures": self.guard.failures,
            "good": self.guard.good,
        }
        with atomic_path(path) as temporary:
            torch.save(value, temporary)

    def load(self, path: Path, device: torch.device) -> None:
        """Read what `save` wrote.

        Raises:
            CheckpointError: the file is damaged or belongs to another model.
        """
        try:
            with zipfile.ZipFile(path) as archive:
                if (damaged := archive.testzip()) is not None:  # torch.load does not look at the checksums
                    raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
            value: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
            self.model.load_state_dict(value["model"])
            self.optimiser.load_state_dict(value["optimiser"])
            self.step, self.seconds = int(value["step"]), float(value["seconds"])
            self.world_size = int(value.get("world_size", self.world_size))  # files of older versions have none
            self.data_sha256 = str(value.get("data_sha256", self.data_sha256))  # nor this
            self.guard.failures, self.guard.good = int(value.get("failures", 0)), value.get("good", {})
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, zipfile.BadZipFile, UnpicklingError) as error:
            raise CheckpointError(f"{path}: cannot resume from it ({error}); start again with --fresh") from error


def _cloned(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {k: _cloned(v) for k, v in value.items()}
    return [_cloned(v) for v in value] if isinstance(value, list) else value
