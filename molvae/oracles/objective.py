"""An objective: components, a desirability for each, one mean, and constraints; and the oracle that evaluates one.

    score = mean(modifier_k(component_k(molecule)), weights) * all(constraints)

An objective is data (a frozen model, composable in TOML); GuacaMol's suite is a table of them. A component may itself
be an objective.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Protocol, final

import numpy as np
from pydantic import Field

from molvae.chem.reading import as_list
from molvae.core.config import Spec
from molvae.core.tables import in_chunks
from molvae.oracles.components import (
    Catalogue,
    Constraint,
    ElementCount,
    External,
    Isomer,
    Property,
    Similarity,
    Substructure,
    Substructures,
    Window,
)
from molvae.oracles.desirability import Aggregation, Identity, Modifier, join
from molvae.oracles.oracle import FloatArray, Oracle, distinct, forget_oldest, log_failure
from molvae.oracles.parsed import ParsedMolecule

DESIRABILITY = ": desirability"  # ending of a name: the desirability of that component
_HELD_AT_ONCE = 1_000  # molecules kept in memory while an external program works on them


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
        for term in self._cheapest_first:
            parts.append(term.desirability(molecule))
            if parts[-1] == 0.0 and self.aggregation != "arithmetic":
                return 0.0
        if len(parts) == 1 and self.aggregation != "product":
            return parts[0]
        return join(parts, self.aggregation, [term.weight for term in self._cheapest_first])

    @cached_property
    def _cheapest_first(self) -> tuple[Term, ...]:
        """External programs last: a part that is 0 makes them needless."""
        return tuple(sorted(self.terms, key=lambda term: isinstance(term.component, External)))

    def external(self) -> list[External]:
        """The external programs among the terms."""
        nested = [term.component for term in self.terms]
        found = [part for part in nested if isinstance(part, External)]
        return found + [each for part in nested if isinstance(part, Objective) for each in part.external()]

    def has_a_chance(self, molecule: ParsedMolecule) -> bool:
        """Whether the score is still open without what external programs say."""
        if not all(constraint.value(molecule) for constraint in self.constraints):
            return False
        here = (term for term in self.terms if not isinstance(term.component, External | Objective))
        return self.aggregation == "arithmetic" or all(term.desirability(molecule) != 0.0 for term in here)

    @cached_property
    def part_names(self) -> tuple[str, ...]:
        """What `parts` reports: every label, and as "label: desirability" what became of its value."""
        labels = distinct([part.label for part in (*self.terms, *self.constraints)])
        names = []
        for label, term in zip(labels, self.terms, strict=False):
            names += [label] if isinstance(term.modifier, Identity) else [label, label + DESIRABILITY]
        return (*names, *labels[len(self.terms) :])

    def parts(self, molecule: ParsedMolecule) -> list[float]:
        """Every raw value, what became of it, and whether the constraints are met, (K,) as `part_names` says."""
        values = []
        for term in self.terms:
            values.append(term.component.value(molecule))
            if not isinstance(term.modifier, Identity):
                values.append(float(term.modifier(values[-1])))
        return values + [constraint.value(molecule) for constraint in self.constraints]


AnyComponent = Annotated[
    Property
    | Similarity
    | Substructure
    | Substructures
    | Isomer
    | ElementCount
    | Catalogue
    | Window
    | External
    | Objective,
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
        external = component.external() if isinstance(component, Objective) else []
        self._told: dict[External, dict[str, float]] = {program: {} for program in external}  # by SMILES

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        smiles = as_list(smiles)
        for told in self._told.values():
            for each in smiles:
                told.pop(each, None)  # who scores a molecule again asks the program again; `components` does not
        return np.array([self._score(molecule) for molecule in self._prepared(smiles, ask=True)], dtype=float)

    def _prepared(self, smiles: list[str], ask: bool) -> Iterator[ParsedMolecule | None]:
        """The molecules, with what external programs have told, or are asked now, of those whose other parts leave them
        a chance."""
        for chunk in in_chunks(smiles, _HELD_AT_ONCE if self._told else 1):
            molecules = [ParsedMolecule.from_smiles(each) for each in chunk]
            chances = {each: self._has_a_chance(each) for each in molecules if each is not None} if self._told else {}
            for program, told in self._told.items():
                if ask:
                    hopeful = [molecule.smiles for molecule, chance in chances.items() if chance]
                    told.update(program.ask([each for each in hopeful if each not in told]))
                program.prepare(chances, told)
                forget_oldest(told)
            yield from molecules

    def _has_a_chance(self, molecule: ParsedMolecule) -> bool:
        try:
            return isinstance(self.component, Objective) and self.component.has_a_chance(molecule)
        except Exception:  # will be met, and logged, when it is scored
            return False

    def _score(self, molecule: ParsedMolecule | None) -> float:
        if molecule is None:
            return np.nan
        smiles = molecule.smiles
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
        names = self.component.part_names
        rows = [self._parts(self.component, molecule) for molecule in self._prepared(smiles, ask=False)]
        return dict(zip(names, np.array(rows, dtype=float).reshape(len(smiles), len(names)).T, strict=True))

    def _parts(self, objective: Objective, molecule: ParsedMolecule | None) -> list[float]:
        failed = [np.nan] * len(objective.part_names)
        if molecule is None:
            return failed
        try:
            return objective.parts(molecule)
        except Exception as error:
            log_failure(self.name, molecule.smiles, f"{type(error).__name__}: {error}")
            return failed

    @property
    def programs(self) -> list[External]:
        """The external programs that it asks."""
        return list(self._told)

    def close(self) -> None:
        for program in self._told:
            program.close()
