"""A search from a config to a run directory; the same call continues a run that was stopped in any way."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import rdkit

from molvae.core.config import differing, dump_config, load_config
from molvae.core.devices import pick_device
from molvae.core.errors import ConfigError, Interrupted
from molvae.core.files import (
    CONFIG,
    EVENTS,
    JOURNAL,
    MANIFEST,
    REPORT,
    append_event,
    exclusive,
    read_events,
    sha256_text,
)
from molvae.core.manifest import check_kind, fingerprint, write_manifest
from molvae.core.progress import progress, warnings_in
from molvae.core.stopping import StopFlag
from molvae.oracles.oracle import Oracle
from molvae.oracles.told import ToldSpec
from molvae.search.conduct import conduct, local_crew, refuse_given_up
from molvae.search.config import OptimiseConfig
from molvae.search.constraints import asked_apart, told_by_oracles
from molvae.search.ledger import ARTIFACTS, Ledger, Record
from molvae.search.loop import require_a_score
from molvae.search.measured import write_rejected
from molvae.search.outputs import OUTPUTS, write_outputs
from molvae.search.plan import Plan, plan_of
from molvae.search.result import Reason, SearchResult
from molvae.workers.coordinator import StudyCrew, require_free
from molvae.workers.crew import Crew
from molvae.workers.study import Terms

PENDING = "pending.json"  # with several workers: molecules that are being scored
REJECTED = "data_rejected.csv"
WARNINGS = "warnings.log"  # why molecules could not be scored, and whatever else was worth a warning
LEFT = (JOURNAL, PENDING, EVENTS, REJECTED, MANIFEST, REPORT, *OUTPUTS)  # what a search leaves, in files


def run(config: OptimiseConfig, run_dir: str | Path, fresh: bool = False) -> SearchResult:
    """Run or continue a search in a directory.

    Args:
        fresh: begin anew; what an earlier run left in the ledger is lost.

    Raises:
        ConfigError: the directory holds a run of another config, or is in use.
        OracleError: the oracle could score no molecule at all, or has been given up.
        Interrupted: stopped by a signal; what was found so far is written.
    """
    run_dir = Path(run_dir)
    began, warnings_file = time.perf_counter(), run_dir / WARNINGS
    old_warnings = warnings_file.stat().st_size if warnings_file.exists() else 0
    with exclusive(run_dir), warnings_in(warnings_file), StopFlag() as flag, config.oracle.build() as oracle:
        check_kind(run_dir, "optimise")
        config = _pinned(config, run_dir, fresh)
        if not fresh:
            _check_same(config, run_dir)
        spec = config.search
        planned = plan_of(config, oracle)
        inputs = _inputs(config, planned.model is not None)
        if fresh:  # only now that a new search is sure to be possible
            if spec.distributed is not None:
                require_free(spec.distributed)
            _refuse_to_lose(inputs, run_dir)
            _forget(run_dir, old_warnings)
        before = seconds_before(run_dir)
        ledger = _ledger(config, run_dir, oracle, inputs)
        dump_config(config, run_dir / CONFIG)
        known, spent = len(ledger), sum(r.seconds for r in ledger.records)
        append_event(run_dir / EVENTS, {"event": "start", "calls": known, "oracle_seconds": spent})
        with planned.scorer, progress(spec.budget, "search", "calls", done=known) as bar:
            result = conduct(
                planned,
                spec,
                ledger,
                on_batch=lambda records: _say(records, ledger, run_dir, bar, began),
                stopped=lambda: flag.stopped,
                crew=lambda: _crew(config, run_dir, planned, ledger, fresh, flag),
            )
            seconds = before + time.perf_counter() - began
            write_outputs(config, run_dir, result, oracle, planned.model, seconds)  # the oracle is open still
            if planned.measured is not None:
                write_rejected(planned.measured, run_dir / REJECTED)
            _write_manifest(config, run_dir, planned, seconds, inputs)
    refuse_given_up(result)
    if result.reason == Reason.STOPPED:
        raise Interrupted(f"stopped after {len(result.records)} of {spec.budget} calls; the same command continues")
    require_a_score(result.records, asked_apart(spec.constraints))
    return result


def _pinned(config: OptimiseConfig, run_dir: Path, fresh: bool) -> OptimiseConfig:
    """The config with what must not change unnoticed: the contents of the measured data, and the study's name."""
    spec, before = config.search, run_dir / CONFIG
    if spec.data is not None:
        spec = spec.model_copy(update={"data": spec.data.pinned()})
    if spec.distributed is not None and spec.distributed.study is None:  # a run keeps its study where it is moved
        there = None if fresh or not before.exists() else load_config(before, OptimiseConfig).search.distributed
        name = (there and there.study) or run_dir.resolve().name
        spec = spec.model_copy(update={"distributed": spec.distributed.model_copy(update={"study": name})})
    return config.model_copy(update={"search": spec})


