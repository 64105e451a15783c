"""What a conditional model is told beside each molecule: named properties, brought to a common scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from molvae.core.arrays import AnyArray
from molvae.core.config import did_you_mean
from molvae.core.errors import ConfigError


@dataclass(frozen=True)
class Conditions:
    """P properties with their mean and standard deviation over the molecules that a model has learnt from.

    Attributes:
        names: of the properties; none for a model that is not conditional.
        mean, std: in each property's own unit.
        columns: those of the names that stood in a column of the data: measured, whatever they are called.
    """

    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    columns: tuple[str, ...] = ()

    @classmethod
    def measured(cls, names: Sequence[str], values: AnyArray, columns: Sequence[str] = ()) -> Conditions:
        """Those of some molecules, values (N, P); a property that never changes has a deviation of 1."""
        mean, std = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
        return cls(tuple(names), tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()), tuple(columns))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Sequence[Any]]) -> Conditions:
        """What `as_dict` gave, perhaps by way of JSON."""
        names, mean, std = (tuple(plain[name]) for name in ("names", "mean", "std"))
        return cls(names, mean, std, tuple(plain.get("columns", ())))  # of which earlier models say nothing

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def standardised(self, values: AnyArray) -> AnyArray:
        """What the model is told, (N, P) float32, of values (N, P) in their own units."""
        scaled: AnyArray = (np.asarray(values, dtype=np.float64) - self.mean) / self.std
        return scaled.astype(np.float32)

    def check(self, values: Mapping[str, float]) -> None:
        """Values by name that a model could be told.

        Raises:
            ConfigError: the model is not conditional, a name is unknown, or a value is not finite.
        """
        if not self.names:
            raise ConfigError("this model is not conditioned on properties; train one with model.condition_dim")
        if not isinstance(values, Mapping):
            raise ConfigError(f"expected {{name: value}} for the properties of a molecule, got {values!r}")
        for name, value in values.items():
            if name not in self.names:
                known = ", ".join(self.names)
                raise ConfigError(f"no property {name!r}{did_you_mean(name, self.names)} (the model knows: {known})")
            if not (isinstance(value, int | float | np.number) and np.isfinite(value)):
                raise ConfigError(f"property {name}: expected a finite number, got {value!r}")

    def row(self, values: Mapping[str, float]) -> AnyArray:
        """Values by name as a row (P,).

        Raises:
            ConfigError: the model is not conditional, a name is unknown or missing, or a value is not finite.
        """
        self.check(values)
        if missing := [name for name in self.names if name not in values]:
            raise ConfigError(f"a value is missing for {', '.join(missing)}; the model wants all its properties")
        return np.array([values[name] for name in self.names], dtype=np.float64)
