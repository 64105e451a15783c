"""A search from a config to a run directory; the same call continues a run that was stopped in any way."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rdkit
from rdkit import Chem

from molvae.chem.descriptors import sa_score
from molvae.core.config import dump_config, load_config
from molvae.core.errors import ConfigError, Interrupted
from molvae.core.files import append_event, exclusive, read_events, sha256_text, write_json
from molvae.core.runtime import StopFlag, fingerprint, progress, write_manifest
from molvae.oracles.oracle import Oracle
from molvae.search import evolution, feasibility, multiobjective, structural, surrogate, turbo
from molvae.search.ask_tell import Search
from molvae.search.asynchronous import run_with_crew
from molvae.search.bayesian import BayesianSearch
from molvae.search.config import OptimiseConfig, SearchSpec
from molvae.search.constraints import Constraints, ConstraintSpec, OracleConstraintSpec, build_constraints
from molvae.search.latent import LatentModel, LatentSpace
from molvae.search.lead import LEAD_STREAM, neighbourhood
from molvae.search.ledger import Ledger, Record
from molvae.search.library import Library
from molvae.search.loop import SearchResult, require_one_objective, run_search
from molvae.search.measured import Measurements, measurements, read_measurements, write_rejected
from molvae.search.methods import BayesianSpec, EvolutionSpec, MethodSpec, Setting, TurboSpec
from molvae.search.multiobjective import JointAcquisition
from molvae.search.outcomes import Outcomes
from molvae.search.outputs import latent_map, metrics_of, write_diverse, write_molecules
from molvae.search.specs import QLogNEHVISpec
from molvae.search.start import StartSpec, start_molecules
from molvae.workers.coordinator import StudyCrew
from molvae.workers.crew import Crew
from molvae.workers.local import LocalCrew, isolated
from molvae.workers.study import Terms

JOURNAL = "journal.log"
EVENTS = "events.jsonl"
PENDING = "pending.json"  # with several workers: molecules that are being scored
REJECTED = "data_rejected.csv"
HARDEST = 10.0  # the largest SA score there is


def optimise(
    oracle: Oracle | str | Callable[..., Any],
    budget: int = 1000,
    weights: str | Path | LatentModel = "zinc250k",
    seed: int = 0,
    *,
    start: Sequence[str] | None = None,
    data: Any = None,
    batch_size: int = 2,
    method: MethodSpec | None = None,
    constraints: tuple[ConstraintSpec, ...] = (),
    reference: tuple[float, ...] | None = None,
    device: str = "auto",
    ledger: str | Path | None = None,
    workers: int = 1,
    timeout_seconds: float = 60.0,
) -> SearchResult:
    """Find molecules that an oracle scores highly.

    Args:
        oracle: an `Oracle`, the name of one, or a Python function (see `molvae.oracle`); larger is better.
        budget: oracle calls: distinct canonical molecules scored.
        weights: name of shipped weights, a model directory, or a loaded model.
        seed: of all randomness.
        start: molecules to begin with; they cost calls. None samples 30 from the model, but none where there are data.
        data: measured molecules, known from the beginning at no cost of calls; see `measured.measurements`.
        batch_size: molecules for each call of the oracle.
        method: how to search; see `molvae.search.methods`. None takes the default.
        constraints: what a molecule must meet; see `molvae.search.constraints`.
        reference: of several objectives, the point (Q,) that a molecule of any use exceeds.
        device: for the model.
        ledger: journal file to record in, or to continue the same search from; None keeps everything in memory.
        workers: molecules scored at once, each in a process of its own; above 1, runs are not reproducible.
        timeout_seconds: with workers, longest time for one molecule; an oracle that has its own keeps it.

    Returns:
        All molecules scored and their values, in call order; of several objectives, `pareto()` gives the front.
    """
    from molvae.oracles import oracle as make_oracle

    scorer = oracle if isinstance(oracle, Oracle) else make_oracle(oracle)
    chosen = method or BayesianSpec()
    model = None
    measured = None if data is None else measurements(data)
    start = [] if start is None and measured else start
    if chosen.needs_model or start is None:
        model = load_model(weights, device) if isinstance(weights, str | Path) else weights
    leads = StartSpec(smiles=tuple(start or ()))
    spec = SearchSpec(budget=budget, batch_size=batch_size, start=leads, constraints=constraints, reference=reference)
    rules, told = build_constraints(spec.constraints, scorer)
    first = start_molecules(spec.start, model, seed) if start or start is None else []
    search = build_search(chosen, spec, rules, scorer.n_objectives, model, seed, first, measured)
    how: dict[str, Any] = {"budget": budget, "batch_size": batch_size, "constraints": rules.filters}
    about = [scorer.identity, seed, chosen, spec.model_dump(exclude={"budget"}), measured and measured.smiles]
    with _opened(ledger, scorer.objectives, sha256_text(repr(about))) as record:
        if workers == 1:
            return run_search(search, told, record, windows=rules.windows, **how)
        require_one_objective(told)
        with LocalCrew(isolated(scorer, workers, timeout_seconds), workers) as crew:
            return run_with_crew(search, crew, record, **how)


@contextmanager
def _opened(path: str | Path | None, objectives: Sequence[str], search: str) -> Iterator[Ledger]:
    """The record of a search, in a journal that no other process writes to meanwhile, or in memory."""
    if path is None:
        yield Ledger(objectives=objectives)
        return
    with exclusive(Path(path).parent, f".{Path(path).name}.lock"):
        yield Ledger(path, objectives=objectives, search=search)


def run(config: OptimiseConfig, run_dir: str | Path, fresh: bool = False) -> SearchResult:
    """Run or continue a search in a directory.

    Args:
        fresh: begin anew; what an earlier run left in the ledger is lost.

    Raises:
        ConfigError: the directory holds a run of another config, or is in use.
        Interrupted: stopped by a signal; what was found so far is written.
    """
    run_dir = Path(run_dir)
    with exclusive(run_dir), StopFlag() as flag, config.oracle.build() as oracle:
        if fresh:
            for name in (JOURNAL, PENDING, EVENTS):
                (run_dir / name).unlink(missing_ok=True)
        if config.search.data is not None:  # its SHA-256 becomes part of the config, so that a changed file is noticed
            pinned = config.search.model_copy(update={"data": config.search.data.pinned()})
            config = config.model_copy(update={"search": pinned})
        _check_same(config, run_dir)
        dump_config(config, run_dir / "config.resolved.toml")
        began, before = time.perf_counter(), seconds_before(run_dir)
        spec = config.search
        measured = None if spec.data is None else read_measurements(spec.data)
        sampled = not (spec.start.smiles or spec.start.file or measured)
        unfiled = spec.library is not None and spec.library.file is None
        needs_model = config.method.needs_model or sampled or unfiled or spec.start.neighbours > 0
        model = load_model(config.weights, config.device) if needs_model else None
        rules, told = build_constraints(spec.constraints, oracle)
        given = sampled or spec.start.smiles or spec.start.file
        start = start_molecules(spec.start, model, config.seed) if given else []
        search = build_search(config.method, spec, rules, oracle.n_objectives, model, config.seed, start, measured)
        about = {"oracle": oracle.name, "seed": config.seed, "method": config.method.kind}
        inputs = _inputs(config, model is not None)
        contents = sha256_text(json.dumps({name: fingerprint(path) for name, path in inputs.items()}))
        ledger = Ledger(run_dir / JOURNAL, about, spec.pictures, oracle.objectives, contents)
        spent = sum(r.seconds for r in ledger.records)
        append_event(run_dir / EVENTS, {"event": "start", "calls": len(ledger), "oracle_seconds": spent})
        with told, progress(spec.budget, "search", "calls") as bar:
            bar.advance(len(ledger))
            how: dict[str, Any] = {
                "budget": spec.budget,
                "batch_size": spec.batch_size,
                "constraints": rules.filters,
                "on_batch": lambda records: _say(records, ledger, run_dir, bar, began),
                "stopped": lambda: flag.stopped,
            }
            if spec.with_crew:
                require_one_objective(told)
                with _crew(config, run_dir, oracle, ledger, fresh) as crew:
                    result = run_with_crew(search, crew, ledger, **how)
            else:
                result = run_search(search, told, ledger, windows=rules.windows, batch_growth=spec.batch_growth, **how)
        seconds = before + time.perf_counter() - began
        _write_outputs(config, run_dir, result, oracle, model, seconds, measured, inputs)
    if result.reason == "stopped":
        raise Interrupted(f"stopped after {len(result.records)} of {spec.budget} calls; the same command continues")
    return result


def load_model(weights: str | Path, device: str) -> LatentModel:
    """The model behind `weights`; proposals need speed more than digits."""
    from molvae.generation import load

    return load(weights, device, fast=True)


def acceptance(spec: SearchSpec, constraints: Constraints) -> Callable[[Chem.Mol], bool]:
    """Whether a proposal may be asked for: its size, how hard it is to make, and the constraints known beforehand."""
    filters = list(constraints.filters.values())

    def accept(mol: Chem.Mol) -> bool:
        fits = mol.GetNumHeavyAtoms() <= spec.largest and (spec.hardest >= HARDEST or sa_score(mol) <= spec.hardest)
        return fits and all(f(mol) for f in filters)

    return accept


def build_search(
    method: MethodSpec,
    spec: SearchSpec,
    constraints: Constraints,
    n_objectives: int,
    model: LatentModel | None,
    seed: int,
    start: Sequence[str],
    measured: Measurements | None = None,
) -> Search:
    """The search that a config describes.

    Raises:
        ConfigError: the method cannot do what `spec` wants, or there are measured data and several objectives.
    """
    if spec.reference is not None and len(spec.reference) != n_objectives:
        raise ConfigError(
            f"search.reference: expected {n_objectives} values, one for each objective; got {len(spec.reference)}"
        )
    outcomes = Outcomes(n_objectives, tuple(constraints.windows.values()), spec.reference)
    accept = acceptance(spec, constraints)
    n_measured = 0 if measured is None else len(measured.smiles)
    search = method.build(Setting(model, seed, start, accept, outcomes, n_measured))
    if isinstance(search, BayesianSearch) and not (
        spec.min_distance and isinstance(search.acquisition, JointAcquisition)
    ):
        search.min_distance = spec.min_distance
        if model is not None and spec.start.neighbours:
            rng = np.random.default_rng([seed, LEAD_STREAM])
            search.neighbours = neighbourhood(model, start, spec.start.neighbours, rng)
        if spec.library is not None:
            search.library = Library(spec.library.molecules(model, seed), search.fingerprint, accept)
    elif spec.min_distance or spec.start.neighbours or spec.library:
        raise ConfigError(
            "search.min_distance, search.start.neighbours and search.library need the method 'bayesian', and "
            f"min_distance not with qlog_nehvi; the method is {method.kind!r}"
        )
    if measured is not None:
        if not outcomes.plain:
            raise ConfigError("measured data have one value a molecule; this search has several objectives or outcomes")
        search.learn(measured.smiles, measured.values.tolist(), measured.errors.tolist())
    return search


def _crew(config: OptimiseConfig, run_dir: Path, oracle: Oracle, ledger: Ledger, fresh: bool) -> Crew:
    """The workers that a config asks for."""
    spec = config.search
    known = {r.smiles for r in ledger.records}
    if spec.distributed is None:
        scorer = isolated(oracle, spec.workers, spec.timeout_seconds)
        return LocalCrew(scorer, spec.workers, spec.ahead, run_dir / PENDING, known.__contains__)
    terms = Terms(
        oracle=config.oracle.model_dump(mode="json", exclude_none=True),
        timeout_seconds=spec.timeout_seconds,
        rdkit=rdkit.__version__,
        heartbeat_seconds=spec.distributed.heartbeat_seconds,
        grace_seconds=spec.distributed.grace_seconds,
    )
    search = sha256_text(json.dumps(_what_must_stay(config), sort_keys=True))
    name = run_dir.resolve().name
    return StudyCrew(spec.distributed, name, terms, search, ahead=spec.ahead, fresh=fresh, known=known.__contains__)


def _what_must_stay(config: OptimiseConfig) -> dict[str, Any]:
    """The part of a config that makes two searches the same search."""
    free = ("budget", "pictures", "select", "workers", "timeout_seconds", "ahead", "distributed")
    return config.model_dump(mode="json", exclude={"search": dict.fromkeys(free, True), "device": True})  # type: ignore[arg-type]


def _check_same(config: OptimiseConfig, run_dir: Path) -> None:
    """Refuse to mix two searches in one directory."""
    file = run_dir / "config.resolved.toml"
    if not (file.exists() and (run_dir / JOURNAL).exists()):
        return
    before, now = _what_must_stay(load_config(file, OptimiseConfig)), _what_must_stay(config)
    if before != now:
        changed = ", ".join(_differences(before, now))
        raise ConfigError(
            f"{run_dir} holds a search with another config (differs in: {changed}); "
            "choose another run directory, or --fresh to begin anew"
        )


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Dotted keys of what differs."""
    for key in now:
        old, new = before.get(key), now[key]
        if isinstance(old, dict) and isinstance(new, dict):
            yield from (f"{key}.{below}" for below in _differences(old, new))
        elif old != new:
            yield key


