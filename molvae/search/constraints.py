"""Constraints in a config: what is known of a molecule without calling the oracle, and what only an oracle can tell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field
from rdkit import Chem

from molvae.chem.filters import CatalogueFilter, Filter, PropertyWindow, SimilarityFilter, SubstructureFilter
from molvae.chem.fingerprints import FingerprintKind
from molvae.chem.molecules import parse
from molvae.core.config import Spec
from molvae.core.errors import ConfigError
from molvae.oracles.oracle import Oracle
from molvae.oracles.told import ToldSpec, telling
from molvae.search.lead import LeadConstraint, ScaffoldSpec
from molvae.search.ledger import Record
from molvae.search.outcomes import Window


class WindowSpec(Spec):
    """A property within bounds, in its own unit."""

    kind: Literal["window"] = "window"
    name: str
    low: float | None = None
    high: float | None = None

    def model_post_init(self, _: object) -> None:
        self.build()

    def build(self) -> Filter:
        return PropertyWindow(self.name, self.low, self.high)


class AlertsSpec(Spec):
    """No structural alert of the named catalogues."""

    kind: Literal["alerts"] = "alerts"
    catalogues: Annotated[tuple[str, ...], Field(min_length=1)]

    def model_post_init(self, _: object) -> None:
        self.build()

    @property
    def name(self) -> str:
        """What the constraint is called in the ledger."""
        return "+".join(self.catalogues)

    def build(self) -> Filter:
        return CatalogueFilter(self.catalogues)


class SubstructuresSpec(Spec):
    """Required and forbidden substructures."""

    kind: Literal["substructures"] = "substructures"
    name: str = "substructures"
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def model_post_init(self, _: object) -> None:
        if not (self.required or self.forbidden):
            raise ConfigError("substructures need required, forbidden or both: SMARTS patterns")
        self.build()

    def build(self) -> Filter:
        return SubstructureFilter(self.required, self.forbidden)


class SimilaritySpec(LeadConstraint):
    """Tanimoto similarity to a molecule, or to the nearest of several, between two bounds."""

    kind: Literal["similarity"] = "similarity"
    name: str = "similarity"
    low: float = Field(0.0, ge=0, le=1)
    high: float = Field(1.0, ge=0, le=1)
    fingerprint: FingerprintKind = "ECFP4"
    counts: bool = Field(True, description="compare counts; false: presence only, as with bit fingerprints")
    folded: bool = Field(False, description="with counts = false: presence in 2,048 bits")

    def model_post_init(self, _: object) -> None:
        self._around(self.targets or ("C",))  # those of the search's start come later

    def build(self) -> SimilarityFilter:
        return self._around(self.targets)

    def _around(self, targets: tuple[str, ...]) -> SimilarityFilter:
        return SimilarityFilter(targets, self.low, self.high, self.fingerprint, self.counts, self.folded)


class OracleConstraintSpec(ToldSpec):
    """What an oracle says must lie in a window; proposals are judged by a model of it (`feasibility`).

    Either another oracle, or a component that the search's own oracle reports (`molvae optimise` lists them as columns
    `component:...`). The oracle turns no sign here: the window is in the unit it answers in.
    """

    kind: Literal["oracle"] = "oracle"
    low: float | None = None
    high: float | None = None

    def model_post_init(self, _: object) -> None:
        Window(self.low, self.high)


ConstraintSpec = Annotated[
    WindowSpec | AlertsSpec | SubstructuresSpec | SimilaritySpec | ScaffoldSpec | OracleConstraintSpec,
    Field(discriminator="kind"),
]


@dataclass(frozen=True)
class Constraints:
    """All constraints of a search, by name.

    Attributes:
        filters: what is known without the oracle; no proposal breaks one.
        windows: of what only an oracle tells; its last columns hold these values.
    """

    filters: Mapping[str, Filter] = field(default_factory=dict)
    windows: Mapping[str, Window] = field(default_factory=dict)

    def met_by(self, mol: Chem.Mol) -> bool:
        """Whether a molecule breaks none of those known without the oracle."""
        return all(passes(mol) for passes in self.filters.values())

    def broken(self, smiles: str) -> dict[str, float]:
        """How many reasons each filter has against a molecule."""
        mol = parse(smiles) if self.filters else None
        return {name: float(len(f.reasons(mol))) for name, f in self.filters.items()} if mol is not None else {}

    def record(self, row: Sequence[float], broken: Mapping[str, float], **about: Any) -> Record:
        """The record of a molecule scored.

        Args:
            row: what the oracle told, objectives first.
            broken: what the filters have against it.
            about: the other fields of the record.
        """
        n = len(row) - len(self.windows)
        several = n > 1
        outcomes = dict(zip(self.windows, row[n:], strict=True))
        outside = {name: self.windows[name].excess(value) for name, value in outcomes.items()}
        return Record(
            value=math.nan if several else row[0],
            objectives=list(row[:n]) if several else [],
            outcomes=outcomes,
            constraints={**broken, **outside},
            **about,
        )


NONE = Constraints()


def build_constraints(specs: tuple[ConstraintSpec, ...], oracle: Oracle) -> tuple[Constraints, Oracle]:
    """The constraints, and the oracle that tells objectives and constrained values side by side.

    Raises:
        ConfigError: two constraints have one name, or one is impossible.
    """
    names = [spec.name for spec in specs]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise ConfigError(f"search.constraints: the name {twice[0]!r} is used twice; give each its own")
    filters = {spec.name: spec.build() for spec in specs if not isinstance(spec, OracleConstraintSpec)}
    told = told_by_oracles(specs)
    return Constraints(filters, {spec.name: Window(spec.low, spec.high) for spec in told}), telling(oracle, told)


def asked_apart(specs: tuple[ConstraintSpec, ...]) -> list[str]:
    """The names of constraints that an oracle of their own tells."""
    return [spec.name for spec in told_by_oracles(specs) if spec.oracle is not None]


def told_by_oracles(specs: tuple[ConstraintSpec, ...]) -> list[OracleConstraintSpec]:
    """The constraints that only an oracle can tell, in the order of the oracle's last columns."""
    return [spec for spec in specs if isinstance(spec, OracleConstraintSpec)]
