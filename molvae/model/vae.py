"""The model: decoder(bottleneck(encoder(x)))."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from molvae.core.config import Spec
from molvae.data.batch import TokenBatch
from molvae.model import decoding
from molvae.model.bottlenecks import BottleneckSpec, GaussianSpec
from molvae.nn.bottleneck import LatentSample
from molvae.nn.decoder import GRUDecoder
from molvae.nn.encoder import GRUEncoder
from molvae.nn.gaussian import Gaussian


class VAESpec(Spec):
    """Sizes of a `SequenceVAE`; with the weights, all that is needed to build it again."""

    embedding_dim: int = Field(128, gt=0)
    encoder_dim: int = Field(256, gt=0, description="width of each direction")
    decoder_dim: int = Field(512, gt=0)
    token_dropout: float = Field(0.1, ge=0, lt=1)
    condition_dim: int = Field(0, ge=0)
    bottleneck: BottleneckSpec = GaussianSpec()

    @field_validator("bottleneck", mode="before")
    @classmethod
    def _gaussian_unless_said(cls, value: Any) -> Any:
        return {"kind": "gaussian", **value} if isinstance(value, dict) else value


class VAEOutput(NamedTuple):
    """distortion (B,) = -log p(x|z) in nats, and the latent sample it was computed with."""

    distortion: Tensor
    latent: LatentSample


class SequenceVAE(nn.Module):
    """decoder(bottleneck(encoder(x))).

    Args:
        spec: the sizes.
        n_tokens: vocabulary size V.

    Attributes:
        low_precision: run the matrix products of the recurrences in bfloat16, where molecules are trained on, encoded
            or decoded; states are float32, and so are `log_prob` and `beam`.
    """

    low_precision = False

    def __init__(self, spec: VAESpec, n_tokens: int) -> None:
        super().__init__()
        self.spec, self.n_tokens = spec, n_tokens
        self.encoder = GRUEncoder(n_tokens, spec.embedding_dim, spec.encoder_dim, spec.condition_dim)
        self.bottleneck = spec.bottleneck.build(self.encoder.output_dim)
        self.decoder = GRUDecoder(
            n_tokens,
            spec.embedding_dim,
            spec.decoder_dim,
            self.bottleneck.latent_dim,
            spec.condition_dim,
            spec.token_dropout,
        )

    @property
    def latent_dim(self) -> int:
        """Z."""
        return self.bottleneck.latent_dim

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.output.weight.device

    def forward(self, batch: TokenBatch, generator: torch.Generator | None = None) -> VAEOutput:
        """One posterior sample of a batch and its distortion."""
        tokens, lengths, condition = batch
        latent = self.bottleneck(self.encoder(tokens, lengths, condition, self.low_precision), generator)
        log_prob = self.decoder.log_prob(tokens, latent.z, condition, generator, self.low_precision)
        return VAEOutput(-log_prob, latent)

    def encode(self, tokens: Tensor, lengths: Tensor, condition: Tensor | None = None) -> Gaussian:
        """Gaussian mean and standard deviation (B, Z) of tokens (B, T)."""
        posterior: Gaussian = self.bottleneck.encode(self.encoder(tokens, lengths, condition, self.low_precision))
        return posterior

    def log_prob(self, tokens: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """log p(tokens | z) in nats, (B,), for tokens (B, T) and z (B, Z)."""
        return self.decoder.log_prob(tokens, z, condition)

    def importance_bound(self, batch: TokenBatch, k: int, generator: torch.Generator | None = None) -> Tensor:
        """Lower bounds of log p(x) of a batch with K posterior samples each, (B,) nats (Burda et al. 2016, eq. 8)."""
        tokens, lengths, condition = batch
        z, log_weight = self.bottleneck.importance(self.encoder(tokens, lengths, condition), k, generator)
        told = None if condition is None else condition.repeat(k, 1)
        log_likelihood = self.log_prob(tokens.repeat(k, 1), z.flatten(0, 1), told).view(k, -1)  # (K, B)
        return torch.logsumexp(log_likelihood + log_weight, 0) - math.log(k)

    @torch.no_grad()
    def decode(
        self,
        z: Tensor,
        max_length: int,
        temperature: float | None = None,
        top_p: float = 1.0,
        generator: torch.Generator | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Ids (B, T <= max_length) for z (B, Z): greedy, or drawn at a temperature from the top_p nucleus."""
        choose = decoding.greedy if temperature is None else decoding.Nucleus(temperature, top_p, generator)
        return decoding.generate(self.decoder, z, max_length, choose, condition, self.low_precision)

    @torch.no_grad()
    def beam(self, z: Tensor, max_length: int, width: int, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The `width` likeliest sequences found by beam search: ids (B, width, T) and log-probabilities (B, width)."""
        return decoding.beam(self.decoder, z, max_length, width, condition)
