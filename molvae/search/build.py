"""A search, built from what a config or a call describes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rdkit import Chem

from molvae.chem.descriptors import sa_score
from molvae.chem.molecules import parse
from molvae.core.errors import ConfigError
from molvae.search.ask_tell import LEAD_STREAM, Search
from molvae.search.bayesian import BayesianSearch
from molvae.search.config import SearchSpec
from molvae.search.constraints import Constraints
from molvae.search.latent import LatentModel
from molvae.search.lead import neighbourhood
from molvae.search.library import Library
from molvae.search.measured import Measurements
from molvae.search.methods import MethodSpec, OptunaSpec, Setting
from molvae.search.multiobjective import JointAcquisition
from molvae.search.outcomes import Outcomes

HARDEST = 10.0  # the largest SA score there is


def load_model(weights: str | Path, device: str) -> LatentModel:
    """The model behind `weights`; proposals need speed more than digits.

    Raises:
        ConfigError: it is conditional.
    """
    from molvae.generation import load

    model = load(weights, device, fast=True)
    if model.properties:
        raise ConfigError(
            f"{weights} decodes towards properties ({', '.join(model.properties)}); search with it from Python: "
            "molvae.optimise(..., weights=molvae.load(...).given(...))"
        )
    return model


def acceptance(spec: SearchSpec, constraints: Constraints) -> Callable[[Chem.Mol], bool]:
    """Whether a proposal may be asked for: its size, how hard it is to make, and the constraints known beforehand."""

    def accept(mol: Chem.Mol) -> bool:
        fits = mol.GetNumHeavyAtoms() <= spec.largest and (spec.hardest >= HARDEST or sa_score(mol) <= spec.hardest)
        return fits and constraints.met_by(mol)

    return accept


def _proposable(constraints: Constraints) -> Callable[[str], bool] | None:
    """Whether a molecule meets what no proposal breaks; None where that is nothing."""
    if not constraints.filters:
        return None
    return lambda smiles: (mol := parse(smiles)) is None or constraints.met_by(mol)


def build_search(
    method: MethodSpec,
    spec: SearchSpec,
    constraints: Constraints,
    outcomes: Outcomes,
    model: LatentModel | None,
    seed: int,
    start: Sequence[str],
    measured: Measurements | None = None,
) -> Search:
    """The search that a config describes.

    Raises:
        ConfigError: the method cannot do what `spec` wants, or there are measured data and several objectives.
    """
    if spec.reference is not None and len(spec.reference) != outcomes.n_objectives:
        raise ConfigError(
            f"search.reference: expected {outcomes.n_objectives} values, one for each objective; "
            f"got {len(spec.reference)}"
        )
    accept = acceptance(spec, constraints)
    if isinstance(method, OptunaSpec) and spec.in_flight is not None:
        raise ConfigError(
            "search.in_flight: a sampler of Optuna does not go on as it was after a stop while molecules are on their "
            "way; leave it out, or take another method"
        )
    n_measured = 0 if measured is None else len(measured.smiles)
    search = method.build(Setting(model, seed, start, accept, outcomes, n_measured, _proposable(constraints)))
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
        search.learn(*measured.lists)
    return search
