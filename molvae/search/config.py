"""What `molvae optimise` reads from a TOML file, and how it becomes a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from rdkit import Chem

from molvae.chem.filters import CatalogueFilter, Filter, PropertyWindow, SubstructureFilter
from molvae.core.config import Spec
from molvae.core.errors import ConfigError
from molvae.oracles.config import OracleSpec
from molvae.search.ask_tell import Search
from molvae.search.bayesian import BayesianSearch, InnerSearch
from molvae.search.latent import LatentModel, LatentMove, LatentProposals, LatentSpace
from molvae.search.plausible import plausible_samples
from molvae.search.proposals import Proposer
from molvae.search.specs import (
    AcquisitionSpec,
    GraphCrossoverSpec,
    GraphMutationSpec,
    InterpolationSpec,
    MaskCrossoverSpec,
    PerturbationSpec,
    ProposerSpec,
    StochasticDecodingSpec,
    UCBSpec,
)
from molvae.search.surrogate import CountFingerprint, Scaling, TanimotoGP
from molvae.workers.spec import DistributedSpec

LIBRARY_STREAM = 2**32 - 2  # a random stream of its own, beside those of the batches

Accept = Callable[[Chem.Mol], bool]


class SurrogateSpec(Spec):
    """The Tanimoto Gaussian process and the fingerprint it sees; see `surrogate`."""

    noise: float = Field(1e-4, gt=0)
    scaling: Scaling = "range"
    radius: int = Field(3, ge=0)
    n_bits: int = Field(4096, ge=64)
    max_count: int = Field(16, ge=1)


class InnerSpec(Spec):
    """The inner search, free of oracle calls; see `InnerSearch`."""

    generations: int = Field(4, ge=1)
    candidates: int = Field(40, ge=1, description="proposals a generation")
    parents: int = Field(100, ge=1)
    rank_offset: float = Field(0.05, gt=0)
    reserve: int = Field(100, ge=0, description="unpicked candidates kept for the next batch")
    immigrants: int = Field(0, ge=0, description="molecules of the library that join in each batch")
    library: int = Field(200, ge=0, description="molecules sampled from the model, free of calls, to immigrate")


DEFAULT_PROPOSERS: tuple[Any, ...] = (
    GraphMutationSpec(share=0.25),
    GraphCrossoverSpec(share=0.25),
    PerturbationSpec(share=0.2),
    MaskCrossoverSpec(share=0.15),
    InterpolationSpec(share=0.05),
    StochasticDecodingSpec(share=0.1),
)


class BayesianSpec(Spec):
    """Tanimoto process, structural and latent proposals: the method of molvae."""

    kind: Literal["bayesian"] = "bayesian"
    surrogate: SurrogateSpec = SurrogateSpec()
    acquisition: AcquisitionSpec = UCBSpec()
    inner: InnerSpec = InnerSpec()
    proposers: Annotated[tuple[ProposerSpec, ...], Field(min_length=1)] = DEFAULT_PROPOSERS

    @property
    def needs_model(self) -> bool:
        """Whether a proposal goes by way of the latent space."""
        return any(spec.latent for spec in self.proposers)

    def build(self, model: LatentModel | None, seed: int, start: Sequence[str], accept: Accept) -> Search:
        s = self.surrogate
        return BayesianSearch(
            self._proposers(model),
            acquisition=self.acquisition.build(),
            surrogate=TanimotoGP(s.noise, s.scaling),
            fingerprint=CountFingerprint(s.radius, s.n_bits, s.max_count),
            inner=InnerSearch(**self.inner.model_dump(exclude={"library"})),
            library=self._library(model, seed),
            seed=seed,
            start=start,
            accept=accept,
        )

    def _library(self, model: LatentModel | None, seed: int) -> list[str]:
        """Plausible samples of the model's prior; none without a model."""
        if model is None or self.inner.library == 0 or self.inner.immigrants == 0:
            return []
        return plausible_samples(model, self.inner.library, np.random.default_rng([seed, LIBRARY_STREAM]))

    def _proposers(self, model: LatentModel | None) -> list[tuple[Proposer, float]]:
        """Structural proposers as they are; all latent moves together, so that they decode in one batch."""
        if self.needs_model and model is None:
            raise ConfigError("latent proposals need a model; give `weights`, or leave the latent proposers out")
        space = None if model is None else LatentSpace(model)
        built = [(spec.build(space), spec.share) for spec in self.proposers]
        proposers = [(part, share) for part, share in built if isinstance(part, Proposer)]
        moves = [(part, share) for part, share in built if isinstance(part, LatentMove)]
        if space is not None and moves:
            proposers.append((LatentProposals(space, moves), sum(share for _, share in moves)))
        return proposers


class TurboSpec(Spec):
    """Latent coordinates, BoTorch Gaussian process, trust region."""

    kind: Literal["turbo"] = "turbo"
    points: int = Field(256, ge=4)
    candidates: int = Field(1024, ge=16)
    needs_model: ClassVar[bool] = True

    def build(self, model: LatentModel | None, seed: int, start: Sequence[str], accept: Accept) -> Search:
        from molvae.search.turbo import TurboSearch

        return TurboSearch(
            _given(model), points=self.points, candidates=self.candidates, seed=seed, start=start, accept=accept
        )


