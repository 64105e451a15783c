"""Numbers that describe one molecule: properties, counts, and the composite scores made of them.

Every function takes an RDKit molecule as it was parsed (implicit hydrogens, all fragments, charges kept) and returns a
float; `DESCRIPTORS` is the table of all of them by name.

References:
    Wildman, Crippen. J. Chem. Inf. Comput. Sci. 39, 868 (1999): logP and molar refractivity.
    Ertl, Rohde, Selzer. J. Med. Chem. 43, 3714 (2000): TPSA.
    Bickerton et al. Nature Chemistry 4, 90 (2012): QED.
    Ertl, Schuffenhauer. J. Cheminf. 1, 8 (2009): SA score.
    Ertl, Roggo, Schuffenhauer. J. Chem. Inf. Model. 48, 68 (2008): NP score.
"""

from __future__ import annotations

import gzip
import math
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, pstdev
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from rdkit import Chem, RDConfig
from rdkit.Chem import Crippen, Descriptors, rdMolDescriptors

from molvae.chem.crippen import logp
from molvae.chem.fingerprints import generator
from molvae.chem.qed import qed
from molvae.core.config import did_you_mean, in_any_case
from molvae.core.errors import DataError


def molar_refractivity(mol: Chem.Mol) -> float:
    """Molar refractivity by Crippen's atom contributions, cm^3/mol."""
    return Crippen.MolMR(mol)  # type: ignore[attr-defined]


def tpsa(mol: Chem.Mol) -> float:
    """Topological polar surface area of N and O, square angstrom."""
    return rdMolDescriptors.CalcTPSA(mol)


def molecular_weight(mol: Chem.Mol) -> float:
    """Average molecular weight, g/mol."""
    return Descriptors.MolWt(mol)  # type: ignore[attr-defined]


def bertz(mol: Chem.Mol) -> float:
    """Bertz's complexity index, no unit."""
    return Descriptors.BertzCT(mol)  # type: ignore[attr-defined]


_ELEMENT_IN_FORMULA = re.compile(r"([A-Z][a-z]?|\*)(\d*)")  # the star is a dummy atom


def element_counts(mol: Chem.Mol) -> Counter[str]:
    """Atoms of each element, hydrogens included; every fragment counts, deuterium counts as H.

    >>> sorted(element_counts(Chem.MolFromSmiles("CCO")).items())
    [('C', 2), ('H', 6), ('O', 1)]
    """
    counts: Counter[str] = Counter()
    for symbol, count in _ELEMENT_IN_FORMULA.findall(rdMolDescriptors.CalcMolFormula(mol)):
        counts[symbol] += int(count or 1)
    return counts


# ------------------------------------------------------------------------------------------ synthetic accessibility, NP


class _NumbersOnly(pickle.Unpickler):
    """Reads RDKit's own score tables, pickles of lists and dictionaries of numbers, and refuses anything else."""

    def find_class(self, module: str, name: str) -> Any:
        raise DataError(
            f"expected a table of numbers in RDKit's Contrib folder, found {module}.{name}; reinstall rdkit"
        )


def _read_contrib(relative: str) -> Any:
    path = Path(RDConfig.RDContribDir) / relative
    if not path.is_file():
        raise DataError(f"RDKit's table {path} is missing; install rdkit from PyPI or conda-forge, which ship it")
    with gzip.open(path) as handle:
        return _NumbersOnly(handle).load()


@cache
def _sa_fragment_scores() -> dict[int, float]:
    rows = _read_contrib("SA_Score/fpscores.pkl.gz")  # [[score, id, id, ...], ...]
    return {identifier: float(row[0]) for row in rows for identifier in row[1:]}


@cache
def _np_fragment_scores() -> Mapping[int, float]:
    return _read_contrib("NP_Score/publicnp.model.gz")


