"""What an objective is made of: each component turns a parsed molecule into one raw number.

A component is configuration and computation in one: a frozen model that can be written in TOML, and `value(molecule)`.
Whatever is costly to prepare (a target's fingerprint, a compiled pattern) is made once for each process.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from molvae.chem.descriptors import DescriptorName, ElementSymbol, known_element
from molvae.chem.filters import CatalogueFilter, PropertyWindow, SubstructureFilter, query
from molvae.chem.fingerprints import FingerprintKind, similarity_to
from molvae.chem.molecules import parse
from molvae.core.config import Spec
from molvae.oracles.command import CommandOracle, Seconds
from molvae.oracles.parsed import ParsedMolecule


@cache
def _similarity(target: str, kind: FingerprintKind) -> Callable[[Any], float]:
    mol = parse(target)
    assert mol is not None  # `Similarity` has seen to it
    return similarity_to(mol, kind)


class Property(Spec):
    """A descriptor by name (`molvae oracles` lists them), in its own unit."""

    kind: Literal["property"] = "property"
    name: DescriptorName

    @property
    def label(self) -> str:
        return self.name

    def value(self, molecule: ParsedMolecule) -> float:
        return molecule.descriptor(self.name)


class Similarity(Spec):
    """Tanimoto similarity (0..1) to a target, on unfolded counts (PHCO: on bits)."""

    kind: Literal["similarity"] = "similarity"
    target: str
    fingerprint: FingerprintKind = "ECFP4"

    @field_validator("target")
    @classmethod
    def _parses(cls, target: str) -> str:
        if parse(target) is None:
            raise ValueError(f"{target!r} is not a valid SMILES")
        return target

    @property
    def label(self) -> str:
        return f"{self.fingerprint} similarity"

    def value(self, molecule: ParsedMolecule) -> float:
        return _similarity(self.target, self.fingerprint)(molecule.fingerprint(self.fingerprint))


class Substructure(Spec):
    """1 where the SMARTS matches (or, with present = false, where it does not), else 0."""

    kind: Literal["smarts"] = "smarts"
    pattern: str
    present: bool = True

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        query(pattern)
        return pattern

    @property
    def label(self) -> str:
        return f"{'has' if self.present else 'lacks'} {self.pattern}"

    def value(self, molecule: ParsedMolecule) -> float:
        found = molecule.once(("smarts", self.pattern), lambda mol: mol.HasSubstructMatch(query(self.pattern)))
        return float(found == self.present)


class ElementCount(Spec):
    """Number of atoms of one element; hydrogens count, implicit ones too."""

    kind: Literal["element"] = "element"
    symbol: ElementSymbol

    @property
    def label(self) -> str:
        return f"{self.symbol} atoms"

    def value(self, molecule: ParsedMolecule) -> float:
        return float(molecule.elements[self.symbol])


@cache
def parse_formula(formula: str) -> Counter[str]:
    """Atoms of each element in a molecular formula.

    >>> sorted(parse_formula("C9H10N2O2PF2Cl").items())
    [('C', 9), ('Cl', 1), ('F', 2), ('H', 10), ('N', 2), ('O', 2), ('P', 1)]

    Raises:
        ValueError: it is no formula, or names an element that does not exist.
    """
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    if not parts or "".join(symbol + count for symbol, count in parts) != formula:
        raise ValueError(f"{formula!r} is no molecular formula such as C7H8N2O2")
    counts: Counter[str] = Counter()
    for symbol, count in parts:
        counts[known_element(symbol)] += int(count or 1)
    return counts


class Isomer(Spec):
    """Closeness to a molecular formula, 0..1: GuacaMol's isomer score.

    One term Gaussian(count, 1) for each element of the formula and one Gaussian(all atoms, 2), joined by a mean.
    Elements that are not in the formula are penalised only through the number of all atoms.
    """

    kind: Literal["isomers"] = "isomers"
    formula: str
    aggregation: Literal["geometric", "arithmetic"] = "geometric"

    @field_validator("formula")
    @classmethod
    def _is_formula(cls, formula: str) -> str:
        parse_formula(formula)
        return formula

    @property
    def label(self) -> str:
        return f"isomer of {self.formula}"

    def value(self, molecule: ParsedMolecule) -> float:
        wanted, found = parse_formula(self.formula), molecule.elements
        squares = [float((found[symbol] - count) ** 2) for symbol, count in wanted.items()]
        squares.append((found.total() - wanted.total()) ** 2 / 4.0)
        if self.aggregation == "geometric":  # of Gaussians: the Gaussian of the mean square
            return math.exp(-0.5 * sum(squares) / len(squares))
        parts = [math.exp(-0.5 * square) for square in squares]
        return sum(parts) / len(parts)


class Catalogue(Spec):
    """1 where no structural alert of the named catalogues matches, else 0."""

    kind: Literal["catalogue"] = "catalogue"
    names: tuple[str, ...] = ("PAINS",)

    def model_post_init(self, _: object) -> None:
        CatalogueFilter(self.names)

    @property
    def label(self) -> str:
        return f"free of {'/'.join(self.names)}"

    def value(self, molecule: ParsedMolecule) -> float:
        return float(CatalogueFilter(self.names)(molecule.mol))


class Window(Spec):
    """1 where a property lies in [low, high] (either end may be left out), else 0."""

    kind: Literal["window"] = "window"
    name: DescriptorName
    low: float | None = None
    high: float | None = None

    def model_post_init(self, _: object) -> None:
        PropertyWindow(self.name, self.low, self.high)

    @property
    def label(self) -> str:
        return f"{self.name} in [{self.low}, {self.high}]"

    def value(self, molecule: ParsedMolecule) -> float:
        window = PropertyWindow(self.name, self.low, self.high)
        return float(not window.against(molecule.descriptor(self.name)))


class Substructures(Spec):
    """1 where every required SMARTS matches and no forbidden one does, else 0."""

    kind: Literal["substructures"] = "substructures"
    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def model_post_init(self, _: object) -> None:
        SubstructureFilter(self.required, self.forbidden)

    @property
    def label(self) -> str:
        return "substructures"

    def value(self, molecule: ParsedMolecule) -> float:
        return float(SubstructureFilter(self.required, self.forbidden)(molecule.mol))


@cache
def _running(component: External) -> CommandOracle:
    return CommandOracle(**component.model_dump(exclude={"kind"}))


class External(Spec):
    """The value of an external program (contract: `oracles/command.py`), such as a docking score, as one part of many.

    The program is started for a whole batch, and only for molecules whose other parts leave them a chance.
    """

    kind: Literal["command"] = "command"
    command: tuple[str, ...]
    timeout_seconds: Seconds = 60.0
    name: str | None = None
    version: str = ""
    stderr_path: Path | None = None

    @property
    def label(self) -> str:
        return _running(self).name

    def value(self, molecule: ParsedMolecule) -> float:
        return molecule.once(self, lambda _: float(_running(self)([molecule.smiles])[0]))

    def ask(self, smiles: Sequence[str]) -> dict[str, float]:
        """What the program says of each, out of one start."""
        return dict(zip(smiles, map(float, _running(self)(smiles)), strict=True))

    def prepare(self, chances: Mapping[ParsedMolecule, bool], told: Mapping[str, float]) -> None:
        """Have all values ready: those told, by SMILES; that of a molecule without a chance is NaN."""
        for molecule, chance in chances.items():
            molecule.once(self, partial(_given, told.get(molecule.smiles, math.nan) if chance else math.nan))

    def close(self) -> None:
        """End the program where it runs."""
        _running(self).close()


def _given(value: float, _: object) -> float:
    return value


Constraint = Annotated[Catalogue | Window | Substructures | Substructure, Field(discriminator="kind")]
