"""A search as one call of Python, or one call for each round of a laboratory."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from molvae.chem.molecules import canonical
from molvae.chem.reading import as_list
from molvae.core.config import Spec, parse_config
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import exclusive, sha256_text
from molvae.core.manifest import fingerprint
from molvae.core.progress import progress
from molvae.core.stopping import StopFlag
from molvae.oracles import oracle as make_oracle
from molvae.oracles.oracle import FloatArray, Oracle
from molvae.oracles.registry import Source
from molvae.search.ask_tell import distinct
from molvae.search.build import load_model
from molvae.search.conduct import conduct, local_crew, refuse_given_up
from molvae.search.config import SearchSpec
from molvae.search.constraints import ConstraintSpec
from molvae.search.latent import LatentModel
from molvae.search.ledger import Ledger
from molvae.search.measured import measurements
from molvae.search.methods import MethodSpec
from molvae.search.plan import Plan, plan
from molvae.search.result import SearchResult

BATCH_GROWTH = 0.002  # as in `configs/search/default.toml`
FREE = {"budget", "workers", "timeout_seconds"}  # to be others when a search goes on


def optimise(
    oracle: Source | Sequence[Source],
    budget: int = 1000,
    weights: str | Path | LatentModel = "zinc250k",
    seed: int = 0,
    *,
    start: Sequence[str] | None = None,
    data: Any = None,
    batch_size: int = 2,
    largest: int = 60,
    hardest: float = 4.5,
    method: MethodSpec | dict[str, Any] | str = "bayesian",
    constraints: Sequence[ConstraintSpec | dict[str, Any]] = (),
    reference: tuple[float, ...] | None = None,
    device: str = "auto",
    ledger: str | Path | None = None,
    workers: int = 1,
    in_flight: int | None = None,
    timeout_seconds: float = 60.0,
) -> SearchResult:
    """Find molecules that an oracle scores highly; the result holds all that were scored, in call order.

    Ctrl-C ends the search after the batch at hand, with what was found so far; with a `ledger` the same call goes on.
    Other settings are those of `configs/search/default.toml`, but for its fewer candidates beyond 2,000 calls.

    Args:
        oracle: an `Oracle`, the name of one, a Python function, or a list of these, each an objective; see
            `molvae.oracle`, which also turns signs: larger is better.
        budget: oracle calls: distinct canonical molecules scored.
        weights: name of shipped weights, a model directory, or a loaded model.
        seed: of all randomness.
        start: molecules to begin with; they cost calls. Where there are neither any nor data, 30 are sampled.
        data: measured molecules, known from the beginning at no cost of calls; see `measured.measurements`.
        batch_size: molecules for each call of the oracle.
        largest: heavy atoms of a proposal, at most.
        hardest: SA score of a proposal, at most (1 easy to make, 10 hard; of ZINC250k, 95 of 100 have at most 4.5).
        method: how to search, as in the section [method] of a config, or only its kind; see `molvae.search.methods`.
        constraints: what a molecule must meet, as in a config; see `molvae.search.constraints`.
        reference: of several objectives, the point (Q,) that a molecule of any use exceeds.
        device: for the model.
        ledger: journal file to record in, or to continue the same search from; None keeps everything in memory.
        workers: molecules scored at once, each in a process of its own; runs then differ, but for `in_flight`.
        in_flight: so many molecules are always on their way, and scores are told in the order of proposals.
        timeout_seconds: longest time for a molecule, of a Python function; with workers, of all without their own.

    Raises:
        ConfigError: an argument has an impossible value.
        DataError: nothing in `data` can be used, or the ledger is that of another search.
        OracleError: the oracle, or that of a constraint, could score none of the first 30 molecules.
    """
    scorer = _scorer(oracle, timeout_seconds)
    measured = None if data is None else measurements(data)
    asked: dict[str, Any] = {"budget": budget, "batch_size": batch_size, "largest": largest, "hardest": hardest}
    asked |= {"workers": workers, "in_flight": in_flight, "timeout_seconds": timeout_seconds}
    spec, chosen = _settings(method, start, **asked, constraints=constraints, reference=reference)
    planned = plan(chosen, spec, scorer, seed, lambda: _model(weights, device), measured)
    about = [scorer.identity, seed, chosen, spec.model_dump(exclude=FREE), measured and measured.lists]
    about.append(_contents(weights) if planned.model is not None else None)
    with _opened(ledger, scorer.objectives, sha256_text(repr(about))) as record:
        return _run(planned, spec, record, None if ledger is None else Path(f"{ledger}.pending.json"))


def propose(
    data: Any,
    n: int = 10,
    weights: str | Path | LatentModel = "zinc250k",
    seed: int = 0,
    *,
    pending: Sequence[str] = (),
    min_distance: float = 0.0,
    largest: int = 60,
    hardest: float = 4.5,
    method: MethodSpec | dict[str, Any] | str = "bayesian",
    constraints: Sequence[ConstraintSpec | dict[str, Any]] = (),
    device: str = "auto",
) -> list[str]:
    """The molecules to measure next, where the oracle is a laboratory: add what came out to `data`, and call again.

    The same call has the same answer; fewer than `n` where no more can be found.

    Args:
        data: what was measured, larger values being better; see `measured.measurements`.
        n: how many.
        pending: molecules that are being made or measured; they are not proposed again, and count as what is expected
            of them, so that others are proposed than those like them.
        min_distance: least Tanimoto distance (ECFP4) between those proposed, and to what is pending.
        others: see `optimise`.

    Raises:
        ConfigError: an argument has an impossible value.
        DataError: nothing in `data` can be used, or a molecule that is pending is invalid.
    """
    for index, smiles in enumerate(as_list(pending)):
        if canonical(smiles) is None:
            raise DataError(f"pending.{index}: expected a SMILES, got {smiles!r}; correct it or leave it out")
    measured = measurements(data)
    bounds = {"batch_size": n, "min_distance": min_distance, "largest": largest, "hardest": hardest}
    spec, chosen = _settings(method, None, **bounds, constraints=constraints)
    planned = plan(chosen, spec, _Laboratory(), seed, lambda: _model(weights, device), measured)
    return [candidate.smiles for candidate in planned.search.ask(n, distinct(pending))]


class _Laboratory(Oracle):
    """Stands for whoever measures; it is not called."""

    name = "laboratory"

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        raise NotImplementedError("a laboratory answers through `data`")


def _run(planned: Plan, spec: SearchSpec, record: Ledger, pending: Path | None) -> SearchResult:
    """The search, which Ctrl-C ends early."""
    with StopFlag(signal.SIGINT) as flag, progress(spec.budget, "search", "calls", done=len(record)) as bar:
        result = conduct(
            planned,
            spec,
            record,
            on_batch=lambda records: bar.advance(len(records), **record.standing),
            stopped=lambda: flag.stopped,
            crew=lambda: local_crew(planned, spec, record, pending),
        )
    refuse_given_up(result)
    return result


class _Settings(Spec):
    """The sections of a config that a call can set."""

    search: SearchSpec
    method: MethodSpec


def _settings(
    method: MethodSpec | dict[str, Any] | str, start: Sequence[str] | None, **search: Any
) -> tuple[SearchSpec, MethodSpec]:
    """What the arguments stand for, checked like a config."""
    if isinstance(start, str):
        raise TypeError("start: expected a list of SMILES, got one string; write [smiles]")
    search |= {"start": {"smiles": tuple(start or ())}, "batch_growth": BATCH_GROWTH}
    chosen = {"kind": method} if isinstance(method, str) else method
    settings = parse_config({"search": search, "method": chosen}, _Settings, "optimise")
    return settings.search, settings.method


def _scorer(oracle: Source | Sequence[Source], timeout_seconds: float) -> Oracle:
    """The oracle; a Python function runs in a process of its own."""
    if isinstance(oracle, Oracle | str):
        return make_oracle(oracle)
    if isinstance(oracle, Sequence):
        return make_oracle([_scorer(part, timeout_seconds) for part in oracle])
    return make_oracle(oracle, timeout_seconds=timeout_seconds)


def _model(weights: str | Path | LatentModel, device: str) -> LatentModel:
    if isinstance(weights, str | Path):
        return load_model(weights, device)
    if not (hasattr(weights, "decode") and hasattr(weights, "latent_dim")):
        raise ConfigError(
            f"weights: expected a name, a model directory or a loaded model, got {type(weights).__name__}"
        )
    return weights


def _contents(weights: str | Path | LatentModel) -> str | None:
    """Digest of a model on the disk, or of what one in memory was told; others in memory have none."""
    from molvae.model.checkpoint import model_directory

    if isinstance(weights, str | Path):
        return fingerprint(model_directory(weights))
    told = getattr(weights, "told", None)  # of a `MoleculeVAE`
    return (
        None if told is None or not told.conditions.names else sha256_text(json.dumps(told.as_dict(), sort_keys=True))
    )


@contextmanager
def _opened(path: str | Path | None, objectives: Sequence[str], search: str) -> Iterator[Ledger]:
    """The record of a search, in a journal that no other process writes to meanwhile, or in memory."""
    if path is None:
        yield Ledger(objectives=objectives)
        return
    with exclusive(Path(path).parent, f".{Path(path).name}.lock"):
        yield Ledger(path, objectives=objectives, search=search)
