"""Learning rate, weight decay, saved state, and the way back from what is not finite."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from molvae.core.errors import CheckpointError, TrainingError
from molvae.training.config import OptimiserSpec
from molvae.training.state import NanGuard, TrainState, build_optimiser, learning_rate

CPU = torch.device("cpu")
SPEC = OptimiserSpec(learning_rate=1e-2, final_fraction=0.1, warmup_steps=4, weight_decay=0.5)


def made(seed: int = 0, width: int = 3) -> TrainState:
    torch.manual_seed(seed)
    model = nn.Linear(width, 2)
    return TrainState(model, build_optimiser(model, SPEC))


def advance(state: TrainState, n: int = 1) -> None:
    """`n` steps whose gradients depend on the step's number only."""
    for _ in range(n):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(state.step))
        state.optimiser.zero_grad()
        state.model(x).square().sum().backward()
        state.optimiser.step()
        state.step += 1


def values(state: TrainState) -> list[torch.Tensor]:
    return [value.clone() for value in state.model.state_dict().values()]


def same(a: list[torch.Tensor], b: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(a, b, strict=True))


def test_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(SPEC, step, 104) for step in range(104)]
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert rates[4] == pytest.approx(1e-2)
    assert rates[54] == pytest.approx(0.5 * (1e-2 + 1e-3))
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert learning_rate(SPEC, 104, 104) == learning_rate(SPEC, 500, 104) == pytest.approx(1e-3)


def test_learning_rate_equals_pytorchs() -> None:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1e-2)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50, eta_min=1e-3)
    spec = SPEC.model_copy(update={"warmup_steps": 0})
    for step in range(50):
        assert learning_rate(spec, step, 50) == pytest.approx(reference.get_last_lr()[0], rel=1e-6)
        optimiser.step()
        reference.step()


def test_a_run_shorter_than_its_warm_up_has_a_learning_rate() -> None:
    assert [learning_rate(SPEC, step, 2) for step in range(2)] == pytest.approx([0.0025, 0.005])
    assert learning_rate(SPEC, 4, 4) == pytest.approx(1e-2)


def test_weight_decay_is_for_matrices_only() -> None:
    state = made()
    before = values(state)
    for parameter in state.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.optimiser.step()
    weight, bias = values(state)
    torch.testing.assert_close(weight, before[0] * (1 - 1e-2 * 0.5))
    assert torch.equal(bias, before[1])


def test_saved_and_loaded_goes_on_to_the_bit(tmp_path: Path) -> None:
    state = made()
    advance(state, 5)
    state.seconds = 12.5
    state.save(tmp_path / "deep" / "state.pt")
    advance(state, 5)
    other = made(seed=1)
    other.load(tmp_path / "deep" / "state.pt", CPU)
    assert (other.step, other.seconds) == (5, 12.5)
    advance(other, 5)
    assert same(values(other), values(state))


def test_a_state_of_another_model_is_refused(tmp_path: Path) -> None:
    made().save(tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="cannot resume from it"):
        made(width=4).load(tmp_path / "state.pt", CPU)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04"])
def test_a_damaged_state_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="start again with --fresh"):
        made().load(tmp_path / "state.pt", CPU)


def test_a_state_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": test_a_state_with_code_in_it_is_not_run}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError):
        made().load(tmp_path / "state.pt", CPU)


def test_a_flipped_bit_in_a_state_is_an_error(tmp_path: Path) -> None:
    state = made()
    advance(state)
    state.save(tmp_path / "state.pt")
    content = (tmp_path / "state.pt").read_bytes()
    place = content.index(state.model.weight.detach().numpy().tobytes())  # type: ignore[union-attr, operator]
    (tmp_path / "state.pt").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises(CheckpointError, match="cannot resume from it"):
        made().load(tmp_path / "state.pt", CPU)


def test_the_guard_goes_back_to_the_last_copy() -> None:
    state, guard, at = made(), NanGuard(every=4, patience=3), {}
    for _ in range(10):
        guard.remember(state)
        at[state.step] = values(state)
        advance(state)
    with torch.no_grad():
        next(iter(state.model.parameters())).fill_(float("nan"))
    guard.go_back(state)
    assert same(values(state), at[8])
    assert state.step == 10, "the step goes on, so that the batch that failed is left behind"
    advance(state, 3)
    guard.go_back(state)
    assert same(values(state), at[8]), "the copy is not the state itself"


def test_the_guards_copy_includes_the_optimiser() -> None:
    state, guard = made(), NanGuard(every=100)
    advance(state, 3)
    guard.remember(state)
    advance(state, 2)
    after = values(state)
    guard.go_back(state)
    state.step = 3
    advance(state, 2)
    assert same(values(state), after)


def test_the_guard_has_an_end_of_patience() -> None:
    state, guard = made(), NanGuard(patience=3)
    guard.remember(state)
    guard.go_back(state)
    guard.go_back(state)
    with pytest.raises(TrainingError, match="not finite 3 times, last at step 0; lower optimiser.learning_rate"):
        guard.go_back(state)


def test_the_guard_is_saved_with_the_state(tmp_path: Path) -> None:
    state, other = made(), made(seed=1)
    state.guard.remember(state)
    copied = values(state)
    advance(state, 3)
    state.guard.go_back(state)
    advance(state, 2)
    state.save(tmp_path / "state.pt")
    other.load(tmp_path / "state.pt", CPU)
    other.guard.remember(other)
    other.guard.go_back(other)
    assert same(values(other), copied)
    assert other.guard.failures == 2


def test_a_state_of_an_older_version_is_read(tmp_path: Path) -> None:
    made().save(tmp_path / "state.pt")
    value = torch.load(tmp_path / "state.pt", weights_only=True)
    torch.save({k: value[k] for k in ("model", "optimiser", "step", "seconds")}, tmp_path / "state.pt")
    other = made(seed=1)
    other.load(tmp_path / "state.pt", CPU)
    assert same(values(other), values(made()))
    assert (other.world_size, other.guard.failures, other.guard.good) == (1, 0, {})
