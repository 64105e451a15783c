"""An objective: components, a desirability for each, one mean, and constraints; and the oracle that evaluates one.

    score = aggregate(modifier_k(component_k(molecule)), weights) * all(constraints)

An objective is data (a frozen model, composable in TOML); GuacaMol's suite is a table of them. A component may itself
be an objective.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol, final

import numpy as np
from pydantic import Field

from molvae.core.config import Spec
from molvae.oracles.components import (
    Catalogue,
    Constraint,
    ElementCount,
    Isomer,
    Property,
    Similarity,
    Substructure,
    Substructures,
    Window,
)
from molvae.oracles.desirability import Aggregation, Identity, Modifier, join
from molvae.oracles.oracle import FloatArray, Oracle, as_list, log_failure
from molvae.oracles.parsed import ParsedMolecule


class Component(Protocol):
    """Gives one raw number for a molecule."""

    @property
    def label(self) -> str:
        """What the number is, for column headings."""

    def value(self, molecule: ParsedMolecule) -> float:
        """The number, in its own unit."""


class Term(Spec):
    """One part of an objective: a component, how desirable its values are, and how much it weighs."""

    component: AnyComponent
    modifier: Modifier = Identity()
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    name: str | None = None

    @property
    def label(self) -> str:
        return self.name or self.component.label

    def desirability(self, molecule: ParsedMolecule) -> float:
        """The modified value."""
        value = self.component.value(molecule)
        return value if isinstance(self.modifier, Identity) else float(self.modifier(value))


class Objective(Spec):
    """Several terms joined by a mean, and constraints that a molecule must meet to score at all."""

    kind: Literal["desirability"] = "desirability"
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    aggregation: Aggregation = "geometric"
    constraints: tuple[Constraint, ...] = ()
    name: str | None = None

    @property
    def label(self) -> str:
        return self.name or "objective"

    def value(self, molecule: ParsedMolecule) -> float:
        """The score; parts behind one that already decides it (a failed constraint, a factor 0) are not computed."""
        for constraint in self.constraints:
            if not constraint.value(molecule):
                return 0.0
        parts = []
        for term in self.terms:
            parts.append(term.desirability(molecule))
            if parts[-1] == 0.0 and self.aggregation != "arithmetic":
                return 0.0
        if len(parts) == 1 and self.aggregation != "product":
            return parts[0]
        return join(parts, self.aggregation, [term.weight for term in self.terms])

    def parts(self, molecule: ParsedMolecule) -> dict[str, float]:
        """Every raw value under its label, and under "label: desirability" what became of it."""
        report: dict[str, float] = {}
        for term in self.terms:
            label = term.label if term.label not in report else f"{term.label} ({len(report)})"
            report[label] = term.component.value(molecule)
            if not isinstance(term.modifier, Identity):
                report[f"{label}: desirability"] = float(term.modifier(report[label]))
        for constraint in self.constraints:
            report[constraint.label] = constraint.value(molecule)
        return report


AnyComponent = Annotated[
    Property | Similarity | Substructure | Substructures | Isomer | ElementCount | Catalogue | Window | Objective,
    Field(discriminator="kind"),
]
Term.model_rebuild()
Objective.model_rebuild()


@final
class MoleculeOracle(Oracle):
    """Scores molecules in this process, by a component or an objective of RDKit quantities.

    Args:
        name: what to call it.
        component: what to compute.
        parameters: what the name alone does not say; enters the cache key.
    """

    def __init__(self, name: str, component: Component, parameters: dict[str, Any] | None = None) -> None:
        self.name, self.component = name, component
        self.parameters = parameters or {}

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        return np.array([self._score(each) for each in as_list(smiles)], dtype=float)

    def _score(self, smiles: str) -> float:
        molecule = ParsedMolecule.from_smiles(smiles)
        if molecule is None:
            return np.nan
        try:
            value = self.component.value(molecule)
        except Exception as error:  # RDKit raises many kinds; one molecule must not stop a run
            log_failure(self.name, smiles, f"{type(error).__name__}: {error}")
            return np.nan
        if not np.isfinite(value):
            log_failure(self.name, smiles, f"the value is {value}")
            return np.nan
        return value

    def components(self, smiles: Sequence[str]) -> dict[str, FloatArray]:
        smiles = as_list(smiles)
        if not isinstance(self.component, Objective):
            return {self.component.label: self(smiles)}
        reports = [self._parts(each) for each in smiles]
        labels = dict.fromkeys(label for report in reports for label in report)
        return {label: np.array([report.get(label, np.nan) for report in reports]) for label in labels}

    def _parts(self, smiles: str) -> dict[str, float]:
        molecule = ParsedMolecule.from_smiles(smiles)
        if molecule is None or not isinstance(self.component, Objective):
            return {}
        try:
            return self.component.parts(molecule)
        except Exception as error:
            log_failure(self.name, smiles, f"{type(error).__name__}: {error}")
            return {}
