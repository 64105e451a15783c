"""Constraints on molecules: catalogues of structural alerts, windows on properties, required and forbidden
substructures, similarity to a molecule.

A filter answers with the reasons for which it refuses a molecule; no reason means that the molecule passes.

References: Baell, Holloway. J. Med. Chem. 53, 2719 (2010): PAINS. Brenk et al. ChemMedChem 3, 435 (2008): BRENK.
Jadhav et al. J. Med. Chem. 53, 37 (2010) and Doveston et al. Org. Biomol. Chem. 13, 859 (2015): NIH. CHEMBL: the eight
alert sets of ChEMBL (Glaxo, Dundee, BMS, SureChEMBL, MLSMR, Inpharmatica, LINT, PAINS-like).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import final

from rdkit import Chem, DataStructs
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molvae.chem.descriptors import DESCRIPTORS, known_descriptor
from molvae.chem.fingerprints import FingerprintKind, fingerprint, generator, similarity_to
from molvae.chem.molecules import parse
from molvae.core.bounds import just_above, just_below
from molvae.core.config import did_you_mean
from molvae.core.errors import ConfigError

CATALOGUES: tuple[str, ...] = tuple(sorted(name for name in FilterCatalogParams.FilterCatalogs.names if name != "ALL"))


@cache
def query(smarts: str) -> Chem.Mol:
    """A compiled SMARTS pattern.

    Raises:
        ConfigError: it is no valid SMARTS.
    """
    pattern = Chem.MolFromSmarts(smarts) if smarts.strip() else None
    if pattern is None:
        raise ConfigError(f"expected a SMARTS pattern, got {smarts!r}, which RDKit cannot read")
    return pattern


class Filter(ABC):
    """A yes-or-no demand on a molecule that can say why."""

    @abstractmethod
    def reasons(self, mol: Chem.Mol) -> list[str]:
        """Why `mol` is refused; empty where it passes."""

    def __call__(self, mol: Chem.Mol) -> bool:
        return not self.reasons(mol)


@cache
def _catalogue(names: tuple[str, ...]) -> FilterCatalog:
    parameters = FilterCatalogParams()
    for name in names:
        if name not in CATALOGUES:
            raise ConfigError(
                f"unknown filter catalogue {name!r}{did_you_mean(name, CATALOGUES)} (choices: {', '.join(CATALOGUES)})"
            )
        parameters.AddCatalog(FilterCatalogParams.FilterCatalogs.names[name])
    return FilterCatalog(parameters)


@final
@dataclass(frozen=True)
class CatalogueFilter(Filter):
    """No alert of the named RDKit catalogues (see `CATALOGUES`) may match.

    >>> CatalogueFilter(("BRENK",)).reasons(Chem.MolFromSmiles("CCN=[N+]=[N-]"))
    ['Azido_group', 'diazo_group', 'quaternary_nitrogen_3']
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        _catalogue(self.names)

    def reasons(self, mol: Chem.Mol) -> list[str]:
        return [match.GetDescription() for match in _catalogue(self.names).GetMatches(mol)]

    def __call__(self, mol: Chem.Mol) -> bool:
        return not _catalogue(self.names).HasMatch(mol)


@final
@dataclass(frozen=True)
class PropertyWindow(Filter):
    """A descriptor, named in any case, within [low, high], in its own unit; None leaves an end open."""

    name: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "name", known_descriptor(self.name))
        except ValueError as error:
            raise ConfigError(f"{error} (choices: {', '.join(DESCRIPTORS)})") from None
        if self.low is None and self.high is None:
            raise ConfigError(f"a window on {self.name} needs low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ConfigError(f"a window on {self.name} has low {self.low:g} above high {self.high:g}")

    def reasons(self, mol: Chem.Mol) -> list[str]:
        return self.against(DESCRIPTORS[self.name](mol))

    def against(self, value: float) -> list[str]:
        """The reasons for a molecule whose descriptor is known."""
        if self.low is not None and not value >= just_below(self.low):
            return [f"{self.name} {value:.4g} < {self.low:g}"]
        if self.high is not None and not value <= just_above(self.high):
            return [f"{self.name} {value:.4g} > {self.high:g}"]
        return []


@final
@dataclass(frozen=True)
class SimilarityFilter(Filter):
    """Tanimoto similarity to the nearest of some molecules within [low, high].

    Args:
        target: SMILES of the molecule to compare with, or of several.
        low, high: from 0 to 1.
        kind: which fingerprint; the Morgan ones and atom pairs compare counts, or only presence where `counts` is off.
        folded: compare presence in 2,048 bits, which is a little larger than without folding (see `chem.fingerprints`).

    >>> SimilarityFilter("CCO", high=0.4).reasons(Chem.MolFromSmiles("CCCO"))
    ['similarity 0.5 > 0.4']
    """

    target: str | tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    kind: FingerprintKind = "ECFP4"
    counts: bool = True
    folded: bool = False

    def __post_init__(self) -> None:
        for smiles in self.targets:
            if parse(smiles) is None:
                raise ConfigError(f"expected the SMILES of a molecule to be similar to, got {smiles!r}")
        if not self.targets:
            raise ConfigError("expected the SMILES of a molecule to be similar to, got none")
        if not 0 <= self.low <= self.high <= 1:
            raise ConfigError(f"expected 0 <= low <= high <= 1 for a similarity, got {self.low:g} and {self.high:g}")
        if self.folded and (self.counts or self.kind == "PHCO"):
            raise ConfigError(
                "only presence of Morgan environments or atom pairs is folded; set counts = false as well"
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """The molecules compared with."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def similarity(self, mol: Chem.Mol) -> float:
        """Similarity to the nearest target, 0 to 1."""
        return max(compare(mol) for compare in self._compared)

    def reasons(self, mol: Chem.Mol) -> list[str]:
        value = self.similarity(mol)
        if value < self.low:
            return [f"similarity {value:.4g} < {self.low:g}"]
        return [f"similarity {value:.4g} > {self.high:g}"] if value > self.high else []

    @cached_property
    def _compared(self) -> list[Callable[[Chem.Mol], float]]:
        return [self._to(Chem.MolFromSmiles(smiles)) for smiles in self.targets]

    def _to(self, target: Chem.Mol) -> Callable[[Chem.Mol], float]:
        if self.counts or self.kind == "PHCO":
            compare = similarity_to(target, self.kind)
            return lambda mol: compare(fingerprint(mol, self.kind))
        make = generator(self.kind).GetFingerprint if self.folded else generator(self.kind).GetSparseFingerprint
        reference = make(target)
        return lambda mol: float(DataStructs.TanimotoSimilarity(make(mol), reference))


@final
@dataclass(frozen=True)
class SubstructureFilter(Filter):
    """Every required SMARTS must match, no forbidden one may."""

    required: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for smarts in (*self.required, *self.forbidden):
            query(smarts)

    def reasons(self, mol: Chem.Mol) -> list[str]:
        missing = [f"lacks {smarts}" for smarts in self.required if not mol.HasSubstructMatch(query(smarts))]
        return missing + [f"has {smarts}" for smarts in self.forbidden if mol.HasSubstructMatch(query(smarts))]
