"""What a conditional model is told of each molecule: properties that are known of it, or computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS
from molvae.core.arrays import AnyArray
from molvae.core.errors import ConfigError, MoleculeError
from molvae.data.conditions import Conditions

Known = Mapping[str, Mapping[str, float]]  # values by name, of molecules by SMILES


def not_computed(names: Sequence[str]) -> list[str]:
    """Those of some properties that only measuring tells."""
    return [name for name in names if name not in DESCRIPTORS]


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

    def of(self, smiles: str) -> list[float]:
        """Properties of a molecule (canonical SMILES) in their own units: known of it, else computed, else those given.

        Raises:
            MoleculeError: one of them is none of these.
        """
        known, values = self.known.get(smiles, {}), list[float]()
        for place, name in enumerate(self.conditions.names):
            if name in known:
                values.append(known[name])
            elif name in DESCRIPTORS:
                values.append(DESCRIPTORS[name](Chem.MolFromSmiles(smiles)))
            elif self.given is not None:
                values.append(float(self.given[place]))
            else:
                raise MoleculeError(smiles, f"{name} is not known of it (see `knowing`), and cannot be computed")
        return values

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
            values = ", ".join(f"{name}=..." for name in names)
            raise ConfigError(f"this model decodes towards properties; say which: given({values}), or --given {values}")
        return self.target(n)
