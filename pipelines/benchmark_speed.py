"""How fast the GRU recurrence of molvae trains on a CPU, against `torch.nn.GRU`, in one run.

    python -m pipelines.benchmark_speed --threads 1

Forward and backward over random tokens; the peer sees the same inputs (embedding and latent point beside each
token) and has the same weights. The variants take turns, so that a noisy machine is unfair to none, and the figure
is the ratio of medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch

from molvae.cli.faults import run_script
from molvae.nn.recurrence import TokenGRU
from molvae.training.hardware import keep_freed_memory

N_TOKENS, EMBEDDING, LATENT = 112, 128, 128


def variants(batch: int, tokens: int, hidden: int) -> dict[str, Callable[[], None]]:
    """Forward and backward passes to compare, the peer first."""
    torch.manual_seed(0)
    model = TokenGRU(N_TOKENS, EMBEDDING, LATENT, hidden)
    ids = torch.randint(0, N_TOKENS, (tokens, batch))
    z, h0 = torch.randn(batch, LATENT), torch.zeros(batch, hidden)
    grad = torch.randn(tokens, batch, hidden)
    parameters = list(model.parameters())

    def peer() -> None:
        x = torch.cat([model.embedding(ids), z.expand(tokens, -1, -1)], dim=2)
        torch.autograd.grad(model.gru(x, h0[None])[0], parameters, grad)

    def ours(low: bool) -> Callable[[], None]:
        return lambda: torch.autograd.grad(model(ids, z, h0, low), parameters, grad) and None

    return {"nn.GRU, float32": peer, "molvae, float32": ours(False), "molvae, bfloat16": ours(True)}


def seconds(runs: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each variant, taking turns; the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if repeat:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print molecules per second and the ratio to the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256, help="molecules per batch")
    parser.add_argument("--tokens", type=int, default=38, help="tokens per molecule")
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    medians = seconds(variants(args.batch, args.tokens, args.hidden), args.repeats)
    reference = next(iter(medians.values()))
    print(f"B {args.batch}, T {args.tokens}, H {args.hidden}, {args.threads} thread(s), median of {args.repeats}")
    for name, value in medians.items():
        print(f"{name:18s} {args.batch / value:8.0f} molecules/s   {reference / value:5.2f} x")


if __name__ == "__main__":
    sys.exit(run_script(main))
