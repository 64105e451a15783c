"""Training inside this process: what it writes, what it refuses, and that resuming changes nothing."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_runs import SPEC, StopAfter, events, small_config, stopped, weights

from molvae.core.config import load_config
from molvae.core.errors import CheckpointError, ConfigError, Interrupted, TrainingError
from molvae.core.files import exclusive, read_json
from molvae.core.manifest import fingerprint
from molvae.data.shards import TokenShards
from molvae.model.bottlenecks import DiffusionSpec, FlowSpec, GaussianSpec, LadderSpec, MixtureSpec, VQSpec
from molvae.model.checkpoint import load_checkpoint
from molvae.model.objective import Constant, Objective
from molvae.model.penalties import Moments, TotalCorrelation
from molvae.model.vae import VAESpec
from molvae.training.config import OptimiserSpec, TrainConfig, ValidationSpec
from molvae.training.hardware import set_up
from molvae.training.state import learning_rate
from molvae.training.trainer import Run, train
from molvae.training.validation import validate

BOTTLENECKS = {
    "gaussian": GaussianSpec(latent_dim=16),
    "mixture": GaussianSpec(latent_dim=16, prior=MixtureSpec(components=8)),
    "flow": GaussianSpec(latent_dim=16, prior=FlowSpec(layers=4, hidden_dim=16)),
    "diffusion": GaussianSpec(latent_dim=16, prior=DiffusionSpec(steps=16, hidden_dim=32)),
    "vq": VQSpec(groups=24, codes=8, width=4),
    "ladder": LadderSpec(widths=(4, 12), hidden_dim=16),
}


@pytest.fixture(scope="module")
def finished(tiny_prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory after three epochs of four steps."""
    directory = tmp_path_factory.mktemp("finished")
    train(small_config(tiny_prepared), directory)
    return directory


# --- beginning with trained weights ---------------------------------------------------------------------------------


