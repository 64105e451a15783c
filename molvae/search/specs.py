"""Specs of proposers and acquisition functions: what may stand in a config under each `kind`, and what it builds.

A proposer says whether it is `latent`: whether it goes by way of a model.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from molvae.core.config import Spec
from molvae.core.errors import ConfigError
from molvae.search import acquisition, multiobjective, structural
from molvae.search.feasibility import Feasible
from molvae.search.latent import (
    DecoderEdits,
    Interpolation,
    LatentMove,
    LatentSpace,
    MaskCrossover,
    Perturbation,
    PriorDraw,
    StochasticDecoding,
)
from molvae.search.outcomes import Outcomes
from molvae.search.proposals import Proposer

Share = Annotated[float, Field(ge=0, allow_inf_nan=False, description="share of the candidates")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _rising(ends: tuple[float, float]) -> tuple[float, float]:
    if ends[0] > ends[1]:
        raise ValueError(f"expected a range from low to high, got {ends[0]:g} to {ends[1]:g}")
    return ends


Range = Annotated[tuple[Finite, Finite], AfterValidator(_rising)]
PositiveRange = Annotated[tuple[Positive, Positive], AfterValidator(_rising)]


class GraphMutationSpec(Spec):
    """Random edits of the molecular graph."""

    kind: Literal["graph_mutation"] = "graph_mutation"
    latent: ClassVar[bool] = False
    share: Share = 1.0
    repeat: float = Field(0.3, ge=0, lt=1, description="probability of one more edit")

    def build(self, space: LatentSpace | None) -> Proposer:
        return structural.GraphMutation(self.repeat)


class GraphCrossoverSpec(Spec):
    """Parts of two molecular graphs joined."""

    kind: Literal["graph_crossover"] = "graph_crossover"
    latent: ClassVar[bool] = False
    share: Share = 1.0
    mutation_rate: float = Field(0.1, ge=0, le=1)

    def build(self, space: LatentSpace | None) -> Proposer:
        return structural.GraphCrossover(self.mutation_rate)


class SelfiesEditsSpec(Spec):
    """Random edits of the SELFIES string."""

    kind: Literal["selfies_edits"] = "selfies_edits"
    latent: ClassVar[bool] = False
    share: Share = 1.0
    edits: int = Field(3, ge=1)

    def build(self, space: LatentSpace | None) -> Proposer:
        return structural.SelfiesEdits(self.edits)


class SelfiesCrossoverSpec(Spec):
    """The beginning of one SELFIES string and the end of another."""

    kind: Literal["selfies_crossover"] = "selfies_crossover"
    latent: ClassVar[bool] = False
    share: Share = 1.0

    def build(self, space: LatentSpace | None) -> Proposer:
        return structural.SelfiesCrossover()


class PerturbationSpec(Spec):
    """Latent noise, `scale` times the posterior's spread."""

    kind: Literal["latent_perturbation"] = "latent_perturbation"
    latent: ClassVar[bool] = True
    share: Share = 1.0
    scale: PositiveRange = (0.3, 2.0)

    def build(self, space: LatentSpace | None) -> LatentMove:
        return Perturbation(self.scale)


class MaskCrossoverSpec(Spec):
    """Each latent coordinate from one of two parents."""

    kind: Literal["latent_crossover"] = "latent_crossover"
    latent: ClassVar[bool] = True
    share: Share = 1.0

    def build(self, space: LatentSpace | None) -> LatentMove:
        return MaskCrossover()


class InterpolationSpec(Spec):
    """A latent point between two parents."""

    kind: Literal["latent_interpolation"] = "latent_interpolation"
    latent: ClassVar[bool] = True
    share: Share = 1.0

    def build(self, space: LatentSpace | None) -> LatentMove:
        return Interpolation()


class StochasticDecodingSpec(Spec):
    """The parent's latent point, tokens sampled."""

    kind: Literal["stochastic_decoding"] = "stochastic_decoding"
    latent: ClassVar[bool] = True
    share: Share = 1.0
    temperature: float = Field(1.0, gt=0)

    def build(self, space: LatentSpace | None) -> LatentMove:
        return StochasticDecoding(self.temperature)


class DecoderEditsSpec(Spec):
    """A few tokens of a parent redrawn by the decoder."""

    kind: Literal["decoder_edits"] = "decoder_edits"
    latent: ClassVar[bool] = True
    share: Share = 1.0
    edits: int = Field(3, ge=1, description="changed tokens, at most")
    scale: float = Field(0.5, ge=0, description="of the latent point's distance, in posterior standard deviations")
    copies: int = Field(6, ge=1, description="variants of each parent drawn")

    def build(self, space: LatentSpace | None) -> Proposer:
        return DecoderEdits(_needed(space, self.kind), self.edits, self.scale, self.copies)


