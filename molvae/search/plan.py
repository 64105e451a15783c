"""What a config or a call means: the search itself and all that it needs, before anything is scored or written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from molvae.core.errors import ConfigError
from molvae.oracles.isolated import isolated
from molvae.oracles.oracle import Oracle, finite_scores
from molvae.search.ask_tell import Search
from molvae.search.build import build_search, load_model
from molvae.search.config import OptimiseConfig, SearchSpec
from molvae.search.constraints import Constraints, asked_apart, build_constraints
from molvae.search.latent import LatentModel
from molvae.search.ledger import Record
from molvae.search.loop import require_a_score
from molvae.search.measured import Measurements, read_measurements
from molvae.search.methods import MethodSpec
from molvae.search.outcomes import Outcomes
from molvae.search.start import start_molecules

PROBES = 3
DRUGS = ("CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(C)Cc1ccc(cc1)C(C)C(=O)O")  # where nothing is given


@dataclass(frozen=True)
class Plan:
    """A search that is ready to begin.

    Attributes:
        search: told nothing yet.
        oracle: tells the objectives.
        scorer: the same, with columns for what is constrained behind the objectives.
        rules: the constraints.
        model: what latent proposals and sampled start molecules come from, where they are wanted.
        measured: molecules known beforehand.
        start: molecules to be asked first.
        outcomes: what a molecule is judged by.
    """

    search: Search
    oracle: Oracle
    scorer: Oracle
    rules: Constraints
    model: LatentModel | None
    measured: Measurements | None
    start: list[str]
    outcomes: Outcomes


def needs_model(method: MethodSpec, spec: SearchSpec, with_start: bool) -> bool:
    """Whether a search takes anything from a model: proposals, start molecules, or its library.

    Args:
        with_start: it has molecules to begin with, from elsewhere than `spec.start`.
    """
    sampled = not (spec.start.given or with_start)
    unfiled = spec.library is not None and spec.library.file is None
    return method.needs_model or sampled or unfiled or spec.start.neighbours > 0


def plan(
    method: MethodSpec,
    spec: SearchSpec,
    oracle: Oracle,
    seed: int,
    load: Callable[[], LatentModel],
    measured: Measurements | None = None,
) -> Plan:
    """Build everything that a search needs.

    Args:
        load: called for the model where the method, the start or a library wants one.
        measured: molecules known beforehand; `spec.data` is not read here.

    Raises:
        ConfigError, DataError: something in it is impossible, or is not there.
    """
    if not (isinstance(seed, int | np.integer) and seed >= 0):
        raise ConfigError(f"seed: expected a whole number of at least 0, got {seed!r}")
    model = load() if needs_model(method, spec, measured is not None) else None
    rules, scorer = build_constraints(spec.constraints, oracle)
    wanted = spec.start.given or measured is None
    start = start_molecules(spec.start, model, seed, rules.met_by) if wanted else []
    outcomes = Outcomes(oracle.n_objectives, tuple(rules.windows.values()), spec.reference)
    search = build_search(method, spec, rules, outcomes, model, seed, start, measured)
    return Plan(search, oracle, scorer, rules, model, measured, start, outcomes)


def plan_of(config: OptimiseConfig, oracle: Oracle) -> Plan:
    """Read and build everything that a config names; `oracle` is built from `config.oracle`."""
    spec = config.search
    measured = None if spec.data is None else read_measurements(spec.data)
    load = partial(load_model, config.weights, config.device)
    return plan(config.method, spec, oracle, config.seed, load, measured)


def rehearse(config: OptimiseConfig) -> tuple[Plan, list[Record]]:
    """Build everything and score a few molecules, the first to be asked; nothing is written.

    Raises:
        OracleError: none of them could be scored; the oracle's messages say why.
    """
    with config.oracle.build() as oracle:
        planned = plan_of(config, oracle)
        rules, spec = planned.rules, config.search
        scorer = isolated(planned.scorer, 1, spec.timeout_seconds) if spec.with_crew else planned.scorer
        records = []
        with scorer:
            for call, smiles in enumerate((planned.start or DRUGS)[:PROBES], start=1):
                began = time.perf_counter()
                row = finite_scores(scorer, [smiles]).reshape(-1).tolist()
                about = {"call": call, "smiles": smiles, "proposer": "start", "batch": 0, "asked": 1, "size": 1}
                seconds = time.perf_counter() - began
                records.append(rules.record(row, rules.broken(smiles), **about, seconds=seconds))
    require_a_score(records, asked_apart(spec.constraints))
    return planned, records
