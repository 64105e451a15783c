"""Oracles in TOML: a tagged union of specs, each of which builds its oracle.

    [oracle]                      [oracle]                      [oracle]
    kind = "named"                kind = "command"              kind = "desirability"
    name = "osimertinib_mpo"      command = ["dock", "--fast"]  aggregation = "geometric"
                                  direction = "minimise"        [[oracle.terms]]
                                                                component = {kind = "property", name = "qed"}
                                                                [[oracle.terms]]
                                                                component = {kind = "similarity", target = "c1ccccc1O"}
                                                                modifier = {kind = "clip", upper = 0.8}

Wrappers nest in the same way: `kind = "cached"`, `path`, and the inner one as `[oracle.oracle]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from molvae.core.config import Spec
from molvae.oracles.command import CommandOracle, CommandSettings, Seconds
from molvae.oracles.isolation import ParallelOracle
from molvae.oracles.objective import MoleculeOracle, Objective
from molvae.oracles.oracle import Minimised, Oracle, Stacked
from molvae.oracles.registry import oracle
from molvae.oracles.wrappers import CachedOracle

Direction = Literal["maximise", "minimise"]


class NamedSpec(Spec):
    """An oracle of the list that `molvae oracles` prints."""

    kind: Literal["named"] = "named"
    name: str
    parameters: dict[str, Any] = {}
    direction: Direction = "maximise"

    @field_validator("parameters")
    @classmethod
    def _beside_the_name(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        if "direction" in parameters:
            raise ValueError("direction is no parameter of an oracle; it stands beside name")
        if "source" in parameters:
            raise ValueError("source is no parameter of an oracle; name says which it is")
        return parameters

    def build(self) -> Oracle:
        return oracle(self.name, direction=self.direction, **self.parameters)


class DesirabilitySpec(Objective):
    """Several components, a desirability for each, one mean, and constraints."""

    name: str = "desirability"

    def build(self) -> Oracle:
        return MoleculeOracle(self.name, self, self.model_dump(mode="json", exclude={"kind", "name"}))


class CommandSpec(CommandSettings):
    """An external program (contract: `oracles/command.py`)."""

    kind: Literal["command"] = "command"
    direction: Direction = "maximise"

    def build(self) -> Oracle:
        built = CommandOracle(**self.model_dump(exclude={"kind", "direction"}))
        return Minimised(built) if self.direction == "minimise" else built


class StackedSpec(Spec):
    """Several oracles side by side, for multi-objective search; each turns its own sign, so that all are maximised."""

    kind: Literal["stacked"] = "stacked"
    oracles: Annotated[tuple[OracleSpec, ...], Field(min_length=1)]
    names: tuple[str, ...] | None = Field(None, description="of the objectives; by default those of the oracles")

    def build(self) -> Oracle:
        return Stacked([spec.build() for spec in self.oracles], names=self.names)


class CachedSpec(Spec):
    """Scores remembered in an SQLite file."""

    kind: Literal["cached"] = "cached"
    oracle: OracleSpec
    path: Path

    def build(self) -> Oracle:
        return CachedOracle(self.oracle.build(), self.path)


class ParallelSpec(Spec):
    """An oracle in processes of its own, with a time-out for each molecule."""

    kind: Literal["parallel"] = "parallel"
    oracle: OracleSpec
    workers: Annotated[int, Field(ge=1)] = 1
    timeout_seconds: Seconds = 60.0
    chunk: Annotated[int, Field(ge=1)] = 1

    def build(self) -> Oracle:
        return ParallelOracle(self.oracle.build(), self.workers, self.timeout_seconds, self.chunk)


OracleSpec = Annotated[
    NamedSpec | DesirabilitySpec | CommandSpec | StackedSpec | CachedSpec | ParallelSpec, Field(discriminator="kind")
]
StackedSpec.model_rebuild()
CachedSpec.model_rebuild()
ParallelSpec.model_rebuild()
