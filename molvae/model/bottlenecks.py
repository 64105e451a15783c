"""What a config says of the bottleneck and of its prior."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from molvae.core.config import Spec
from molvae.nn.bottleneck import Bottleneck, GaussianBottleneck
from molvae.nn.diffusion import DiffusionPrior
from molvae.nn.ladder import LadderBottleneck
from molvae.nn.priors import FlowPrior, MixturePrior, NormalPrior, Prior
from molvae.nn.vq import VQBottleneck

Positive = Annotated[int, Field(gt=0)]


class NormalSpec(Spec):
    """N(0, 1) in every dimension."""

    kind: Literal["normal"] = "normal"

    def build(self, latent_dim: int) -> Prior:
        """The prior of `latent_dim` dimensions."""
        return NormalPrior(latent_dim)


class MixtureSpec(Spec):
    """A learnt mixture of diagonal Gaussians."""

    kind: Literal["mixture"] = "mixture"
    components: Positive = 64

    def build(self, latent_dim: int) -> Prior:
        """The prior of `latent_dim` dimensions."""
        return MixturePrior(latent_dim, self.components)


class FlowSpec(Spec):
    """A learnt normalising flow of affine couplings."""

    kind: Literal["flow"] = "flow"
    layers: Positive = 6
    hidden_dim: Positive = 256

    def build(self, latent_dim: int) -> Prior:
        """The prior of `latent_dim` dimensions."""
        return FlowPrior(latent_dim, self.layers, self.hidden_dim)


class DiffusionSpec(Spec):
    """Learnt steps from noise to latent points."""

    kind: Literal["diffusion"] = "diffusion"
    steps: Positive = 64
    hidden_dim: Positive = 512

    def build(self, latent_dim: int) -> Prior:
        """The prior of `latent_dim` dimensions."""
        return DiffusionPrior(latent_dim, self.steps, self.hidden_dim)


PriorSpec = Annotated[NormalSpec | MixtureSpec | FlowSpec | DiffusionSpec, Field(discriminator="kind")]


class GaussianSpec(Spec):
    """A diagonal Gaussian posterior."""

    kind: Literal["gaussian"] = "gaussian"
    latent_dim: Positive = 128
    prior: PriorSpec = NormalSpec()

    def build(self, input_dim: int) -> Bottleneck:
        """The bottleneck for an encoder output of `input_dim`."""
        return GaussianBottleneck(input_dim, self.latent_dim, self.prior.build(self.latent_dim))


class VQSpec(Spec):
    """Vector quantisation: `groups` codes, each out of a codebook of its own."""

    kind: Literal["vq"] = "vq"
    groups: Positive = 32
    codes: Annotated[int, Field(ge=2, description="entries of each codebook")] = 256
    width: Annotated[int, Field(gt=0, description="numbers of an entry; latent_dim = groups * width")] = 4

    def build(self, input_dim: int) -> Bottleneck:
        """The bottleneck for an encoder output of `input_dim`."""
        return VQBottleneck(input_dim, self.groups, self.codes, self.width)


class LadderSpec(Spec):
    """A hierarchy of Gaussian levels, each expected from those above it."""

    kind: Literal["ladder"] = "ladder"
    widths: tuple[Positive, ...] = Field((32, 96), min_length=2, description="dimensions of each level, top first")
    hidden_dim: Positive = 256

    def build(self, input_dim: int) -> Bottleneck:
        """The bottleneck for an encoder output of `input_dim`."""
        return LadderBottleneck(input_dim, self.widths, self.hidden_dim)


BottleneckSpec = Annotated[GaussianSpec | VQSpec | LadderSpec, Field(discriminator="kind")]
