"""What `molvae train` reads from a TOML file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from molvae.core.config import DeviceName, Spec
from molvae.model.bottlenecks import GaussianSpec
from molvae.model.objective import Objective
from molvae.model.vae import VAESpec

SEEDS = 2**64  # what torch's generators take


class OptimiserSpec(Spec):
    """AdamW with linear warm-up and cosine decay (Loshchilov and Hutter 2017, 2019)."""

    epochs: int = Field(10, gt=0)
    batch_size: int = Field(256, gt=0, description="molecules per step and process")
    learning_rate: float = Field(2e-3, gt=0)
    final_fraction: float = Field(0.01, ge=0, le=1, description="learning rate at the end, as a share of the highest")
    warmup_steps: int = Field(500, ge=0)
    weight_decay: float = Field(0.01, ge=0)
    clip_norm: float = Field(1.0, gt=0)


class ValidationSpec(Spec):
    """How often and on how many molecules of the valid split the model is looked at."""

    every_steps: int = Field(500, gt=0)
    n_molecules: int = Field(512, gt=1)


class TrainConfig(Spec):
    """A training run.

    One that has been changed is not resumed, unless only in `optimiser.epochs`, `device`, `threads`,
    `checkpoint_minutes`, `tensorboard` or `validation`.
    """

    schema_version: Literal[1] = 1
    data: str = Field(description="directory written by `molvae prepare`")
    seed: int = Field(0, ge=0)
    device: DeviceName = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="of matrix products; auto takes bfloat16 where the hardware multiplies it"
    )
    threads: int | None = Field(None, gt=0, description="CPU threads; none leaves torch's choice")
    checkpoint_minutes: float = Field(5.0, gt=0)
    tensorboard: bool = False
    initial: str | None = Field(
        None,
        description="weights to begin with, by name or model directory, to go on or to fine-tune; none: random",
    )
    model: VAESpec = VAESpec()
    objective: Objective = Objective()
    optimiser: OptimiserSpec = OptimiserSpec()
    validation: ValidationSpec = ValidationSpec()

    @model_validator(mode="after")
    def _penalties_fit(self) -> TrainConfig:
        if self.objective.penalties and not isinstance(self.model.bottleneck, GaussianSpec):
            raise ValueError(
                "objective.penalties need the density of q(z|x), which only model.bottleneck.kind gaussian gives, not "
                f"{self.model.bottleneck.kind}; leave them out or take that kind"
            )
        return self
