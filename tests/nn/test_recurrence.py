"""The recurrence of molvae against `torch.nn.GRU`, which defines it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from molvae.nn.recurrence import TokenGRU, recur

N_TOKENS, EMBEDDING, STATIC, HIDDEN, BATCH, STEPS = 11, 6, 5, 8, 7, 9


def made(static_dim: int = STATIC) -> tuple[TokenGRU, Tensor, Tensor | None, Tensor]:
    """A layer with tokens (T, B), static input (B, S) and initial state (B, H)."""
    torch.manual_seed(0)
    layer = TokenGRU(N_TOKENS, EMBEDDING, static_dim, HIDDEN)
    tokens = torch.randint(0, N_TOKENS, (STEPS, BATCH))
    static = torch.randn(BATCH, static_dim, requires_grad=True) if static_dim else None
    return layer, tokens, static, torch.randn(BATCH, HIDDEN, requires_grad=True)


def peer(layer: TokenGRU, tokens: Tensor, static: Tensor | None, h0: Tensor) -> Tensor:
    """The same by `torch.nn.GRU` on embeddings beside the static input."""
    x = layer.embedding(tokens)
    if static is not None:
        x = torch.cat([x, static.expand(len(x), -1, -1)], dim=2)
    states: Tensor = layer.gru(x, h0[None])[0]
    return states


@pytest.mark.parametrize("static_dim", [0, STATIC])
def test_states_and_gradients_equal_those_of_torch(static_dim: int) -> None:
    layer, tokens, static, h0 = made(static_dim)
    weights = torch.randn(STEPS, BATCH, HIDDEN)
    leaves = [*layer.parameters(), h0, *([] if static is None else [static])]
    ours, theirs = layer(tokens, static, h0), peer(layer, tokens, static, h0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)
    for mine, other in zip(
        torch.autograd.grad((ours * weights).sum(), leaves),
        torch.autograd.grad((theirs * weights).sum(), leaves),
        strict=True,
    ):
        scale = float(other.abs().max().clamp_min(1))
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6 * scale)


def test_gradients_equal_finite_differences() -> None:
    torch.manual_seed(1)
    tokens = torch.randint(0, 3, (4, 2))
    shapes = [(3, 3, 2), (3, 2, 2), (2, 2), (6, 2), (2,)]
    leaves = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]

    def states(*leaves: Tensor) -> Tensor:
        return recur(tokens, *(leaf.float() for leaf in leaves), low=False).double()

    found = torch.autograd.grad(states(*leaves).square().sum(), leaves)
    for leaf, gradient in zip(leaves, found, strict=True):
        direction = torch.randn_like(leaf)
        with torch.no_grad():
            step = 1e-2 * direction
            above, below = (
                float(states(*[x + sign * step if x is leaf else x for x in leaves]).square().sum()) for sign in (1, -1)
            )
        assert (above - below) / 2e-2 == pytest.approx(float((gradient * direction).sum()), rel=2e-3, abs=2e-3)


def test_constant_weights_change_no_gradient_and_save_products() -> None:
    layer, tokens, static, h0 = made()
    assert static is not None
    found, work = [], []
    for wanted in (True, False):
        states = layer.requires_grad_(wanted)(tokens, static, h0)
        with FlopCounterMode(display=False) as counter:
            found.append(torch.autograd.grad(states.square().sum(), [static, h0]))
        work.append(counter.get_total_flops())
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert work[1] < 0.6 * work[0]


def test_bfloat16_is_close() -> None:
    layer, tokens, static, h0 = made()
    exact, low = layer(tokens, static, h0), layer(tokens, static, h0, low=True)
    assert low.dtype == torch.float32
    assert 0 < float((exact - low).detach().abs().max()) < 0.03
    gradients = [torch.autograd.grad(states.square().sum(), list(layer.parameters())) for states in (exact, low)]
    for mine, other in zip(*gradients, strict=True):
        assert torch.nn.functional.cosine_similarity(mine.flatten(), other.flatten(), dim=0) > 0.99


def test_steps_equal_the_whole() -> None:
    layer, tokens, static, h = made()
    states, table, start = layer(tokens, static, h), layer.table(), layer.start(static, BATCH)
    for t in range(STEPS):
        h = layer.step(tokens[t], table, start, layer.recurrent_weight(), h)
        torch.testing.assert_close(h, states[t], rtol=0, atol=1e-6)


def test_without_an_initial_state_it_starts_at_zero() -> None:
    layer, tokens, static, _ = made()
    torch.testing.assert_close(layer(tokens, static), layer(tokens, static, torch.zeros(BATCH, HIDDEN)))


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("static_dim", [0, STATIC])
def test_by_cudnn_is_the_same_without_cuda(static_dim: int, low: bool) -> None:
    layer, tokens, static, h0 = made(static_dim)
    before = torch.backends.cudnn.allow_tf32
    torch.testing.assert_close(layer.by_cudnn(tokens, static, h0, low), layer(tokens, static, h0), rtol=0, atol=1e-6)
    assert torch.backends.cudnn.allow_tf32 == before


def test_by_cudnn_can_go_backward_while_the_model_is_evaluated() -> None:
    """cuDNN's recurrences go backward in training mode only."""
    layer, tokens, static, h0 = made()
    layer.eval()
    layer.by_cudnn(tokens, static, h0)
    assert layer.gru.training
    with torch.no_grad():
        layer.by_cudnn(tokens, static, h0)
    assert not layer.gru.training


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gradients_on_cuda_in_evaluation_mode_equal_those_on_the_cpu() -> None:
    layer, tokens, static, h0 = made()
    assert static is not None
    layer.eval()
    expected = torch.autograd.grad(layer(tokens, static, h0).sum(), static)[0]
    states = layer.cuda()(tokens.cuda(), static.cuda(), h0.cuda())
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        found = torch.autograd.grad(states.sum(), static)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("low", "close"), [(False, 1e-5), (True, 2e-3)])
def test_cuda_equals_the_cpu(low: bool, close: float) -> None:
    layer, tokens, static, h0 = made()
    assert static is not None
    expected = layer(tokens, static, h0)
    gradients = torch.autograd.grad(1e-6 * expected.sum(), list(layer.parameters()))  # float16 would lose them
    layer.cuda()
    with torch.autocast("cuda", torch.bfloat16):
        found = layer(tokens.cuda(), static.cuda(), h0.cuda(), low)
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=close)
    theirs = torch.autograd.grad(1e-6 * found.sum(), list(layer.parameters()))
    for mine, other in zip(gradients, theirs, strict=True):
        torch.testing.assert_close(other.cpu(), mine, rtol=0, atol=2e-2 * float(mine.abs().max()))