def test_a_run_begins_with_the_weights_it_is_given(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    config = small_config(tiny_prepared, initial=str(finished / "model"), seed=7)
    run = Run(config, tmp_path / "run", False, set_up(config))
    given, _ = load_checkpoint(finished / "model")
    assert all(torch.equal(a, b) for a, b in zip(run.model.parameters(), given.parameters(), strict=True))


def test_a_continued_run_resumes_without_the_weights_it_began_with(
    finished: Path, tiny_prepared: Path, tmp_path: Path
) -> None:
    initial = tmp_path / "initial"
    shutil.copytree(finished / "model", initial)
    config = small_config(tiny_prepared, initial=str(initial), epochs=1)
    train(config, tmp_path / "whole")
    stopped(config, tmp_path / "parts", 2)
    shutil.rmtree(initial)
    train(config, tmp_path / "parts")
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_the_weights_a_run_began_with_are_among_its_inputs(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    initial = finished / "model"
    train(small_config(tiny_prepared, initial=str(initial), epochs=1), tmp_path)
    recorded = read_json(tmp_path / "manifest.json")["inputs"]["initial"]
    assert recorded == {"path": str(initial), "sha256": fingerprint(initial)}


def test_weights_of_another_size_or_vocabulary_are_refused(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    larger = small_config(tiny_prepared, initial=str(finished / "model"), model=VAESpec())
    with pytest.raises(ConfigError, match="other sizes"):
        train(larger, tmp_path / "larger")
    with pytest.raises(ConfigError, match=r"other tokens .* --vocabulary"):
        train(small_config(tiny_prepared, initial="zinc250k"), tmp_path / "tokens")


# --- learning -------------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("kind", BOTTLENECKS)
def test_a_small_model_learns_64_molecules_by_heart(kind: str, tiny_prepared: Path, tmp_path: Path) -> None:
    sizes = {"embedding_dim": 16, "encoder_dim": 24, "decoder_dim": 48, "token_dropout": 0}
    beta, epochs, rate = (0.002, 240, 1e-2) if kind == "vq" else (0.02, 120, 2e-2)  # drawing codes is noisy
    config = small_config(
        tiny_prepared,
        model=VAESpec(**sizes, bottleneck=BOTTLENECKS[kind]),
        objective=Objective(beta=Constant(value=beta)),
        optimiser=OptimiserSpec(epochs=epochs, batch_size=32, learning_rate=rate, warmup_steps=5),
        validation=ValidationSpec(every_steps=1000, n_molecules=16),
    )
    model, _ = load_checkpoint(train(config, tmp_path / "run"))
    metrics, diagnosis = validate(model, TokenShards.open(tiny_prepared, "train"), 64, seed=0)
    assert metrics["exact_tokens"] == 1
    assert metrics["distortion_nats"] < 1
    assert diagnosis.active_units >= 4
    if isinstance(BOTTLENECKS[kind], GaussianSpec):
        assert metrics["mutual_information_nats"] > 0.9 * np.log(64)


def test_the_loss_falls(tiny_prepared: Path, tmp_path: Path) -> None:
    train(small_config(tiny_prepared, epochs=15), tmp_path)
    losses = [event["loss_nats"] for event in events(tmp_path, "train")]
    assert losses[-1] < 0.8 * losses[0]


# --- what a run leaves ----------------------------------------------------------------------------------------------


def test_a_run_directory(finished: Path, tiny_prepared: Path) -> None:
    assert {path.name for path in finished.iterdir()} - {".lock"} == {
        "config.resolved.toml", "events.jsonl", "manifest.json", "metrics.json", "model", "resume",
    }  # fmt: skip
    assert load_config(finished / "config.resolved.toml", TrainConfig) == small_config(tiny_prepared)
    manifest = read_json(finished / "manifest.json")
    assert manifest["kind"] == "train"
    assert manifest["seed"] == 0
    assert manifest["seconds"] > 0
    model, info = load_checkpoint(finished / "model")
    assert info["step"] == 12
    assert info["epochs"] == 3
    assert info["metrics"] == read_json(finished / "metrics.json")
    assert model.spec == SPEC


def test_events(tiny_prepared: Path, tmp_path: Path) -> None:
    train(small_config(tiny_prepared, epochs=10), tmp_path)
    (start,) = events(tmp_path, "start")
    assert start["step"] == 0
    lines = events(tmp_path, "train")
    assert [line["step"] for line in lines] == [20, 40]
    for line in lines:
        assert line["loss_nats"] == pytest.approx(line["distortion_nats"] + 0.1 * line["rate_nats"], rel=1e-4)
        assert line["tokens_per_second"] > 0
        assert line["lr"] > 0
    looks = events(tmp_path, "valid")
    assert [look["step"] for look in looks][:8] == list(range(5, 41, 5))
    assert all(look["n_molecules"] == 16 for look in looks)
    assert all(len(look["rate_by_group_nats"]) == 6 for look in looks)
    assert {"distortion_nats", "rate_nats", "exact_tokens", "active_units", "mutual_information_nats"} <= set(looks[0])


def test_validation_does_not_count_as_training_time(
    tiny_prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, late = time.monotonic, [0.0]

    def slow(*args: Any) -> Any:
        late[0] += 10_000
        return validate(*args)

    monkeypatch.setattr("molvae.training.trainer.validate", slow)
    monkeypatch.setattr(time, "monotonic", lambda: clock() + late[0])
    train(small_config(tiny_prepared, epochs=5), tmp_path)
    (line,) = events(tmp_path, "train")
    assert line["tokens_per_second"] > 1


def test_tensorboard_shows_this_run_alone(tiny_prepared: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def shown() -> list[int]:
        found = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
        return [event.step for event in found.Scalars("valid/rate_nats")]

    config, threads = small_config(tiny_prepared, tensorboard=True), threading.active_count()
    stopped(config, tmp_path, 6)
    assert threading.active_count() == threads, "the writer is closed"
    train(config, tmp_path)
    assert shown() == [5, 10, 12]
    train(small_config(tiny_prepared, epochs=1, tensorboard=True, seed=2), tmp_path, fresh=True)
    assert shown() == [4]


def test_the_learning_rate_follows_its_schedule(tiny_prepared: Path, tmp_path: Path) -> None:
    config = small_config(tiny_prepared, epochs=10)
    train(config, tmp_path)
    for line in events(tmp_path, "train"):
        assert line["lr"] == pytest.approx(learning_rate(config.optimiser, line["step"] - 1, 40))


def test_a_collapse_is_logged(tiny_prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(small_config(tiny_prepared, epochs=2, objective=Objective(beta=Constant(value=100))), tmp_path)
    assert "posterior collapse" in caplog.text


# --- resuming -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 4, 7])
def test_interrupted_and_resumed_equals_uninterrupted(
    finished: Path, tiny_prepared: Path, tmp_path: Path, at: int
) -> None:
    config = small_config(tiny_prepared)
    stopped(config, tmp_path, at)
    assert load_checkpoint(tmp_path / "model")[1]["step"] == at, "an interrupted run has a usable model, too"
    train(config, tmp_path)
    assert weights(tmp_path) == weights(finished)
    assert read_json(tmp_path / "metrics.json") == read_json(finished / "metrics.json")
    assert [start["step"] for start in events(tmp_path, "start")] == [0, at]


def test_seconds_add_up_over_the_parts(tiny_prepared: Path, tmp_path: Path) -> None:
    config = small_config(tiny_prepared)
    stopped(config, tmp_path, 6)
    before = torch.load(tmp_path / "resume" / "state.pt", weights_only=True)["seconds"]
    train(config, tmp_path)
    assert read_json(tmp_path / "manifest.json")["seconds"] > before > 0


def test_another_seed_is_another_run(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    train(small_config(tiny_prepared, seed=1), tmp_path)
    assert weights(tmp_path) != weights(finished)


@pytest.mark.parametrize("begin", ["anew", "with weights"])
def test_random_numbers_are_left_as_they_were(finished: Path, tiny_prepared: Path, tmp_path: Path, begin: str) -> None:
    before, initial = torch.get_rng_state(), None if begin == "anew" else str(finished / "model")
    train(small_config(tiny_prepared, epochs=1, initial=initial), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_random_number_of_the_caller_counts(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        train(small_config(tiny_prepared), tmp_path)
    assert weights(tmp_path) == weights(finished)


def test_a_finished_run_is_left_as_it_is(tiny_prepared: Path, tmp_path: Path) -> None:
    train(small_config(tiny_prepared), tmp_path)
    before = weights(tmp_path)
    train(small_config(tiny_prepared), tmp_path)
    assert weights(tmp_path) == before


def test_more_epochs_may_be_asked_for(tiny_prepared: Path, tmp_path: Path) -> None:
    train(small_config(tiny_prepared, epochs=1), tmp_path)
    train(small_config(tiny_prepared, epochs=2), tmp_path)
    assert load_checkpoint(tmp_path / "model")[1]["step"] == 8
    assert [start["step"] for start in events(tmp_path, "start")] == [0, 4]


def test_what_does_not_change_the_learning_may_change(tiny_prepared: Path, tmp_path: Path) -> None:
    stopped(small_config(tiny_prepared), tmp_path, 2)
    looks = ValidationSpec(every_steps=3, n_molecules=8)
    train(small_config(tiny_prepared, threads=None, checkpoint_minutes=1, validation=looks), tmp_path)
    assert load_checkpoint(tmp_path / "model")[1]["step"] == 12


def test_fresh_starts_again(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    stopped(small_config(tiny_prepared, seed=1), tmp_path, 5)
    train(small_config(tiny_prepared), tmp_path, fresh=True)
    assert weights(tmp_path) == weights(finished)
    assert [start["step"] for start in events(tmp_path, "start")] == [0]


def test_fresh_forgets_the_old_state_at_once(finished: Path, tiny_prepared: Path, tmp_path: Path) -> None:
    """Killed before its first checkpoint, a fresh run must not be resumed from the state of the run before it."""
    stopped(small_config(tiny_prepared, seed=1), tmp_path, 5)
    Run(small_config(tiny_prepared), tmp_path, True, set_up(small_config(tiny_prepared)))  # and here it is killed
    train(small_config(tiny_prepared), tmp_path)
    assert weights(tmp_path) == weights(finished)


def test_fresh_leaves_no_results_of_the_old_run(tiny_prepared: Path, tmp_path: Path) -> None:
    config = small_config(tiny_prepared, epochs=1)
    train(config, tmp_path)
    Run(config, tmp_path, True, set_up(config))  # and here it is killed
    assert not [name for name in ("metrics.json", "manifest.json") if (tmp_path / name).exists()]
    assert list((tmp_path / "model").iterdir()) == []


def test_a_large_seed_is_a_seed(tiny_prepared: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 2**70), ("other", 2**70 + 1)):
        train(small_config(tiny_prepared, epochs=1, seed=seed), tmp_path / name)
    assert weights(tmp_path / "one") != weights(tmp_path / "other")


def test_a_damaged_state_is_an_error_with_a_way_out(tiny_prepared: Path, tmp_path: Path) -> None:
    stopped(small_config(tiny_prepared), tmp_path, 1)
    state = tmp_path / "resume" / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot resume from it .*start again with --fresh"):
        train(small_config(tiny_prepared), tmp_path)


def test_one_run_at_a_time_in_a_directory(tiny_prepared: Path, tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(ConfigError, match="in use by another run"):
        train(small_config(tiny_prepared), tmp_path)
    train(small_config(tiny_prepared, epochs=1), tmp_path)


# --- numerical failure ----------------------------------------------------------------------------------------------


def broken(config: TrainConfig, directory: Path, at: set[int] | None) -> Run:
    """A run whose gradient is NaN at some steps (None: at all)."""
    run = Run(config, directory, False, set_up(config))

    def spoil(grad: torch.Tensor) -> torch.Tensor:
        return grad * float("nan") if at is None or run.state.step in at else grad

    run.model.decoder.output.weight.register_hook(spoil)
    return run


def test_a_gradient_that_is_not_finite_is_survived(tiny_prepared: Path, tmp_path: Path) -> None:
    broken(small_config(tiny_prepared, epochs=10), tmp_path, {3, 17}).to_the_end(StopAfter(10**6))
    assert [event["step"] for event in events(tmp_path, "not_finite")] == [3, 17]
    model, info = load_checkpoint(tmp_path / "model")
    assert info["step"] == 40
    assert all(value.isfinite().all() for value in model.state_dict().values())
    losses = [line["loss_nats"] for line in events(tmp_path, "train")]
    assert losses[-1] < losses[0], "it goes on learning"


def test_resuming_between_steps_that_fail_changes_nothing(tiny_prepared: Path, tmp_path: Path) -> None:
    config, at = small_config(tiny_prepared), {2, 7}
    broken(config, tmp_path / "whole", at).to_the_end(StopAfter(10**6))
    with pytest.raises(Interrupted):
        broken(config, tmp_path / "parts", at).to_the_end(StopAfter(5))
    broken(config, tmp_path / "parts", at).to_the_end(StopAfter(10**6))
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")
    assert [event["step"] for event in events(tmp_path / "parts", "not_finite")] == [2, 7]


def test_a_loss_that_stays_not_finite_ends_the_run(tiny_prepared: Path, tmp_path: Path) -> None:
    run = broken(small_config(tiny_prepared), tmp_path, None)
    with pytest.raises(TrainingError, match=r"not finite 5 times, last at step 5; lower optimiser.learning_rate"):
        run.to_the_end(StopAfter(10**6))


# --- variants of the model ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in BOTTLENECKS if kind != "gaussian"])
def test_every_bottleneck_resumes_to_the_bit(kind: str, tiny_prepared: Path, tmp_path: Path) -> None:
    model = SPEC.model_copy(update={"bottleneck": BOTTLENECKS[kind]})
    config = small_config(tiny_prepared, epochs=2, model=model)
    train(config, tmp_path / "whole")
    stopped(config, tmp_path / "parts", 3)
    train(config, tmp_path / "parts")
    assert weights(tmp_path / "parts") == weights(tmp_path / "whole")


def test_penalties_are_logged_and_refused_where_they_mean_nothing(tiny_prepared: Path, tmp_path: Path) -> None:
    objective = Objective(beta=Constant(value=0.1), penalties=(TotalCorrelation(weight=0.5), Moments()))
    train(small_config(tiny_prepared, epochs=5, objective=objective), tmp_path / "run")
    assert all(event["penalty_nats"] > 0 for event in events(tmp_path / "run", "train"))
    for other in (VQSpec(), LadderSpec()):
        model = SPEC.model_copy(update={"bottleneck": other})
        with pytest.raises(ValidationError, match=rf"kind gaussian gives, not {other.kind}; leave them out"):
            small_config(tiny_prepared, objective=objective, model=model)