def _say(records: list[Record], ledger: Ledger, run_dir: Path, bar: Any, began: float) -> None:
    """Progress on the terminal and a line in the log of the run."""
    values = sorted((r.value for r in ledger.records if r.feasible and math.isfinite(r.value)), reverse=True)
    best = values[0] if values else None
    top = sum(values[:10]) / len(values[:10]) if values else None
    bar.advance(len(records), **({"best": best, "top10": top} if values else {}))
    event = {"event": "batch", "batch": records[0].batch, "calls": len(ledger), "best": best, "top10_mean": top}
    if ledger.front_size:
        event["front"] = ledger.front_size
    append_event(run_dir / EVENTS, {**event, "seconds": round(time.perf_counter() - began, 3)})


def seconds_before(run_dir: Path) -> float:
    """Wall time of the earlier parts of a run, from its log: each part counts up to its last batch."""
    total, last = 0.0, 0.0
    for event in read_events(run_dir / EVENTS) if (run_dir / EVENTS).exists() else []:
        if event["event"] == "start":
            total, last = total + last, 0.0
        else:
            last = event["seconds"]
    return total + last


def _write_outputs(
    config: OptimiseConfig,
    run_dir: Path,
    result: SearchResult,
    oracle: Oracle,
    model: LatentModel | None,
    seconds: float,
    measured: Measurements | None,
    inputs: dict[str, Path],
) -> None:
    """Everything a run leaves beside its ledger; also after an interruption."""
    write_molecules(result, oracle, run_dir, config.search.constraints)
    write_diverse(result, config.search.select, run_dir)
    if model is not None:
        latent_map(result, LatentSpace(model), run_dir / "latent.parquet")
    metrics = metrics_of(result, config.search.budget, oracle.objectives, config.search.reference)
    write_json(run_dir / "metrics.json", metrics | {"seconds": round(seconds, 3)})
    if measured is not None:
        write_rejected(measured, run_dir / REJECTED)
    write_manifest(
        run_dir,
        kind="optimise",
        inputs=inputs,
        seed=config.seed,
        device=config.device,
        seconds=seconds,
        oracle=oracle.identity,
        weights=config.weights,
        citations=_citations(config, oracle),
        **({} if measured is None else {"measured": measured.summary}),
    )


def _inputs(config: OptimiseConfig, with_model: bool) -> dict[str, Path]:
    """The files and the model that a search begins with."""
    from molvae.model.checkpoint import model_directory

    spec = config.search
    files = {
        "start": spec.start.file,
        "library": None if spec.library is None else spec.library.file,
        "data": None if spec.data is None else spec.data.file,
        "weights": model_directory(config.weights) if with_model else None,
    }
    return {name: file for name, file in files.items() if file is not None}


def _citations(config: OptimiseConfig, oracle: Oracle) -> list[str]:
    """The papers that the method rests on."""
    if isinstance(config.method, TurboSpec):
        return [turbo.CITATION]
    if isinstance(config.method, EvolutionSpec):
        return [evolution.CITATION, structural.CITATION]
    if not isinstance(config.method, BayesianSpec):
        return []
    found = [surrogate.CITATION, structural.CITATION]
    if oracle.n_objectives > 1:
        found.append(multiobjective.PAREGO)
    if isinstance(config.method.acquisition, QLogNEHVISpec):
        found.append(multiobjective.NEHVI)
    if any(isinstance(spec, OracleConstraintSpec) for spec in config.search.constraints):
        found.append(feasibility.CITATION)
    return found
