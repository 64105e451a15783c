"""What else an oracle tells of a molecule beside its objectives: numbers that a search demands something of."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import model_validator

from molvae.core.config import Spec
from molvae.core.errors import ConfigError
from molvae.oracles.config import OracleSpec
from molvae.oracles.oracle import ComponentOf, Oracle, Stacked


class ToldSpec(Spec):
    """One number: of another oracle, or a component that the search's own oracle reports."""

    name: str
    oracle: OracleSpec | None = None
    component: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ToldSpec:
        if (self.oracle is None) == (self.component is None):
            raise ValueError("expected either an oracle or the name of a component of the search's own oracle")
        return self

    def build(self, own: Oracle) -> Oracle:
        """What answers; `own` is the search's oracle.

        Raises:
            ConfigError: it has several objectives, or the search's oracle reports no such component.
        """
        if self.oracle is None:
            component = ComponentOf(own, self.component or "")
            component([])  # a name that is not there is told before anything is scored
            return component
        built = self.oracle.build()
        if built.n_objectives != 1:
            raise ConfigError(
                f"constraint {self.name!r}: expected an oracle with one value, {built.name} has {built.n_objectives}"
            )
        return built


def telling(oracle: Oracle, told: Sequence[ToldSpec]) -> Oracle:
    """An oracle whose columns are the objectives of `oracle`, and behind them what is `told`.

    Raises:
        ConfigError: see `ToldSpec.build`.
    """
    if not told:
        return oracle
    columns = [f"objective {name}" for name in oracle.objectives] + [f"constraint {spec.name}" for spec in told]
    return Stacked([oracle, *(spec.build(oracle) for spec in told)], oracle.name, columns)
