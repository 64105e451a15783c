"""`molvae train`: a configuration in, a run directory with a model in it out.

From prepared shards this needs neither RDKit nor selfies, so a bare GPU node can run it.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn

from molvae.core.config import dump_config, load_config
from molvae.core.errors import CheckpointError, ConfigError, Interrupted
from molvae.core.files import CONFIG, EVENTS, MANIFEST, METRICS, STATE, VOCABULARY, append_event, exclusive, write_json
from molvae.core.manifest import check_kind, write_manifest
from molvae.core.progress import Progress, SilentProgress, progress
from molvae.core.stopping import StopFlag
from molvae.data.batch import TokenBatch
from molvae.data.loader import BatchLoader
from molvae.data.shards import read_manifest
from molvae.model.checkpoint import (
    DESCRIPTION,
    WEIGHTS,
    load_checkpoint,
    model_directory,
    save_checkpoint,
)
from molvae.model.objective import LossTerms, collapse_warning
from molvae.model.vae import SequenceVAE, VAESpec
from molvae.training.config import SEEDS, TrainConfig
from molvae.training.hardware import Hardware, leave_the_others, set_up
from molvae.training.inputs import check_vocabulary, conditions_of, open_split, tokens_of
from molvae.training.resume import check_data, check_processes, check_settings, data_sha256
from molvae.training.state import TrainState, build_optimiser, learning_rate
from molvae.training.validation import validate

log = logging.getLogger(__name__)

MODEL, TENSORBOARD = "model", "tensorboard"
RESULTS = (METRICS, MANIFEST, *(f"{MODEL}/{name}" for name in (DESCRIPTION, WEIGHTS, VOCABULARY)))
LOG_EVERY_STEPS = 20


def train(config: TrainConfig, run_dir: str | Path, fresh: bool = False) -> Path:
    """Train, or go on training, and return the model directory.

    The same call resumes: a run directory that holds a state of the same configuration is continued, and on a CPU the
    result equals that of an uninterrupted run to the bit. More epochs may be asked for; the learning rate then follows
    the longer schedule from there on, so that the result is not that of a run that had them from the start.

    Raises:
        ConfigError: the directory belongs to a run with another configuration, or of another number of processes.
        Interrupted: Ctrl-C or SIGTERM came; the state has been saved.
        TrainingError: the loss would not stay finite.
    """
    directory = Path(run_dir)
    hardware = set_up(config)
    try:
        with exclusive(directory) if hardware.is_main else nullcontext(), StopFlag() as stop:
            check_kind(directory, "train")
            Run(config, directory, fresh, hardware).to_the_end(stop)
    finally:
        leave_the_others()
    return directory / MODEL


@dataclass
class Meter:
    """Means of what happened since the last line of the log."""

    started: float = field(default_factory=time.monotonic)
    steps: int = 0
    tokens: int = 0
    loss: float = 0.0
    distortion: float = 0.0
    rate: float = 0.0
    penalty: float = 0.0

    def add(self, terms: LossTerms, batch: TokenBatch) -> None:
        """Count one step."""
        self.steps += 1
        self.tokens += int(batch.lengths.sum())
        self.loss += float(terms.loss.detach())
        self.distortion += float(terms.distortion.detach())
        self.rate += float(terms.rate.detach())
        self.penalty += float(terms.penalty.detach())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time that is spent inside out of the throughput."""
        began = time.monotonic()
        yield
        self.started += time.monotonic() - began

    def event(self) -> dict[str, Any]:
        """Losses in nats per molecule and throughput of this process."""
        seconds = time.monotonic() - self.started
        return {
            "loss_nats": self.loss / self.steps,
            "distortion_nats": self.distortion / self.steps,
            "rate_nats": self.rate / self.steps,
            "penalty_nats": self.penalty / self.steps,
            "tokens_per_second": self.tokens / seconds,
        }