class PriorDrawSpec(Spec):
    """A latent point from the prior."""

    kind: Literal["prior_draw"] = "prior_draw"
    latent: ClassVar[bool] = True
    share: Share = 1.0

    def build(self, space: LatentSpace | None) -> LatentMove:
        return PriorDraw(_needed(space, self.kind).model)


def _needed(space: LatentSpace | None, kind: str) -> LatentSpace:
    if space is None:
        raise ConfigError(f"{kind} needs a model; give `weights`, or leave it out")
    return space


ProposerSpec = Annotated[
    GraphMutationSpec
    | GraphCrossoverSpec
    | SelfiesEditsSpec
    | SelfiesCrossoverSpec
    | PerturbationSpec
    | MaskCrossoverSpec
    | InterpolationSpec
    | StochasticDecodingSpec
    | PriorDrawSpec
    | DecoderEditsSpec,
    Field(discriminator="kind"),
]


class UCBSpec(Spec):
    """Upper confidence bound with a weight of 10^U(low, high)."""

    kind: Literal["ucb"] = "ucb"
    log10_weight: Range = (-1.5, 0.5)
    patience: int = Field(40, ge=1, description="calls without a better score until the largest weight has doubled")
    boldest: float = Field(8.0, ge=1, description="largest factor of the largest weight; 1 switches patience off")

    def build(self) -> acquisition.Acquisition:
        return acquisition.UpperConfidenceBound(self.log10_weight, self.patience, self.boldest)


class LogEISpec(Spec):
    """Logarithm of the expected improvement."""

    kind: Literal["log_ei"] = "log_ei"

    def build(self) -> acquisition.Acquisition:
        return acquisition.LogExpectedImprovement()


class ThompsonSpec(Spec):
    """A joint draw from the posterior."""

    kind: Literal["thompson"] = "thompson"

    def build(self) -> acquisition.Acquisition:
        return acquisition.ThompsonSampling()


class ChebyshevSpec(Spec):
    """Several objectives: upper bounds joined with random weights, drawn anew for each pick."""

    kind: Literal["chebyshev"] = "chebyshev"
    log10_weight: Range = (-1.5, 0.5)
    rho: float = Field(0.05, ge=0, description="share of the weighted sum beside the worst objective")

    def build(self) -> acquisition.Acquisition:
        return multiobjective.Chebyshev(self.log10_weight, self.rho)


class QLogNEHVISpec(Spec):
    """Several objectives: the batch by BoTorch's qLogNEHVI, proposals meanwhile by `chebyshev`."""

    kind: Literal["qlog_nehvi"] = "qlog_nehvi"
    candidates: int = Field(100, ge=1, description="proposals that it looks at, for each pick")
    known: int = Field(50, ge=1, description="molecules of the front that improvement is measured against")
    samples: int = Field(16, ge=1, description="Monte Carlo samples")

    def build(self) -> acquisition.Acquisition:
        return multiobjective.Chebyshev()


AcquisitionSpec = Annotated[
    UCBSpec | LogEISpec | ThompsonSpec | ChebyshevSpec | QLogNEHVISpec, Field(discriminator="kind")
]


def build_acquisition(spec: AcquisitionSpec | None, outcomes: Outcomes) -> acquisition.Acquisition:
    """The acquisition function for what a molecule is judged by; None takes ucb or, for several objectives, chebyshev.

    Raises:
        ConfigError: it is for one objective and there are several, or the other way round.
    """
    several = outcomes.n_objectives > 1
    chosen = spec or (ChebyshevSpec() if several else UCBSpec())
    if several != isinstance(chosen, ChebyshevSpec | QLogNEHVISpec):
        fitting = "chebyshev or qlog_nehvi" if several else "ucb, log_ei or thompson"
        raise ConfigError(
            f"method.acquisition.kind {chosen.kind!r} does not fit an oracle with {outcomes.n_objectives} "
            f"objective{'s' if several else ''}; expected {fitting}"
        )
    ranking = chosen.build()
    if outcomes.windows:
        ranking = Feasible(ranking, outcomes)
    if isinstance(chosen, QLogNEHVISpec):
        return multiobjective.HypervolumeImprovement(outcomes, ranking, chosen.candidates, chosen.known, chosen.samples)
    return ranking