def sa_score(mol: Chem.Mol) -> float:
    """Synthetic accessibility, 1 (easy) to 10 (hard): lower is easier. Equal to RDKit Contrib's `sascorer`.

    RDKit's version differs from the paper in the macrocycle term and in the symmetry correction; this follows RDKit's.
    """
    table = _sa_fragment_scores()
    environments = generator("ECFP4").GetSparseCountFingerprint(mol).GetNonzeroElements()
    n_environments = sum(environments.values())
    if not n_environments:
        return math.nan
    fragments = 0.0
    for identifier, count in environments.items():
        fragments += table.get(identifier, -4) * count
    fragments /= n_environments

    n_atoms = mol.GetNumAtoms()
    Chem.AssignStereochemistry(mol, cleanIt=True, force=True, flagPossibleStereoCenters=True)
    centres = rdMolDescriptors.CalcNumAtomStereoCenters(mol)  # FindMolChiralCenters, without its loop in Python
    complexity = (
        -(n_atoms**1.005 - n_atoms)
        - math.log10(centres + 1)
        - math.log10(rdMolDescriptors.CalcNumSpiroAtoms(mol) + 1)
        - math.log10(rdMolDescriptors.CalcNumBridgeheadAtoms(mol) + 1)
    )
    if any(len(ring) > 8 for ring in mol.GetRingInfo().AtomRings()):
        complexity -= math.log10(2)
    symmetry = math.log(n_atoms / len(environments)) * 0.5 if n_atoms > len(environments) else 0.0

    score = 11.0 - (fragments + complexity + symmetry + 4.0 + 1) / 6.5 * 9.0
    if score > 8.0:
        score = 8.0 + math.log(score + 1.0 - 9.0)
    return min(10.0, max(1.0, score))


def np_score(mol: Chem.Mol) -> float:
    """Natural-product likeness, about -5 (synthetic) to 5 (natural product). Equal to RDKit Contrib's `npscorer`."""
    table = _np_fragment_scores()
    score = 0.0
    for identifier in generator("ECFP4").GetSparseCountFingerprint(mol).GetNonzeroElements():
        score += table.get(identifier, 0.0)
    score /= mol.GetNumAtoms()
    if score > 4:
        return 4.0 + math.log10(score - 4.0 + 1.0)
    return -4.0 - math.log10(-4.0 - score + 1.0) if score < -4 else score


# ----------------------------------------------------------------------------------------------------------- big rings


def longest_basis_cycle(mol: Chem.Mol) -> int:
    """Length of the longest cycle of the basis that `networkx.cycle_basis` gives for the adjacency matrix; 0 if
    acyclic.

    That basis comes from a spanning tree and is *not* the smallest set of smallest rings: the number depends on the
    order of the atoms, hence on how the SMILES is written. It is here because the published penalised-logP values use
    it.
    """
    neighbours = [sorted([n.GetIdx() for n in atom.GetNeighbors()]) for atom in mol.GetAtoms()]
    unseen = dict.fromkeys(range(len(neighbours)))
    longest = 0
    while unseen:
        root = unseen.popitem()[0]
        parent, used, stack = {root: root}, {root: set[int]()}, [root]
        while stack:
            node = stack.pop()
            for other in neighbours[node]:
                if other not in used:
                    parent[other] = node
                    stack.append(other)
                    used[other] = {node}
                elif other not in used[node]:
                    length, step = 3, parent[node]
                    while step not in used[other]:
                        length, step = length + 1, parent[step]
                    longest = max(longest, length)
                    used[other].add(node)
        for node in parent:
            unseen.pop(node, None)
    return longest


def cycle_penalty(mol: Chem.Mol) -> float:
    """Atoms by which the longest cycle of the spanning-tree basis exceeds 6 (see `longest_basis_cycle`)."""
    return float(max(0, longest_basis_cycle(mol) - 6)) if mol.GetRingInfo().NumRings() else 0.0


def sssr_penalty(mol: Chem.Mol) -> float:
    """Atoms by which the largest ring of the smallest set of smallest rings exceeds 6; whatever the atom order."""
    return float(max(0, max((len(ring) for ring in mol.GetRingInfo().AtomRings()), default=0) - 6))


# ------------------------------------------------------------------------------------------------------ penalised logP


@dataclass(frozen=True)
class PenalisedLogP:
    """Sum of three terms, (L - l) / s_l + (-SA - a) / s_a + (-c - b) / s_b, with L logP and c a big-ring penalty.

    The literature uses at least six definitions under this one name; numbers of one do not compare with numbers of
    another.

    Attributes:
        logp, sa, ring: mean and standard deviation of L, -SA and -c; (0, 1) leaves the term as it is.
        penalty: c. "nx" is the longest cycle of a spanning-tree basis, as written in the SMILES, "sssr" the largest
            ring of the smallest set of smallest rings, "none" no such term.
    """

    logp: tuple[float, float] = (0.0, 1.0)
    sa: tuple[float, float] = (0.0, 1.0)
    ring: tuple[float, float] = (0.0, 1.0)
    penalty: Literal["nx", "sssr", "none"] = "sssr"

    def terms(self, mol: Chem.Mol) -> tuple[float, float, float]:
        """L, -SA and -c before scaling."""
        c = {"nx": cycle_penalty, "sssr": sssr_penalty, "none": lambda _: 0.0}[self.penalty](mol)
        return logp(mol), -sa_score(mol), -c

    def __call__(self, mol: Chem.Mol) -> float:
        scales = (self.logp, self.sa, self.ring)
        return sum((term - mean) / sd for term, (mean, sd) in zip(self.terms(mol), scales, strict=True))

    @classmethod
    def fitted(cls, mols: Iterable[Chem.Mol]) -> PenalisedLogP:
        """The definition of JT-VAE's `bo/` and of GVAE: mean and population standard deviation over a training set."""
        raw = cls(penalty="nx")
        columns = list(zip(*(raw.terms(mol) for mol in mols), strict=True))
        if not columns:
            raise DataError("penalised logP: no molecule to take the mean and standard deviation from")
        logp_scale, sa_scale, ring_scale = ((fmean(column), pstdev(column) or 1.0) for column in columns)
        return cls(logp_scale, sa_scale, ring_scale, penalty="nx")