class OptunaSpec(Spec):
    """One of Optuna's samplers on latent coordinates (a baseline)."""

    kind: Literal["optuna"] = "optuna"
    sampler: Literal["tpe", "cmaes", "gp"] = "tpe"
    bounds: float = Field(3.0, gt=0, description="prior standard deviations")
    needs_model: ClassVar[bool] = True

    def build(self, model: LatentModel | None, seed: int, start: Sequence[str], accept: Accept) -> Search:
        from molvae.search.baselines import OptunaSearch

        return OptunaSearch(_given(model), self.sampler, self.bounds, seed, start, accept)


class PriorSpec(Spec):
    """Molecules sampled from the model (a baseline): decoded greedily from latent draws without a temperature."""

    kind: Literal["prior"] = "prior"
    temperature: float | None = Field(None, gt=0)
    needs_model: ClassVar[bool] = True

    def build(self, model: LatentModel | None, seed: int, start: Sequence[str], accept: Accept) -> Search:
        from molvae.search.baselines import PriorSearch

        return PriorSearch(_given(model), self.temperature, seed=seed, start=start, accept=accept)


MethodSpec = Annotated[BayesianSpec | TurboSpec | OptunaSpec | PriorSpec, Field(discriminator="kind")]


class WindowSpec(Spec):
    """A property within bounds, in its own unit."""

    kind: Literal["window"] = "window"
    name: str
    low: float | None = None
    high: float | None = None

    def build(self) -> Filter:
        return PropertyWindow(self.name, self.low, self.high)


class AlertsSpec(Spec):
    """No structural alert of the named catalogues."""

    kind: Literal["alerts"] = "alerts"
    catalogues: Annotated[tuple[str, ...], Field(min_length=1)]

    @property
    def name(self) -> str:
        """What the constraint is called in the ledger."""
        return "+".join(self.catalogues)

    def build(self) -> Filter:
        return CatalogueFilter(self.catalogues)


class SubstructuresSpec(Spec):
    """Required and forbidden substructures."""

    kind: Literal["substructures"] = "substructures"
    name: str = "substructures"
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def build(self) -> Filter:
        return SubstructureFilter(self.required, self.forbidden)


ConstraintSpec = Annotated[WindowSpec | AlertsSpec | SubstructuresSpec, Field(discriminator="kind")]


class StartSpec(Spec):
    """Molecules to begin with; they cost calls like all others. Without a file, `n` are sampled from the model."""

    file: Path | None = None
    column: str = "smiles"
    n: int = Field(30, ge=1, description="without a file: how many; with one: at most so many, drawn by the seed")


class SearchSpec(Spec):
    """How much is searched, and where.

    Attributes:
        constraints: candidates that break one are never scored; start molecules that do are recorded as infeasible.
        workers: above 1, molecules are proposed while others are being scored, and runs are not reproducible.
        ahead: None is as many as are being scored. The fewer, the better informed is each proposal.
        distributed: workers on other machines, see `molvae.workers`.
    """

    budget: int = Field(1000, ge=1, description="oracle calls: distinct canonical molecules scored")
    batch_size: int = Field(2, ge=1, description="molecules for each call of the oracle; the fewer, the better guided")
    largest: int = Field(60, ge=1, description="heavy atoms of a proposal, at most")
    start: StartSpec = StartSpec()
    constraints: tuple[ConstraintSpec, ...] = ()
    pictures: int = Field(10, ge=0, description="a molecule among so many best when scored gets a picture")
    workers: int = Field(1, ge=1, description="molecules scored at once on this machine, each in a process of its own")
    timeout_seconds: float = Field(
        60.0, gt=0, allow_inf_nan=False, description="with workers: longest time for one molecule"
    )
    ahead: int | None = Field(None, ge=0, description="with workers: proposals made before a worker is free")
    distributed: DistributedSpec | None = None

    @model_validator(mode="after")
    def _workers_are_here_or_elsewhere(self) -> SearchSpec:
        if self.distributed is not None and self.workers > 1:
            raise ValueError(
                "workers is for this machine alone; with a section [search.distributed], start as many `molvae worker`"
            )
        return self

    @property
    def with_crew(self) -> bool:
        """Whether molecules are proposed while others are being scored."""
        return self.workers > 1 or self.distributed is not None


class OptimiseConfig(Spec):
    """A search. A run that is resumed must have the same config, except for budget, pictures, device and workers."""

    schema_version: Literal[1] = 1
    seed: int = Field(0, ge=0)
    device: str = "auto"
    weights: str = Field("zinc250k", description="name of shipped weights, or a model directory")
    oracle: OracleSpec
    search: SearchSpec = SearchSpec()
    method: MethodSpec = BayesianSpec()


def _given(model: LatentModel | None) -> LatentModel:
    if model is None:
        raise ConfigError("this method searches a model's latent space; give `weights`")
    return model
