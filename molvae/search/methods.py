"""How to search: the methods that may stand in a config under `[method]`, and the search that each builds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator
from rdkit import Chem

from molvae.core.config import Spec
from molvae.core.errors import ConfigError
from molvae.search.ask_tell import Search, distinct
from molvae.search.bayesian import BayesianSearch, InnerSpec
from molvae.search.evolution import CITATION as NSGA2
from molvae.search.evolution import EvolutionSearch
from molvae.search.feasibility import CITATION as FEASIBILITY
from molvae.search.features import DESCRIPTOR_WEIGHTS, CountFingerprint
from molvae.search.goals import Goal, Maximum, ParetoFront, ProposableFirst
from molvae.search.islands import Islands
from molvae.search.kernel import Weighting
from molvae.search.latent import LatentModel, LatentMove, LatentProposals, LatentSpace
from molvae.search.multiobjective import NEHVI, PAREGO
from molvae.search.outcomes import Outcomes, OutcomesGP
from molvae.search.proposals import Proposer
from molvae.search.specs import (
    AcquisitionSpec,
    DecoderEditsSpec,
    GraphCrossoverSpec,
    GraphMutationSpec,
    InterpolationSpec,
    ProposerSpec,
    QLogNEHVISpec,
    build_acquisition,
)
from molvae.search.structural import CITATION as EDITS
from molvae.search.surrogate import CITATION as TANIMOTO
from molvae.search.surrogate import Scaling, TanimotoGP
from molvae.search.turbo import CITATION as TURBO
from molvae.search.turbo import TurboSearch


@dataclass(frozen=True)
class Setting:
    """What any method builds its search with.

    Attributes:
        model: of the latent space, where there is one.
        seed, start, accept: see `Search`.
        outcomes: what a molecule is judged by.
        n_measured: how many molecules the search will learn before it is asked.
        meets: whether a molecule meets the constraints that no proposal breaks; None where there are none.
    """

    model: LatentModel | None = None
    seed: int = 0
    start: Sequence[str] = ()
    accept: Callable[[Chem.Mol], bool] = lambda mol: True
    outcomes: Outcomes = Outcomes()
    n_measured: int = 0
    meets: Callable[[str], bool] | None = None

    @property
    def common(self) -> dict[str, Any]:
        """The arguments that every `Search` takes."""
        return {"seed": self.seed, "start": self.start, "accept": self.accept}

    @property
    def latent(self) -> LatentModel:
        """The model, for a method that cannot do without.

        Raises:
            ConfigError: there is none.
        """
        if self.model is None:
            raise ConfigError("this method searches a model's latent space; give `weights`")
        return self.model


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


DEFAULT_PROPOSERS: tuple[Any, ...] = (  # roughly by what each is worth, see `pipelines/benchmark_proposals.py`
    GraphMutationSpec(share=0.6),
    GraphCrossoverSpec(share=0.25),
    DecoderEditsSpec(share=0.08),
    InterpolationSpec(share=0.07),
)


class Method(Spec):
    """Base of all methods."""

    def citations(self, outcomes: Outcomes) -> list[str]:
        """The papers that the search rests on; none, where a method does not say."""
        return []


class BayesianSpec(Method):
    """Tanimoto process, structural and latent proposals: the method of molvae."""

    kind: Literal["bayesian"] = "bayesian"
    surrogate: SurrogateSpec = SurrogateSpec()
    acquisition: AcquisitionSpec | None = Field(None, description="by default ucb or, of several objectives, chebyshev")
    inner: InnerSpec = InnerSpec()
    proposers: Annotated[tuple[ProposerSpec, ...], Field(min_length=1)] = DEFAULT_PROPOSERS
    restart: int = Field(
        300,
        ge=0,
        description="scores without a better ten until the search begins anew beside them, see `islands`; 0 never does",
    )
    inversion: int | None = Field(
        None,
        ge=1,
        description="gradient steps, at most, to latent points that decode to the parents; none by default",
    )

    @field_validator("proposers")
    @classmethod
    def _something_is_proposed(cls, proposers: tuple[Any, ...]) -> tuple[Any, ...]:
        if not any(spec.share for spec in proposers):
            raise ValueError("expected a share above 0 for one proposer at least; all are 0")
        return proposers

    @property
    def needs_model(self) -> bool:
        """Whether a proposal goes by way of the latent space."""
        return any(spec.latent for spec in self.proposers)

    def build(self, setting: Setting) -> Search:
        s, outcomes = self.surrogate, setting.outcomes
        how = s.noise, s.scaling, s.weighting
        return BayesianSearch(
            self._proposers(setting.model),
            acquisition=build_acquisition(self.acquisition, outcomes),
            surrogate=TanimotoGP(*how) if outcomes.plain else OutcomesGP(outcomes, *how),
            goal=self._goal(setting)
            if setting.meets is None
            else ProposableFirst(self._goal(setting), self._goal(setting), setting.meets),
            fingerprint=s.fingerprint,
            inner=self.inner,
            **setting.common,
        )

    def citations(self, outcomes: Outcomes) -> list[str]:
        several = [PAREGO] if outcomes.n_objectives > 1 else []
        jointly = [NEHVI] if isinstance(self.acquisition, QLogNEHVISpec) else []
        constrained = [FEASIBILITY] if outcomes.windows else []
        return [TANIMOTO, EDITS, *several, *jointly, *constrained]

    def _goal(self, setting: Setting) -> Goal:
        if not setting.outcomes.plain:
            return ParetoFront(setting.outcomes)
        n_first = setting.n_measured + len(distinct(setting.start))
        return Islands(self.restart, n_first) if self.restart else Maximum()

    def _proposers(self, model: LatentModel | None) -> list[tuple[Proposer, float]]:
        """Structural proposers as they are; all latent moves together, so that they decode in one batch."""
        if self.needs_model and model is None:
            raise ConfigError("latent proposals need a model; give `weights`, or leave the latent proposers out")
        space = None if model is None else LatentSpace(model, self.inversion or 0)
        built = [(spec.build(space), spec.share) for spec in self.proposers]
        proposers = [(part, share) for part, share in built if isinstance(part, Proposer)]
        moves = [(part, share) for part, share in built if isinstance(part, LatentMove)]
        if space is not None and moves:
            proposers.append((LatentProposals(space, moves), sum(share for _, share in moves)))
        return proposers


class TurboSpec(Method):
    """Latent coordinates, BoTorch Gaussian process, trust region."""

    kind: Literal["turbo"] = "turbo"
    points: int = Field(256, ge=4)
    candidates: int = Field(1024, ge=16)
    needs_model: ClassVar[bool] = True

    def build(self, setting: Setting) -> Search:
        if not setting.outcomes.plain:
            raise ConfigError("the method 'turbo' has one score to maximise; use 'bayesian' for more")
        return TurboSearch(setting.latent, points=self.points, candidates=self.candidates, **setting.common)

    def citations(self, outcomes: Outcomes) -> list[str]:
        return [TURBO]


class OptunaSpec(Method):
    """One of Optuna's samplers on latent coordinates (a baseline)."""

    kind: Literal["optuna"] = "optuna"
    sampler: Literal["tpe", "cmaes", "gp", "nsga2"] = "tpe"
    bounds: float = Field(3.0, gt=0, description="prior standard deviations")
    needs_model: ClassVar[bool] = True

    def build(self, setting: Setting) -> Search:
        from molvae.search.baselines import OptunaSearch

        n_objectives = setting.outcomes.n_objectives
        if setting.outcomes.windows or (n_objectives > 1 and self.sampler == "cmaes"):
            raise ConfigError(
                "the method 'optuna' knows no constraints that an oracle tells, and 'cmaes' one objective only; "
                "use 'bayesian', or another sampler"
            )
        return OptunaSearch(setting.latent, self.sampler, self.bounds, n_objectives=n_objectives, **setting.common)


