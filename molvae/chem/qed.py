"""QED, the quantitative estimate of drug-likeness, without doing work twice.

Equal to `rdkit.Chem.QED.qed` with its default weights. RDKit's time goes into copying the molecule, into 116
structural alerts matched one by one, and into logP; here an alert is matched only if the molecule has what the alert
cannot do without (elements, a charge, some kinds of bond), which is read off the alert's own SMARTS. Constants,
desirability functions and alerts are RDKit's, taken at run time.

Reference: Bickerton et al. Nature Chemistry 4, 90 (2012).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from rdkit import Chem
from rdkit.Chem import QED, rdMolDescriptors

from molvae.chem.crippen import logp

_PERIODIC_TABLE = Chem.GetPeriodicTable()
_ELEMENTS = {_PERIODIC_TABLE.GetElementSymbol(number): number for number in range(1, 119)}
_NITROGEN_OR_OXYGEN = frozenset({7, 8})
_STRICT = rdMolDescriptors.NumRotatableBondsOptions.Strict


# --------------------------------------------------------------------------------- what an alert cannot do without


@dataclass(frozen=True)
class Needs:
    """Necessary conditions for a pattern to match.

    Attributes:
        elements: of each set, the molecule must have at least one element.
        features: keys of `_FEATURES` that the molecule must have.
    """

    elements: frozenset[frozenset[int]]
    features: frozenset[str]

    def met(self, elements: frozenset[int], features: dict[str, bool]) -> bool:
        """Whether a molecule with these elements and features may match."""
        return all(features[name] for name in self.features) and not any(map(elements.isdisjoint, self.elements))


_FEATURES = {
    "charge": "[!+0]",
    "isotope": "[!0*]",
    "triple": "*#*",
    "alkene": "[#6]=[#6]",
    "imine": "[#6]=[#7]",
    "neighbours": "[#7,#8]~[#7,#8]",
}
_CARBON, _NITROGEN = frozenset({6}), frozenset({7})


def _atom_tokens(smarts: str) -> Iterator[str]:
    """The atoms of a SMARTS pattern as they are written, brackets included."""
    position = 0
    while position < len(smarts):
        if smarts[position] == "[":
            end, depth = position + 1, 1
            while depth:
                depth += {"[": 1, "]": -1}.get(smarts[end], 0)
                end += 1
            yield smarts[position:end]
            position = end
            continue
        found = re.match(r"Cl|Br|[A-Za-z*]", smarts[position:])
        if found:
            yield found.group()
        position += len(found.group()) if found else 1


def _alternatives(token: str) -> Iterator[list[str]]:
    """The conditions of an atom that hold together, each a list of alternatives; none where they are nested."""
    if "$" not in token:
        for part in token.strip("[]").split(";"):
            yield part.split(",")


def _element(alternative: str) -> int | None:
    """Atomic number that an alternative such as "#6", "nX3R0", "Cl" or "CH2" asks for, if it asks for one."""
    bare = alternative.lstrip("0123456789")
    if found := re.match(r"#(\d+)", bare):
        return int(found.group(1))
    for symbol in (bare[:2].capitalize() if bare[1:2].islower() else "", bare[:1].upper()):
        if (
            symbol in _ELEMENTS
            and symbol not in ("H", "A", "R", "D", "X", "V")
            and bare[:1] not in ("v", "r", "x", "h")
        ):
            return _ELEMENTS[symbol]
    return None


def _needs(smarts: str, pattern: Chem.Mol) -> Needs:
    """What can be said for sure about a pattern; no more than that."""
    tokens = list(_atom_tokens(smarts))
    if len(tokens) != pattern.GetNumAtoms():
        return Needs(frozenset(), frozenset())
    elements: list[frozenset[int] | None] = []
    features = set()
    for token in tokens:
        allowed: frozenset[int] | None = None
        for alternatives in _alternatives(token):
            asked = [_element(each) for each in alternatives]
            if None not in asked:
                allowed = frozenset(number for number in asked if number is not None)
            if all(re.search(r"(?<!!)[+-](?!0)", each) for each in alternatives):
                features.add("charge")
            if all(re.match(r"[1-9]", each) for each in alternatives):
                features.add("isotope")
        elements.append(allowed)
    for bond in pattern.GetBonds():
        begin, end = elements[bond.GetBeginAtomIdx()], elements[bond.GetEndAtomIdx()]
        symbol = bond.GetSmarts()  # type: ignore[call-arg]  # RDKit's stubs count self as an argument
        if symbol == "#":
            features.add("triple")
        if symbol == "=" and {begin, end} == {_CARBON}:
            features.add("alkene")
        if symbol == "=" and {begin, end} == {_CARBON, _NITROGEN}:
            features.add("imine")
        if begin and end and begin <= _NITROGEN_OR_OXYGEN and end <= _NITROGEN_OR_OXYGEN:
            features.add("neighbours")
    wanted = frozenset(allowed for allowed in elements if allowed and 6 not in allowed)
    return Needs(wanted, frozenset(features))


@cache
def _feature_queries() -> dict[str, Chem.Mol]:
    return {name: Chem.MolFromSmarts(smarts) for name, smarts in _FEATURES.items()}


@cache
def _alerts_by_needs() -> tuple[tuple[Needs, tuple[Chem.Mol, ...]], ...]:
    grouped: dict[Needs, list[Chem.Mol]] = {}
    for smarts, alert in zip(QED.StructuralAlertSmarts, QED.StructuralAlerts, strict=True):
        grouped.setdefault(_needs(smarts, alert), []).append(alert)
    return tuple((needs, tuple(alerts)) for needs, alerts in grouped.items())


@cache
def _alerts_for(elements: frozenset[int], features: tuple[bool, ...]) -> tuple[Chem.Mol, ...]:
    """The alerts worth trying; molecules have few different combinations of elements and features."""
    present = dict(zip(_FEATURES, features, strict=True))
    return tuple(alert for needs, alerts in _alerts_by_needs() if needs.met(elements, present) for alert in alerts)


def count_alerts(mol: Chem.Mol) -> int:
    """Number of QED's structural alerts that match."""
    formula = rdMolDescriptors.CalcMolFormula(mol)
    elements = frozenset([_ELEMENTS[symbol] for symbol in re.findall(r"[A-Z][a-z]?", formula)])
    features = tuple([mol.HasSubstructMatch(query) for query in _feature_queries().values()])
    return sum([mol.HasSubstructMatch(alert) for alert in _alerts_for(elements, features)])


