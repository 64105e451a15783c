"""Specs of proposers and acquisition functions: what may stand in a config under each `kind`, and what it builds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from molvae.core.config import Spec
from molvae.search import acquisition, structural
from molvae.search.latent import (
    Interpolation,
    LatentMove,
    MaskCrossover,
    Perturbation,
    PriorDraw,
    StochasticDecoding,
)
from molvae.search.proposals import Proposer

Share = Annotated[float, Field(ge=0, allow_inf_nan=False, description="share of the candidates")]


class GraphMutationSpec(Spec):
    """Random edits of the molecular graph."""

    kind: Literal["graph_mutation"] = "graph_mutation"
    share: Share = 1.0
    repeat: float = Field(0.3, ge=0, lt=1, description="probability of one more edit")

    def build(self) -> Proposer:
        return structural.GraphMutation(self.repeat)


class GraphCrossoverSpec(Spec):
    """Parts of two molecular graphs joined."""

    kind: Literal["graph_crossover"] = "graph_crossover"
    share: Share = 1.0
    mutation_rate: float = Field(0.1, ge=0, le=1)

    def build(self) -> Proposer:
        return structural.GraphCrossover(self.mutation_rate)


class SelfiesEditsSpec(Spec):
    """Random edits of the SELFIES string."""

    kind: Literal["selfies_edits"] = "selfies_edits"
    share: Share = 1.0
    edits: int = Field(3, ge=1)

    def build(self) -> Proposer:
        return structural.SelfiesEdits(self.edits)


class SelfiesCrossoverSpec(Spec):
    """The beginning of one SELFIES string and the end of another."""

    kind: Literal["selfies_crossover"] = "selfies_crossover"
    share: Share = 1.0

    def build(self) -> Proposer:
        return structural.SelfiesCrossover()


class PerturbationSpec(Spec):
    """Latent noise, `scale` times the posterior's spread."""

    kind: Literal["latent_perturbation"] = "latent_perturbation"
    share: Share = 1.0
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (0.3, 2.0)

    def build(self) -> LatentMove:
        return Perturbation(self.scale)


class MaskCrossoverSpec(Spec):
    """Each latent coordinate from one of two parents."""

    kind: Literal["latent_crossover"] = "latent_crossover"
    share: Share = 1.0

    def build(self) -> LatentMove:
        return MaskCrossover()


class InterpolationSpec(Spec):
    """A latent point between two parents."""

    kind: Literal["latent_interpolation"] = "latent_interpolation"
    share: Share = 1.0

    def build(self) -> LatentMove:
        return Interpolation()


class StochasticDecodingSpec(Spec):
    """The parent's latent point, tokens sampled."""

    kind: Literal["stochastic_decoding"] = "stochastic_decoding"
    share: Share = 1.0
    temperature: float = Field(1.0, gt=0)

    def build(self) -> LatentMove:
        return StochasticDecoding(self.temperature)


class PriorDrawSpec(Spec):
    """A latent point from the prior."""

    kind: Literal["prior_draw"] = "prior_draw"
    share: Share = 1.0

    def build(self) -> LatentMove:
        return PriorDraw()


ProposerSpec = Annotated[
    GraphMutationSpec
    | GraphCrossoverSpec
    | SelfiesEditsSpec
    | SelfiesCrossoverSpec
    | PerturbationSpec
    | MaskCrossoverSpec
    | InterpolationSpec
    | StochasticDecodingSpec
    | PriorDrawSpec,
    Field(discriminator="kind"),
]


class UCBSpec(Spec):
    """Upper confidence bound with a weight of 10^U(low, high)."""

    kind: Literal["ucb"] = "ucb"
    log10_weight: tuple[float, float] = (-1.5, 0.5)

    def build(self) -> acquisition.Acquisition:
        return acquisition.UpperConfidenceBound(self.log10_weight)


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


AcquisitionSpec = Annotated[UCBSpec | LogEISpec | ThompsonSpec, Field(discriminator="kind")]