class Run:
    """One training run: its directory, its data, its state."""

    def __init__(self, config: TrainConfig, directory: Path, fresh: bool, hardware: Hardware) -> None:
        self.config, self.directory, self.hardware = config, directory, hardware
        self.data = Path(config.data)
        manifest = read_manifest(self.data)
        n_tokens = len(tokens_of(self.data / VOCABULARY))
        valid, learnt_from = (open_split(self.data, split, config.model.condition_dim) for split in ("valid", "train"))
        before = self._before(fresh) if config.model.condition_dim else None
        self.conditions = conditions_of(learnt_from, manifest, before)
        self.valid = replace(valid, conditions=self.conditions)
        self.loader = BatchLoader(
            replace(learnt_from, conditions=self.conditions),
            config.optimiser.batch_size,
            config.seed,
            self.hardware.rank,
            self.hardware.world_size,
            pin_memory=self.hardware.device.type == "cuda",
        )
        self.n_steps = config.optimiser.epochs * len(self.loader)
        self.model = _new_model(config.model, n_tokens, config.seed).to(self.hardware.device)
        self.model.low_precision = self.hardware.low_precision
        optimiser = build_optimiser(self.model, config.optimiser)
        data = data_sha256(manifest)
        self.state = TrainState(self.model, optimiser, world_size=hardware.world_size, data_sha256=data)
        self.tensorboard: Any = None
        writer = _summary_writer() if config.tensorboard and self.hardware.is_main else None
        self._open_directory(fresh)
        if writer is not None:  # it begins a file at once, so not before those of an earlier run are gone
            self.tensorboard = writer(str(directory / TENSORBOARD))
        if self.hardware.is_main and config.optimiser.warmup_steps > self.n_steps:
            log.warning(
                "optimiser.warmup_steps is %d, but the run has %d steps: it ends before the learning rate is up",
                config.optimiser.warmup_steps, self.n_steps,
            )  # fmt: skip
        self._event("start", step=self.state.step, device=str(self.hardware.device), threads=torch.get_num_threads())

    def _before(self, fresh: bool) -> Path | None:
        """The model that the run goes on with, if it does not begin with random weights."""
        model = self.directory / MODEL
        if (model / DESCRIPTION).exists() and (self.directory / STATE).exists() and not fresh:
            return model
        return None if self.config.initial is None else model_directory(self.config.initial)

    def _open_directory(self, fresh: bool) -> None:
        state, config = self.directory / STATE, self.directory / CONFIG
        if not fresh and state.exists() and config.exists():
            check_settings(load_config(config, TrainConfig), self.config, self.directory)
            check_vocabulary(self.directory / MODEL / VOCABULARY, self.data / VOCABULARY)
            data = self.state.data_sha256
            self.state.load(state, self.hardware.device)
            check_data(self.state.data_sha256, data, self.data, self.directory)
            check_processes(self.state.world_size, self.hardware.world_size, self.directory)
            if self.hardware.is_main:
                log.info("resuming %s at step %d of %d", self.directory, self.state.step, self.n_steps)
        else:
            if self.config.initial is not None:
                _begin_with(self.model, model_directory(self.config.initial), self.data)
            if self.hardware.is_main:
                names = (STATE, EVENTS, *(RESULTS if fresh else ()))  # not to be taken for those of this run
                curves = (self.directory / TENSORBOARD).glob("events.out.tfevents.*")
                for old in (*(self.directory / name for name in names), *curves):
                    old.unlink(missing_ok=True)
        if self.hardware.is_main:
            self.directory.mkdir(parents=True, exist_ok=True)
            dump_config(self.config, config)

    def to_the_end(self, stop: StopFlag) -> None:
        """All remaining steps, the last validation, and the model directory."""
        try:
            self._remaining_steps(stop)
            self._finish()
        finally:
            if self.tensorboard is not None:
                self.tensorboard.close()

    def _remaining_steps(self, stop: StopFlag) -> None:
        self._clock = time.monotonic() - self.state.seconds
        last_save = time.monotonic()
        meter = Meter()
        self.model.train()
        shown = progress(self.n_steps, "training", "steps", done=self.state.step)
        with shown if self.hardware.is_main else nullcontext(SilentProgress()) as bar:
            while self.state.step < self.n_steps:
                epoch, first = divmod(self.state.step, len(self.loader))
                for batch in self.loader.batches(epoch, first):
                    self._step(batch, meter)
                    meter = self._log(meter, bar)
                    if self.state.step % self.config.validation.every_steps == 0 and self.state.step < self.n_steps:
                        with meter.paused():
                            self._validate()
                    if self._agree(stop.stopped):
                        self._save()
                        raise Interrupted(f"stopped at step {self.state.step}; the same command goes on from there")
                    if time.monotonic() - last_save > 60 * self.config.checkpoint_minutes:
                        with meter.paused():
                            self._save()
                        last_save = time.monotonic()

    def _step(self, batch: TokenBatch, meter: Meter) -> None:
        spec, step = self.config.optimiser, self.state.step
        device = self.hardware.device
        self.state.guard.remember(self.state)
        batch = batch.to(device)
        noise = torch.Generator(device).manual_seed(_mixed(self.config.seed, step, self.hardware.rank))
        for group in self.state.optimiser.param_groups:
            group["lr"] = learning_rate(spec, step, self.n_steps)
        terms = self.config.objective(self.model(batch, noise), step)
        self.state.optimiser.zero_grad(set_to_none=True)
        terms.loss.backward()
        self._average_gradients()
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), spec.clip_norm))
        self.state.step += 1
        if self._agree(not (math.isfinite(norm) and math.isfinite(float(terms.loss.detach())))):
            self._event("not_finite", step=step)
            if self.hardware.is_main:
                log.warning("step %d: loss or gradient is not finite; going back to the last good state", step)
            self.state.guard.go_back(self.state)
            return
        self.state.optimiser.step()
        meter.add(terms, batch)

    def _average_gradients(self) -> None:
        """Give all ranks, which began with the same weights, the same step.

        `DistributedDataParallel` would do it while it goes backward, but wraps the model, and lives as long as the run.
        """
        if self.hardware.world_size == 1:
            return
        gradients = [weight.grad for weight in self.model.parameters() if weight.grad is not None]
        together = nn.utils.parameters_to_vector(gradients)
        distributed.all_reduce(together)
        nn.utils.vector_to_parameters(together / self.hardware.world_size, gradients)

    def _agree(self, flag: bool) -> bool:
        """Whether any rank says yes (all ranks must stop, or skip a step, together)."""
        if self.hardware.world_size == 1:
            return flag
        votes = torch.tensor(float(flag), device=self.hardware.device)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return bool(votes > 0)

    def _log(self, meter: Meter, bar: Progress) -> Meter:
        """Count the step; now and then write the meter's line and give a new one."""
        if self.state.step % LOG_EVERY_STEPS or meter.steps == 0:
            bar.advance()
            return meter
        event = meter.event()
        bar.advance(loss=event["loss_nats"], tokens_per_second=event["tokens_per_second"])
        self._event("train", step=self.state.step, lr=self.state.optimiser.param_groups[0]["lr"], **event)
        return Meter()

    def _validate(self) -> dict[str, Any]:
        spec = self.config.validation
        if not self.hardware.is_main:
            return {}
        metrics, diagnosis = validate(self.model, self.valid, spec.n_molecules, self.config.seed)
        log.info("step %d: %s", self.state.step, ", ".join(f"{k} {v:.4g}" for k, v in metrics.items()))
        if warning := collapse_warning(diagnosis, self.model.latent_dim):
            log.warning("step %d: %s", self.state.step, warning)
        metrics["rate_by_group_nats"] = [round(rate, 4) for rate in diagnosis.rate.tolist()]
        self._event("valid", step=self.state.step, **metrics)
        return metrics

    def _event(self, kind: str, **fields: Any) -> None:
        if not self.hardware.is_main:
            return
        append_event(self.directory / EVENTS, {"event": kind, "time": time.time(), **fields})
        if self.tensorboard is not None:
            for name, value in fields.items():
                if name != "step" and isinstance(value, int | float):
                    self.tensorboard.add_scalar(f"{kind}/{name}", value, fields["step"])

    def _save(self) -> None:
        self.state.seconds = time.monotonic() - self._clock
        if self.hardware.is_main:
            self.state.save(self.directory / STATE)
            self._write_model({})

    def _write_model(self, metrics: dict[str, Any]) -> None:
        epochs = self.state.step / len(self.loader)
        info = {"initial": self.config.initial, "step": self.state.step, "epochs": epochs, "metrics": metrics}
        if self.conditions is not None:
            info["conditions"] = self.conditions.as_dict()
        save_checkpoint(self.directory / MODEL, self.model, self.data / VOCABULARY, info)

    def _finish(self) -> None:
        metrics = self._validate()
        self._save()
        if not self.hardware.is_main:
            return
        self._write_model(metrics)
        write_json(self.directory / METRICS, metrics)
        write_manifest(
            self.directory,
            kind="train",
            inputs=self._inputs(),
            seed=self.config.seed,
            device=str(self.hardware.device),
            seconds=self.state.seconds,
        )

    def _inputs(self) -> dict[str, Path]:
        """The data and, if they are still there, the weights that the run began with."""
        inputs = {"data": self.data}
        if self.config.initial is not None:
            with suppress(CheckpointError):
                inputs["initial"] = model_directory(self.config.initial)
        return inputs