class PriorSpec(Method):
    """Molecules sampled from the model (a baseline): decoded greedily from latent draws without a temperature."""

    kind: Literal["prior"] = "prior"
    temperature: float | None = Field(None, gt=0)
    needs_model: ClassVar[bool] = True

    def build(self, setting: Setting) -> Search:
        from molvae.search.baselines import PriorSearch

        return PriorSearch(setting.latent, self.temperature, **setting.common)


class EvolutionSpec(Method):
    """A genetic algorithm on graphs with the selection of NSGA-II (a baseline); `search.batch_size` is a generation."""

    kind: Literal["evolution"] = "evolution"
    population: int = Field(100, ge=2)
    mutation: float = Field(0.5, ge=0, le=1, description="share of children with one parent; the others have two")
    needs_model: ClassVar[bool] = False

    def build(self, setting: Setting) -> Search:
        if setting.outcomes.windows:
            raise ConfigError("the method 'evolution' knows no constraints that an oracle tells; use 'bayesian'")
        proposers = [
            (GraphMutationSpec().build(None), self.mutation),
            (GraphCrossoverSpec().build(None), 1.0 - self.mutation),
        ]
        return EvolutionSearch(proposers, self.population, setting.meets, **setting.common)

    def citations(self, outcomes: Outcomes) -> list[str]:
        return [NSGA2, EDITS]


MethodSpec = Annotated[BayesianSpec | TurboSpec | OptunaSpec | PriorSpec | EvolutionSpec, Field(discriminator="kind")]