# -------------------------------------------------------------------------------------------------- the other parts


@cache
def _acceptors() -> tuple[Chem.Mol, ...]:
    """RDKit's acceptor patterns; those for neutral atoms exclude each other and are matched as one."""
    charged = [smarts for smarts in QED.AcceptorSmarts if "-;" in smarts]
    plain = [smarts for smarts in QED.AcceptorSmarts if smarts not in charged]
    one = "[" + ",".join(f"$({smarts})" for smarts in plain) + "]"
    return tuple(Chem.MolFromSmarts(smarts) for smarts in (one, *charged))


def count_aromatic_rings(mol: Chem.Mol) -> int:
    """Rings left without the aliphatic ring atoms that have a non-aromatic neighbour: QED's own count."""
    removed = {atom for (atom,) in mol.GetSubstructMatches(QED.AliphaticRings)}
    adjacency = Chem.GetAdjacencyMatrix(mol)
    if removed:
        kept = np.ones(len(adjacency), dtype=bool)
        kept[list(removed)] = False
        adjacency = adjacency[kept][:, kept]
    first, second = np.nonzero(adjacency)
    group = list(range(len(adjacency)))
    rings = 0
    for i, j in zip(first.tolist(), second.tolist(), strict=True):
        if i < j:  # a bond within one connected group closes a ring
            while group[i] != i:
                i = group[i]
            while group[j] != j:
                j = group[j]
            if i == j:
                rings += 1
            group[i] = j
    return rings


def qed(mol: Chem.Mol) -> float:
    """Drug-likeness, 0..1."""
    if mol.GetNumAtoms() != mol.GetNumHeavyAtoms():  # explicit hydrogens and dummies: RDKit removes the former first
        return QED.qed(mol)
    parts = QED.QEDproperties(
        MW=rdMolDescriptors._CalcMolWt(mol),
        ALOGP=logp(mol),
        HBA=sum([len(mol.GetSubstructMatches(pattern)) for pattern in _acceptors()]),
        HBD=rdMolDescriptors.CalcNumHBD(mol),
        PSA=rdMolDescriptors.CalcTPSA(mol),
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(mol, _STRICT),
        AROM=count_aromatic_rings(mol),
        ALERTS=count_alerts(mol),
    )
    return QED.qed(mol, qedProperties=parts)