PENALISED_LOGP: dict[str, PenalisedLogP] = {
    # You et al. NeurIPS 2018 (GCPN); also TDC, MARS, DoG-Gen. The one that most papers mean.
    "plogp_norm_gcpn": PenalisedLogP(
        logp=(2.4570953396190123, 1.434324401111988),
        sa=(-3.0525811293166134, 0.8335207024513095),
        ring=(-0.0485696876403053, 0.2860212110245455),
        penalty="nx",
    ),
    # Maus et al. NeurIPS 2022 (LOL-BO), Tripp et al. (GP-BO, weighted retraining).
    "plogp_norm_lolbo": PenalisedLogP(
        logp=(2.45777691, 1.43341767), sa=(-3.05352042, 0.83460587), ring=(-0.04861121, 0.28746695), penalty="nx"
    ),
    "plogp_unnorm_nx": PenalisedLogP(penalty="nx"),
    "plogp_unnorm_moldqn_sssr": PenalisedLogP(penalty="sssr"),  # Zhou et al. Sci. Rep. 9, 10752 (2019), MolDQN
    "logp_sa": PenalisedLogP(penalty="none"),  # Jin et al. ICML 2018: the "800 molecules" of constrained optimisation
}


# --------------------------------------------------------------------------------------------------------------- table

DESCRIPTORS: dict[str, Callable[[Chem.Mol], float]] = {
    "qed": qed,
    "sa": sa_score,
    "np": np_score,
    "logp": logp,
    "mr": molar_refractivity,
    "tpsa": tpsa,
    "mw": molecular_weight,
    "exact_mw": rdMolDescriptors.CalcExactMolWt,
    "bertz": bertz,
    "fsp3": rdMolDescriptors.CalcFractionCSP3,
    "hba": rdMolDescriptors.CalcNumHBA,
    "hbd": rdMolDescriptors.CalcNumHBD,
    "hba_lipinski": rdMolDescriptors.CalcNumLipinskiHBA,
    "hbd_lipinski": rdMolDescriptors.CalcNumLipinskiHBD,
    "rotatable_bonds": rdMolDescriptors.CalcNumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "heavy_atoms": lambda mol: mol.GetNumHeavyAtoms(),
    "fluorine_atoms": lambda mol: sum(atom.GetAtomicNum() == 9 for atom in mol.GetAtoms()),
    "formal_charge": Chem.GetFormalCharge,
    "cycle_penalty_nx": cycle_penalty,
    "cycle_penalty_sssr": sssr_penalty,
    **PENALISED_LOGP,
}


def known_descriptor(name: str) -> str:
    """A name, checked; one in another case as `DESCRIPTORS` has it.

    Raises:
        ValueError: there is no such descriptor.
    """
    known = in_any_case(name, DESCRIPTORS)
    if known is None:
        raise ValueError(f"unknown property {name!r}{did_you_mean(name, list(DESCRIPTORS))}")
    return known


@cache
def _elements() -> tuple[str, ...]:
    table = Chem.GetPeriodicTable()
    return tuple(table.GetElementSymbol(number) for number in range(1, table.GetMaxAtomicNumber() + 1))


def known_element(symbol: str) -> str:
    """The symbol of an element, checked; its case matters, as in SMILES ("Co" is cobalt, "CO" is two atoms).

    Raises:
        ValueError: there is no such element.
    """
    if symbol not in _elements():
        raise ValueError(f"unknown element {symbol!r}{did_you_mean(symbol, _elements())}")
    return symbol


DescriptorName = Annotated[str, AfterValidator(known_descriptor)]
ElementSymbol = Annotated[str, AfterValidator(known_element)]