def _new_model(spec: VAESpec, n_tokens: int, seed: int) -> SequenceVAE:
    """A model whose weights the seed decides; torch's global generator, which draws them, is left as it was."""
    with torch.random.fork_rng(devices=[]):  # modules are made on the CPU
        torch.random.default_generator.manual_seed(seed % SEEDS)
        return SequenceVAE(spec, n_tokens)


def _begin_with(model: SequenceVAE, directory: Path, data: Path) -> None:
    """Give a new model the weights of a trained one.

    Raises:
        CheckpointError: there is no such model.
        ConfigError: it was made for other tokens than those of the data, or has other sizes.
    """
    with torch.random.fork_rng(devices=[]):  # it draws weights before it reads them
        given, _ = load_checkpoint(directory)
    if tokens_of(directory / VOCABULARY) != tokens_of(data / VOCABULARY):
        raise ConfigError(
            f"{directory} knows other tokens than {data}; prepare the data with those of the model: "
            f"molvae prepare ... --vocabulary {directory}"
        )
    if _sizes(given.spec) != _sizes(model.spec):
        raise ConfigError(f"{directory} has other sizes than [model] asks for; it was made with {_sizes(given.spec)}")
    model.load_state_dict(given.state_dict())


def _sizes(spec: VAESpec) -> dict[str, Any]:
    """What decides the shapes of the weights."""
    return spec.model_dump(exclude={"token_dropout"})


def _mixed(seed: int, step: int, rank: int) -> int:
    """A seed for one step of one rank (numbers that differ give unrelated generators)."""
    return ((seed * 1_000_003 + step) * 1_009 + rank) % SEEDS


def _summary_writer() -> Any:
    """The class of TensorBoard's writers."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("tensorboard = true needs the extra: pip install 'molvae[tensorboard]'") from error
    return SummaryWriter
