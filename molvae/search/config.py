"""What `molvae optimise` reads from a TOML file, and how it becomes a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from rdkit import Chem

from molvae.core.config import Spec
from molvae.core.errors import ConfigError
from molvae.oracles.config import OracleSpec
from molvae.search.ask_tell import Search
from molvae.search.bayesian import BayesianSearch, InnerSearch
from molvae.search.constraints import ConstraintSpec
from molvae.search.diversity import SelectSpec
from molvae.search.features import DESCRIPTOR_WEIGHTS, CountFingerprint
from molvae.search.goals import ParetoFront
from molvae.search.latent import LatentModel, LatentMove, LatentProposals, LatentSpace
from molvae.search.lead import LeadConstraint, with_targets
from molvae.search.library import LibrarySpec
from molvae.search.measured import DataSpec
from molvae.search.outcomes import Outcomes, OutcomesGP
from molvae.search.proposals import Proposer
from molvae.search.specs import (
    AcquisitionSpec,
    GraphCrossoverSpec,
    GraphMutationSpec,
    MaskCrossoverSpec,
    PerturbationSpec,
    ProposerSpec,
    StochasticDecodingSpec,
    build_acquisition,
)
from molvae.search.start import StartSpec
from molvae.search.surrogate import Scaling, TanimotoGP, Weighting
from molvae.workers.spec import DistributedSpec

Accept = Callable[[Chem.Mol], bool]

ONE_SCORE = Outcomes()


class SurrogateSpec(Spec):
    """The Tanimoto Gaussian process and the fingerprint it sees; see `surrogate`."""

    noise: float = Field(1e-4, gt=0)
    scaling: Scaling = "range"
    radius: int = Field(2, ge=0, description="of the environments of atoms, in bonds")
    n_bits: int = Field(4096, ge=64)
    max_count: int = Field(16, ge=1)
    roles: bool = Field(True, description="whether roles and pairs of atoms may take the place of environments")
    descriptors: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] = Field(
        DESCRIPTOR_WEIGHTS,
        description="weights of logP, TPSA, ... beside structure to choose from; none leaves them out",
    )

    @property
    def fingerprint(self) -> CountFingerprint:
        """What it sees of a molecule."""
        return CountFingerprint(self.radius, self.n_bits, self.max_count, self.roles, bool(self.descriptors))

    @property
    def weighting(self) -> Weighting:
        """How much the blocks of the fingerprint may count."""
        return Weighting(self.fingerprint.ends, self.fingerprint.weights(self.descriptors))


class InnerSpec(Spec):
    """The inner search, free of oracle calls; see `InnerSearch`."""

    generations: int = Field(4, ge=1)
    candidates: int = Field(20, ge=1, description="proposals a generation for each molecule of a batch")
    most: int = Field(1000, ge=1, description="proposals a generation, at most, however large the batch")
    parents: int = Field(100, ge=1)
    rank_offset: float = Field(0.05, gt=0)
    reserve: int = Field(100, ge=0, description="unpicked candidates kept for the next batch")
    immigrants: int = Field(200, ge=0, description="molecules of search.library that join in each batch")
    memory: int = Field(2000, ge=2, description="observed molecules that the surrogate knows, at most")


DEFAULT_PROPOSERS: tuple[Any, ...] = (
    GraphMutationSpec(share=0.375),
    GraphCrossoverSpec(share=0.375),
    PerturbationSpec(share=0.12),
    MaskCrossoverSpec(share=0.08),
    StochasticDecodingSpec(share=0.05),
)


class BayesianSpec(Spec):
    """Tanimoto process, structural and latent proposals: the method of molvae."""

    kind: Literal["bayesian"] = "bayesian"
    surrogate: SurrogateSpec = SurrogateSpec()
    acquisition: AcquisitionSpec | None = Field(None, description="by default ucb or, of several objectives, chebyshev")
    inner: InnerSpec = InnerSpec()
    proposers: Annotated[tuple[ProposerSpec, ...], Field(min_length=1)] = DEFAULT_PROPOSERS

    @property
    def needs_model(self) -> bool:
        """Whether a proposal goes by way of the latent space."""
        return any(spec.latent for spec in self.proposers)

    def build(
        self,
        model: LatentModel | None,
        seed: int,
        start: Sequence[str],
        accept: Accept,
        outcomes: Outcomes = ONE_SCORE,
    ) -> Search:
        s = self.surrogate
        plain = outcomes.plain
        how = s.noise, s.scaling, s.weighting
        surrogate = TanimotoGP(*how) if plain else OutcomesGP(outcomes, *how)
        return BayesianSearch(
            self._proposers(model),
            acquisition=build_acquisition(self.acquisition, outcomes),
            surrogate=surrogate,
            goal=None if plain else ParetoFront(outcomes),
            fingerprint=s.fingerprint,
            inner=InnerSearch(**self.inner.model_dump()),
            seed=seed,
            start=start,
            accept=accept,
        )

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

    def build(
        self,
        model: LatentModel | None,
        seed: int,
        start: Sequence[str],
        accept: Accept,
        outcomes: Outcomes = ONE_SCORE,
    ) -> Search:
        from molvae.search.turbo import TurboSearch

        if not outcomes.plain:
            raise ConfigError("the method 'turbo' has one score to maximise; use 'bayesian' for more")
        return TurboSearch(
            _given(model), points=self.points, candidates=self.candidates, seed=seed, start=start, accept=accept
        )


class OptunaSpec(Spec):
    """One of Optuna's samplers on latent coordinates (a baseline)."""

    kind: Literal["optuna"] = "optuna"
    sampler: Literal["tpe", "cmaes", "gp", "nsga2"] = "tpe"
    bounds: float = Field(3.0, gt=0, description="prior standard deviations")
    needs_model: ClassVar[bool] = True

    def build(
        self,
        model: LatentModel | None,
        seed: int,
        start: Sequence[str],
        accept: Accept,
        outcomes: Outcomes = ONE_SCORE,
    ) -> Search:
        from molvae.search.baselines import OptunaSearch

        if outcomes.windows or (outcomes.n_objectives > 1 and self.sampler == "cmaes"):
            raise ConfigError(
                "the method 'optuna' knows no constraints that an oracle tells, and 'cmaes' one objective only; "
                "use 'bayesian', or another sampler"
            )
        return OptunaSearch(_given(model), self.sampler, self.bounds, seed, start, accept, outcomes.n_objectives)


