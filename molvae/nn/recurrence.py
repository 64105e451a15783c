"""The GRU recurrence, written for CPUs.

`nn.GRU` defines the mathematics (Cho et al. 2014, arXiv:1406.1078, in cuDNN's form) and owns the parameters:

    r = sigmoid(x_r + h W_r + b_r)      reset gate
    u = sigmoid(x_u + h W_u + b_u)      update gate
    c = tanh(x_c + r * (h W_c + b_c))   candidate
    h' = c + u * (h - c)

On CUDA cuDNN runs it, in float32 or, where `low` asks for speed, in TF32. Autocast would not do: whatever type it is
given, it runs cuDNN's recurrences in float16, where the small gradients of a mean over many molecules vanish.

On a CPU this module runs the same recurrence over *tokens* as one autograd function: the input projection of a token is
a row of a table, the state stays in float32, the matrix products may run in bfloat16 (several times faster where the
CPU has AMX or AVX-512 BF16), and the gradients of weight and table are one large product each after the loop instead of
T small ones, left out where the weights are constants (`model/inversion.py`).

Symbols: B batch, T tokens, V vocabulary, H hidden. Gates come in the order r, u, c along the first axis, so that
each gate of each step is one contiguous block.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional


def recur(tokens: Tensor, table: Tensor, static: Tensor, h0: Tensor, weight: Tensor, bias: Tensor, low: bool) -> Tensor:
    """States of a GRU over token sequences.

    Args:
        tokens: ids, (T, B).
        table: input projection of every token, (3, V, H).
        static: added to the projection at every step, (3, B, H); holds every bias but the candidate's recurrent one.
        h0: initial state, (B, H).
        weight: `nn.GRU.weight_hh`, (3H, H).
        bias: the candidate's recurrent bias, `nn.GRU.bias_hh[2H:]`, (H,).
        low: run the matrix products in bfloat16.

    Returns:
        States h_1 .. h_T, (T, B, H), float32.
    """
    dtype, keep = torch.bfloat16 if low else torch.float32, torch.is_grad_enabled()
    states: Tensor = _Recurrence.apply(tokens, table, static, h0, weight, bias, dtype, keep)
    return states


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        tokens: Tensor,
        table: Tensor,
        static: Tensor,
        h0: Tensor,
        weight: Tensor,
        bias: Tensor,
        dtype: torch.dtype,
        keep: bool,
    ) -> Tensor:
        (n_steps, n_batch), n_hidden = tokens.shape, h0.shape[1]
        w = weight.to(dtype).t().contiguous()  # (H, 3H)
        states = h0.new_empty(n_steps, n_batch, n_hidden)
        saved = h0.new_empty(n_steps if keep else 1, 4, n_batch, n_hidden)  # r, u, c, the candidate's recurrent part
        product = h0.new_empty(n_batch, 3 * n_hidden, dtype=dtype)
        product_r, product_u, product_c = product.split(n_hidden, dim=1)
        h = h0
        for t in range(n_steps):
            r, u, c, part = saved[t if keep else 0]
            torch.mm(h.to(dtype), w, out=product)
            for gate, out in enumerate((r, u, c)):
                torch.index_select(table[gate], 0, tokens[t], out=out)
                out.add_(static[gate])
            r.add_(product_r).sigmoid_()
            u.add_(product_u).sigmoid_()
            torch.add(bias, product_c, out=part)
            c.addcmul_(r, part).tanh_()
            h = torch.lerp(c, h, u, out=states[t])
        if keep:
            ctx.save_for_backward(tokens, h0, weight, states, saved)
        ctx.dtype, ctx.n_tokens = dtype, table.shape[1]  # type: ignore[attr-defined]
        return states

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tokens, h0, weight, states, saved = ctx.saved_tensors  # type: ignore[attr-defined]
        dtype: torch.dtype = ctx.dtype  # type: ignore[attr-defined]
        n_steps, n_batch, n_hidden = states.shape
        w = weight.to(dtype)  # (3H, H)
        _, of_table, _, _, of_weight, of_bias, _, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        keep = of_table or of_weight or of_bias
        inner = h0.new_empty(n_steps if keep else 1, n_batch, 3 * n_hidden, dtype=dtype)  # gradient at h W + b
        grad_candidate = h0.new_empty(len(inner), n_batch, n_hidden, dtype=dtype)  # at the candidate's input projection
        grad_static = states.new_zeros(3, n_batch, n_hidden)
        grad_h = torch.zeros_like(h0)
        product = h0.new_empty(n_batch, n_hidden, dtype=dtype)
        one, slope = states.new_ones(()), torch.empty_like(h0)
        grad_c, grads_inner = torch.empty_like(h0), states.new_empty(n_batch, 3 * n_hidden)
        grad_r, grad_u, grad_part = grads_inner.split(n_hidden, dim=1)
        for t in range(n_steps - 1, -1, -1):
            r, u, c, part = saved[t]
            grad_h.add_(grads[0][t])
            torch.sub(states[t - 1] if t else h0, c, out=grad_u).mul_(grad_h)
            grad_u.mul_(torch.addcmul(u, u, u, value=-1, out=slope))  # sigmoid'
            torch.sub(one, u, out=grad_c).mul_(grad_h)
            grad_c.mul_(torch.addcmul(one, c, c, value=-1, out=slope))  # tanh'
            torch.mul(grad_c, part, out=grad_r)
            grad_r.mul_(torch.addcmul(r, r, r, value=-1, out=slope))
            for gate, grad in enumerate((grad_r, grad_u, grad_c)):
                grad_static[gate].add_(grad)
            torch.mul(grad_c, r, out=grad_part)
            at = t if keep else 0
            grad_candidate[at], inner[at] = grad_c, grads_inner
            grad_h.mul_(u).add_(torch.mm(inner[at], w, out=product))
        flat = inner.view(-1, 3 * n_hidden)
        grad_table = grad_weight = grad_bias = None
        if of_table:
            one_hot = functional.one_hot(tokens.reshape(-1), ctx.n_tokens).to(dtype).t().contiguous()  # type: ignore[attr-defined]
            grad_gates = (one_hot @ flat[:, : 2 * n_hidden]).view(-1, 2, n_hidden).transpose(0, 1)
            grad_table = torch.cat([grad_gates, (one_hot @ grad_candidate.view(-1, n_hidden))[None]]).float()
        if of_weight:
            before = torch.cat([h0[None], states[:-1]]).view(-1, n_hidden).to(dtype)
            grad_weight = (flat.t() @ before).float()
        if of_bias:
            grad_bias = flat[:, 2 * n_hidden :].float().sum(0)
        return None, grad_table, grad_static, grad_h, grad_weight, grad_bias, None, None


class TokenGRU(torch.nn.Module):
    """A GRU over tokens with a static input beside each of them: `nn.GRU` on [embedding(token), static].

    Args:
        n_tokens: vocabulary size V.
        embedding_dim: width of the token embedding, D.
        static_dim: width of the static input, S (0 for none).
        hidden_dim: H.
    """

    def __init__(self, n_tokens: int, embedding_dim: int, static_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.hidden_dim, self.embedding_dim = hidden_dim, embedding_dim
        self.embedding = torch.nn.Embedding(n_tokens, embedding_dim)
        self.gru = torch.nn.GRU(embedding_dim + static_dim, hidden_dim)

    def forward(self, tokens: Tensor, static: Tensor | None, h0: Tensor | None = None, low: bool = False) -> Tensor:
        """States (T, B, H) for tokens (T, B), static input (B, S) or None, and initial state (B, H) or zeros."""
        if h0 is None:
            h0 = self._weight_hh.new_zeros(tokens.shape[1], self.hidden_dim)
        if tokens.is_cuda:
            return self.by_cudnn(tokens, static, h0, low)
        start = self.start(static, len(h0))
        return recur(tokens, self.table(), start, h0, self._weight_hh, self._bias_hh[2 * self.hidden_dim :], low)

    def by_cudnn(self, tokens: Tensor, static: Tensor | None, h0: Tensor, low: bool = False) -> Tensor:
        """What `forward` gives, by `nn.GRU`, which on CUDA is cuDNN's; with `low` in TF32."""
        x = self.embedding(tokens)
        if static is not None:
            x = torch.cat([x, static.expand(len(x), -1, -1)], dim=2)
        self.gru.train(torch.is_grad_enabled())  # what cuDNN needs to go backward, and all the mode does here
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=low), torch.autocast("cuda", enabled=False):
            states: Tensor = self.gru(x, h0[None])[0]
        return states

    # nn.GRU creates its parameters by name, so that type checkers do not see them
    @property
    def _weight_ih(self) -> Tensor:
        return cast(Tensor, self.gru.weight_ih_l0)

    @property
    def _weight_hh(self) -> Tensor:
        return cast(Tensor, self.gru.weight_hh_l0)

    @property
    def _bias_hh(self) -> Tensor:
        return cast(Tensor, self.gru.bias_hh_l0)

    def table(self) -> Tensor:
        """Input projection of every token, (3, V, H)."""
        weight = self._weight_ih[:, : self.embedding_dim].view(3, self.hidden_dim, -1)
        return self.embedding.weight @ weight.transpose(1, 2)

    def start(self, static: Tensor | None, n_batch: int) -> Tensor:
        """Projection of the static input and the biases, (3, B, H)."""
        gate = torch.arange(3 * self.hidden_dim, device=self._bias_hh.device) < 2 * self.hidden_dim
        bias = cast(Tensor, self.gru.bias_ih_l0) + self._bias_hh * gate
        if static is None:
            return bias.view(3, 1, -1).expand(-1, n_batch, -1)
        projected = functional.linear(static, self._weight_ih[:, self.embedding_dim :], bias)
        return projected.view(-1, 3, self.hidden_dim).transpose(0, 1).contiguous()

    def recurrent_weight(self, low: bool = False) -> Tensor:
        """`nn.GRU.weight_hh`, (3H, H), in bfloat16 where `low` asks for it."""
        return self._weight_hh.to(torch.bfloat16) if low else self._weight_hh

    def step(self, tokens: Tensor, table: Tensor, start: Tensor, weight: Tensor, h: Tensor) -> Tensor:
        """One step for decoding: tokens (B,), what `table`, `start` and `recurrent_weight` gave, state (B, H) -> next
        state (B, H), float32; the matrix product is done in the precision of `weight`."""
        x = table[:, tokens] + start
        part = functional.linear(h.to(weight.dtype), weight).float().view(-1, 3, self.hidden_dim).transpose(0, 1)
        r, u = torch.sigmoid(x[:2] + part[:2])
        c = torch.tanh(x[2] + r * (part[2] + self._bias_hh[2 * self.hidden_dim :]))
        return torch.lerp(c, h, u)