def _refuse_to_lose(inputs: dict[str, Path], run_dir: Path) -> None:
    """Make sure that a new search does not begin with what `_forget` removes.

    Raises:
        ConfigError: it does.
    """
    for name, path in inputs.items():
        if path.resolve().parent == run_dir.resolve() and path.name in LEFT:
            raise ConfigError(
                f"{name}: the new search would begin with {path}, which --fresh removes; copy it elsewhere first"
            )


def _forget(run_dir: Path, old_warnings: int) -> None:
    """Remove what an earlier search left: a new one would go on with it, or mix it with its own.

    Args:
        old_warnings: bytes of the old search's warnings, which those of the new one already follow.
    """
    warned = run_dir / WARNINGS
    new = warned.read_bytes()[old_warnings:] if warned.exists() else b""
    for name in (*LEFT, WARNINGS):
        (run_dir / name).unlink(missing_ok=True)
    if new:
        warned.write_bytes(new)
    shutil.rmtree(run_dir / ARTIFACTS, ignore_errors=True)


def _ledger(config: OptimiseConfig, run_dir: Path, oracle: Oracle, inputs: dict[str, Path]) -> Ledger:
    """The record of a run, which must have begun with the same inputs, and have calls left to spend or to look at."""
    about = {"oracle": oracle.name, "seed": config.seed, "method": config.method.kind}
    contents = sha256_text(json.dumps({name: fingerprint(path) for name, path in inputs.items()}))
    ledger = Ledger(run_dir / JOURNAL, about, config.search.pictures, oracle.objectives, contents)
    if len(ledger) > config.search.budget:
        raise ConfigError(f"{run_dir} holds {len(ledger)} calls already; the budget of {config.search.budget} is spent")
    return ledger


def _crew(config: OptimiseConfig, run_dir: Path, planned: Plan, ledger: Ledger, fresh: bool, flag: StopFlag) -> Crew:
    """The workers that a config asks for."""
    spec = config.search
    if spec.distributed is None:
        return local_crew(planned, spec, ledger, run_dir / PENDING)
    known = {r.smiles for r in ledger.records}
    constrained = told_by_oracles(spec.constraints)
    terms = Terms(
        oracle=config.oracle.model_dump(mode="json", exclude_none=True),
        timeout_seconds=spec.timeout_seconds,
        rdkit=rdkit.__version__,
        heartbeat_seconds=spec.distributed.heartbeat_seconds,
        grace_seconds=spec.distributed.grace_seconds,
        told=[each.model_dump(mode="json", include=set(ToldSpec.model_fields)) for each in constrained],
    )
    search = sha256_text(json.dumps(_what_must_stay(config), sort_keys=True))
    return StudyCrew(
        spec.distributed, terms, search, objectives=planned.oracle.n_objectives,
        ahead=spec.ahead, fresh=fresh, known=known.__contains__, stopped=lambda: flag.stopped,
    )  # fmt: skip


def _what_must_stay(config: OptimiseConfig) -> dict[str, Any]:
    """The part of a config that makes two searches the same search."""
    free = ("budget", "pictures", "select", "workers", "timeout_seconds", "ahead", "distributed")
    return config.model_dump(mode="json", exclude={"search": dict.fromkeys(free, True), "device": True})  # type: ignore[arg-type]


def _check_same(config: OptimiseConfig, run_dir: Path) -> None:
    """Refuse to mix two searches in one directory."""
    file = run_dir / CONFIG
    if not (file.exists() and (run_dir / JOURNAL).exists()):
        return
    before, now = _what_must_stay(load_config(file, OptimiseConfig)), _what_must_stay(config)
    if changed := ", ".join(differing(before, now)):
        raise ConfigError(
            f"{run_dir} holds a search with another config (differs in: {changed}); "
            "choose another run directory, or --fresh to begin anew"
        )


def _say(records: list[Record], ledger: Ledger, run_dir: Path, bar: Any, began: float) -> None:
    """Progress on the terminal and a line in the log of the run."""
    standing = ledger.standing
    bar.advance(len(records), **standing)
    event = {"event": "batch", "batch": records[0].batch, "calls": len(ledger)}
    event |= {"best": standing.get("best"), "top10_mean": standing.get("top10")}
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


def _write_manifest(
    config: OptimiseConfig, run_dir: Path, planned: Plan, seconds: float, inputs: dict[str, Path]
) -> None:
    """What was run, on what."""
    oracle, measured = planned.oracle, planned.measured
    write_manifest(
        run_dir,
        kind="optimise",
        inputs=inputs,
        seed=config.seed,
        device=pick_device(config.device) if planned.model is not None else "cpu",
        seconds=seconds,
        oracle=oracle.identity,
        weights=config.weights,
        citations=config.method.citations(planned.outcomes),
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