class PriorSpec(Spec):
    """Molecules sampled from the model (a baseline): decoded greedily from latent draws without a temperature."""

    kind: Literal["prior"] = "prior"
    temperature: float | None = Field(None, gt=0)
    needs_model: ClassVar[bool] = True

    def build(
        self,
        model: LatentModel | None,
        seed: int,
        start: Sequence[str],
        accept: Accept,
        outcomes: Outcomes = ONE_SCORE,
    ) -> Search:
        from molvae.search.baselines import PriorSearch

        return PriorSearch(_given(model), self.temperature, seed=seed, start=start, accept=accept)


class EvolutionSpec(Spec):
    """A genetic algorithm on graphs with the selection of NSGA-II (a baseline); `search.batch_size` is a generation."""

    kind: Literal["evolution"] = "evolution"
    population: int = Field(100, ge=2)
    mutation: float = Field(0.5, ge=0, le=1, description="share of children with one parent; the others have two")
    needs_model: ClassVar[bool] = False

    def build(
        self,
        model: LatentModel | None,
        seed: int,
        start: Sequence[str],
        accept: Accept,
        outcomes: Outcomes = ONE_SCORE,
    ) -> Search:
        from molvae.search.evolution import EvolutionSearch

        if outcomes.windows:
            raise ConfigError("the method 'evolution' knows no constraints that an oracle tells; use 'bayesian'")
        proposers = [
            (GraphMutationSpec().build(None), self.mutation),
            (GraphCrossoverSpec().build(None), 1.0 - self.mutation),
        ]
        return EvolutionSearch(proposers, self.population, seed=seed, start=start, accept=accept)


MethodSpec = Annotated[BayesianSpec | TurboSpec | OptunaSpec | PriorSpec | EvolutionSpec, Field(discriminator="kind")]


class SearchSpec(Spec):
    """How much is searched, and where.

    Attributes:
        constraints: candidates that break one are never scored; start molecules that do are recorded as infeasible.
            What only an oracle tells (kind "oracle") shows when a molecule is scored; the search learns what is likely.
        library: molecules that may be proposed as they are; the method 'bayesian' ranks some in each batch.
        data: measured molecules that the search knows before its first proposal; they cost no calls.
        select: good molecules that differ, chosen when the search has ended, in `diverse.csv`.
        workers: above 1, molecules are proposed while others are being scored, and runs are not reproducible.
        ahead: None is as many as are being scored. The fewer, the better informed is each proposal.
        distributed: workers on other machines, see `molvae.workers`.
    """

    budget: int = Field(1000, ge=1, description="oracle calls: distinct canonical molecules scored")
    batch_size: int = Field(2, ge=1, description="molecules for each call of the oracle; the fewer, the better guided")
    batch_growth: float = Field(
        0.0, ge=0, le=1, description="a batch has at least this share of the molecules scored so far; not with workers"
    )
    largest: int = Field(60, ge=1, description="heavy atoms of a proposal, at most")
    hardest: float = Field(
        10.0, ge=1, description="SA score (1 easy to make, 10 hard; Ertl and Schuffenhauer 2009) of a proposal, at most"
    )
    start: StartSpec = StartSpec()
    constraints: tuple[ConstraintSpec, ...] = ()
    reference: tuple[float, ...] | None = Field(
        None,
        description="of several objectives: the point above which hypervolume counts; by default a bit below the front",
    )
    library: LibrarySpec | None = None
    data: DataSpec | None = None
    min_distance: float = Field(0.0, ge=0, le=1, description="least Tanimoto distance within a batch (ECFP4)")
    select: SelectSpec | None = None
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

    @field_validator("constraints")
    @classmethod
    def _know_their_molecules(
        cls, constraints: tuple[ConstraintSpec, ...], info: ValidationInfo
    ) -> tuple[ConstraintSpec, ...]:
        start = info.data["start"].smiles if "start" in info.data else ()  # not there where it is itself wrong
        return tuple(with_targets(c, start) if isinstance(c, LeadConstraint) else c for c in constraints)


class OptimiseConfig(Spec):
    """A search. A run that is resumed must have the same config, but for budget, pictures, select, device, workers."""

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
