"""Lead optimisation: constraints that refer to the molecules a search begins with, and their latent neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np
from pydantic import Field

from molvae.chem.filters import Filter
from molvae.chem.molecules import canonical, parse
from molvae.chem.scaffolds import MURCKO, ScaffoldFilter
from molvae.core.config import Spec
from molvae.model.inversion import INVERSION
from molvae.search.latent import LatentModel, LatentSpace, Perturbation

ROUNDS = 10  # of sampling before fewer neighbours than wanted are taken
WIDTH = (0.3, 3.0)  # of the steps, in standard deviations of the lead's posterior


class LeadConstraint(Spec):
    """A constraint that refers to molecules: to those of `search.start.smiles` where it names none.

    Attributes:
        name: what the constraint is called in the ledger.
        target: SMILES, one or several, of which one is enough.
    """

    name: str
    target: str | tuple[str, ...] = Field((), description="SMILES of the molecule referred to, or of several")

    @property
    def targets(self) -> tuple[str, ...]:
        """The molecules meant."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def needs_target(self) -> bool:
        """Whether the constraint means nothing without a molecule to refer to."""
        return True


class ScaffoldSpec(LeadConstraint):
    """A scaffold that stays: a SMARTS, or "murcko" for that of the lead; see `ScaffoldFilter`."""

    kind: Literal["scaffold"] = "scaffold"
    name: str = "scaffold"
    scaffold: str = MURCKO
    stereo: bool = Field(False, description="whether its stereocentres stay as well")

    @property
    def needs_target(self) -> bool:
        return self.scaffold == MURCKO

    def build(self) -> Filter:
        return ScaffoldFilter(self.scaffold, self.targets if self.needs_target else (), self.stereo)


Constraint = TypeVar("Constraint", bound=LeadConstraint)


def with_targets(constraint: Constraint, start: Sequence[str]) -> Constraint:
    """The constraint on the start molecules, where it needs some to refer to and names none.

    Raises:
        ValueError: there are no start molecules to take, or none of them has the scaffold that is to stay.
    """
    if isinstance(constraint, ScaffoldSpec) and not constraint.needs_target and start:
        has_it = constraint.build()
        if not any(has_it(mol) for mol in map(parse, start) if mol is not None):
            raise ValueError(f"constraint {constraint.name!r}: none of search.start.smiles has {constraint.scaffold}")
    if constraint.targets or not constraint.needs_target:
        return constraint
    if not start:
        raise ValueError(f"constraint {constraint.name!r} names no molecule; set its `target`, or search.start.smiles")
    return constraint.model_copy(update={"target": tuple(start)})


def neighbourhood(model: LatentModel, leads: Sequence[str], n: int, rng: np.random.Generator) -> list[str]:
    """At most `n` distinct molecules decoded from around the leads' points, canonical, without the leads.

    Leads that the model cannot read have no neighbours; fewer come back where the decoder keeps saying the same.
    """
    mean, std = LatentSpace(model, INVERSION).posterior(list(leads))
    readable = np.flatnonzero(np.isfinite(mean).all(axis=1))
    found: dict[str, None] = {}
    for _ in range(ROUNDS if len(readable) else 0):
        rows = rng.choice(readable, size=(1, 2 * n))
        points = Perturbation(WIDTH).points(mean[rows], std[rows], rng).astype(np.float32)
        made = (canonical(s) for s in model.decode(points, rng=rng) if s is not None)
        found.update(dict.fromkeys(s for s in made if s is not None and s not in leads))
        if len(found) >= n:
            break
    return list(found)[:n]
