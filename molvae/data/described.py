"""What a conditional model is told of each molecule: properties that are known of it, or computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS
from molvae.core.arrays import AnyArray
from molvae.core.errors import ConfigError, MoleculeError
from molvae.data.conditions import Conditions

Known = Mapping[str, Mapping[str, float]]  # values by name, of molecules by SMILES


@dataclass(frozen=True)
class Told:
    """What a model is told of molecules that it reads, and of those that it is to write.

    Attributes:
        conditions: names and scale of the properties; there are none for a model that is not conditional.
        known: properties of some molecules, by canonical SMILES, in their own units.
        given: (P,) those that it decodes towards, in their own units; None where they have not been said.
    """

    conditions: Conditions
    known: Known = field(default_factory=dict)
    given: AnyArray | None = None

    @property
    def only_measured(self) -> list[str]:
        """Those of the properties that cannot be computed."""
        return [name for name in self.conditions.names if not self._computes(name)]

    def check_computed(self) -> None:
        """Refuse to go on where nobody can say what only measuring tells.

        Raises:
            ConfigError: a property cannot be computed.
        """
        if self.only_measured:
            raise ConfigError(
                f"the model is told what only measuring tells ({', '.join(self.only_measured)}); use it from Python: "
                "molvae.load(...).knowing({smiles: {name: value}})"
            )

    def knowing(self, known: Iterable[tuple[str, Mapping[str, float]]]) -> Told:
        """The same with properties of further molecules, each with its canonical SMILES.

        Raises:
            ConfigError: a molecule is there twice, with different values; or see `Conditions.check`.
        """
        said = dict[str, dict[str, float]]()
        for smiles, values in known:
            self.conditions.check(values)
            before = said.setdefault(smiles, {})
            for name in values.keys() & before.keys():
                if values[name] != before[name]:
                    raise ConfigError(f"{name} of {smiles}: expected one value, got {before[name]} and {values[name]}")
            before |= values
        return replace(self, known={**self.known, **{s: {**self.known.get(s, {}), **v} for s, v in said.items()}})

    def of(self, smiles: str) -> list[float]:
        """Properties of a molecule (canonical SMILES) in their own units: known of it, else computed, else those given.

        Raises:
            MoleculeError: one of them is none of these.
        """
        known, values = self.known.get(smiles, {}), list[float]()
        mol = Chem.MolFromSmiles(smiles)
        for place, name in enumerate(self.conditions.names):
            if name in known:
                values.append(known[name])
            elif self._computes(name):
                values.append(DESCRIPTORS[name](mol))
            elif self.given is not None:
                values.append(float(self.given[place]))
            else:
                raise MoleculeError(smiles, f"{name} is not known of it (see `knowing`), and cannot be computed")
        return values

    def as_dict(self) -> dict[str, Any]:
        """Plain values, equal for whatever is told alike."""
        known = {smiles: {name: float(v) for name, v in values.items()} for smiles, values in self.known.items()}
        given = None if self.given is None else [float(value) for value in self.given]
        return {"conditions": self.conditions.as_dict(), "known": known, "given": given}

    def _computes(self, name: str) -> bool:
        return name in DESCRIPTORS and name not in self.conditions.columns

    def target(self, n: int) -> AnyArray | None:
        """What n points are decoded towards, standardised, (n, P); None where that has not been said."""
        return None if self.given is None else self.conditions.standardised(np.tile(self.given, (n, 1)))

    def towards(self, n: int, properties: AnyArray | None) -> AnyArray | None:
        """What n points are decoded towards: `properties` (n, P), or else what was given; None for a model that is not
        conditional.

        Raises:
            ValueError: properties have another shape.
            ConfigError: there are neither.
        """
        names = self.conditions.names
        if properties is not None:
            told, shape = np.asarray(properties, dtype=np.float32), (n, len(names))
            if told.shape != shape:
                raise ValueError(f"expected properties of shape {shape}, a row for each point, got {told.shape}")
            return told
        if names and self.given is None:
            values, options = (sep.join(f"{name}=..." for name in names) for sep in (", ", " --given "))
            raise ConfigError(
                f"this model decodes towards properties; say which: given({values}), or --given {options}"
            )
        return self.target(n)
