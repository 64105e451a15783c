"""How generated molecules, as a set, compare with reference molecules: the metrics of MOSES.

| metric | definition here (that of MOSES) |
|---|---|
| validity | share of all strings that RDKit parses |
| uniqueness | distinct canonical isomeric SMILES among the valid ones, as a share of these |
| novelty | share of the distinct ones that are not among the training molecules |
| internal_diversity | 1 - mean Tanimoto similarity over all ordered pairs, each molecule with itself included |
| internal_diversity_2 | 1 - mean over molecules of the root mean square similarity to the set |
| snn | mean over generated molecules of the similarity to the nearest reference molecule |
| fragments, scaffolds | cosine of the counts of BRICS fragments and of Bemis-Murcko scaffolds (of two rings or more) |
| logP, sa, qed, weight | Wasserstein-1 distance of the property's distributions, in its own unit |

Similarities are Tanimoto on Morgan fingerprints of radius 2, folded to 1,024 *bits*. TDC's and GuacaMol's metrics of
the same names are others (TDC counts the invalid strings in uniqueness, leaves self-pairs out of diversity and takes
2,048 bits; GuacaMol drops stereo), so numbers of different sources must not be mixed. FCD is not here: it needs a
trained network of others, and depends strongly on the sample size.

Reference:
    Polykovskiy et al. Frontiers in Pharmacology 11, 565644 (2020), section 3; code at github.com/molecularsets/moses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rdkit import Chem
from rdkit.Chem import AllChem, Crippen, rdFingerprintGenerator
from rdkit.Chem.Scaffolds import MurckoScaffold
from scipy.stats import wasserstein_distance

from molvae.chem.descriptors import molecular_weight, sa_score
from molvae.chem.molecules import parse
from molvae.chem.qed import qed
from molvae.core.errors import DataError

CITATION = "Polykovskiy et al., Molecular Sets (MOSES), Frontiers in Pharmacology 11, 565644 (2020)"
BITS, RADIUS = 1024, 2
MIN_SCAFFOLD_RINGS = 2
ROWS_AT_ONCE = 1024  # rows of a similarity matrix held in memory

Bits = np.ndarray[Any, np.dtype[np.float32]]
PROPERTIES: dict[str, Callable[[Chem.Mol], float]] = {
    "logP": Crippen.MolLogP,  # type: ignore[attr-defined]
    "sa": sa_score,
    "qed": qed,
    "weight": molecular_weight,
}


@dataclass(frozen=True)
class Distribution:
    """What `compare` measures; see the table of this module. Shares are 0..1; nan where there is nothing to compare."""

    n_generated: int
    n_valid: int
    validity: float
    uniqueness: float
    novelty: float
    internal_diversity: float
    internal_diversity_2: float
    snn: float
    fragments: float
    scaffolds: float
    wasserstein: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; None stands for nan."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def compare(
    generated: Sequence[str | None], reference: Sequence[str], train: Iterable[str] | None = None
) -> Distribution:
    """Compare generated molecules with reference molecules.

    Args:
        generated: SMILES as generated; None and what does not parse count as invalid, repetitions are kept.
        reference: held-out molecules.
        train: molecules for novelty, the reference where None; canonicalised here, which MOSES does not.

    Raises:
        DataError: no generated, or no reference molecule is valid.
    """
    mols = [mol for smiles in generated if smiles is not None and (mol := parse(smiles)) is not None]
    others = [mol for smiles in reference if (mol := parse(smiles)) is not None]
    if not mols or not others:
        which = "generated" if not mols else "reference"
        raise DataError(f"none of the {which} molecules is valid; expected SMILES")
    smiles = [Chem.MolToSmiles(mol) for mol in mols]
    known = {Chem.MolToSmiles(mol) for mol in others} if train is None else _canonical(train)
    distinct = set(smiles)
    bits, other_bits = fingerprints(mols), fingerprints(others)
    first, second = internal_diversity(bits)
    return Distribution(
        n_generated=len(generated),
        n_valid=len(mols),
        validity=len(mols) / len(generated),
        uniqueness=len(distinct) / len(smiles),
        novelty=len(distinct - known) / len(distinct),
        internal_diversity=first,
        internal_diversity_2=second,
        snn=nearest_similarity(bits, other_bits),
        fragments=cosine(brics_fragments(mols), brics_fragments(others)),
        scaffolds=cosine(scaffolds(mols), scaffolds(others)),
        wasserstein={
            name: float(wasserstein_distance([value(m) for m in mols], [value(m) for m in others]))
            for name, value in PROPERTIES.items()
        },
    )


def _canonical(smiles: Iterable[str]) -> set[str]:
    return {Chem.MolToSmiles(mol) for s in smiles if (mol := parse(s)) is not None}


# --- similarity -------------------------------------------------------------------------------------------------------


def fingerprints(mols: Sequence[Chem.Mol]) -> Bits:
    """Morgan fingerprints of radius 2, (N, 1024), 0 or 1."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    found: Bits = np.zeros((len(mols), BITS), dtype=np.float32)
    for row, mol in zip(found, mols, strict=True):
        row[:] = generator.GetFingerprintAsNumPy(mol)
    return found


def _tanimoto(a: Bits, b: Bits) -> Bits:
    """Similarities (N, M) of fingerprints (N, F) and (M, F); 1 for two empty ones."""
    common = a @ b.T
    union = a.sum(1)[:, None] + b.sum(1) - common
    similarity: Bits = np.divide(common, union, out=np.ones_like(common), where=union > 0)
    return similarity


def internal_diversity(bits: Bits) -> tuple[float, float]:
    """IntDiv and IntDiv2 of fingerprints (N, F)."""
    total, roots = 0.0, 0.0
    for start in range(0, len(bits), ROWS_AT_ONCE):
        similarity = _tanimoto(bits[start : start + ROWS_AT_ONCE], bits).astype(np.float64)
        total += similarity.mean(1).sum()
        roots += np.sqrt((similarity**2).mean(1)).sum()
    return float(1 - total / len(bits)), float(1 - roots / len(bits))


def nearest_similarity(bits: Bits, others: Bits) -> float:
    """Mean similarity (SNN) of each of bits (N, F) to the nearest of others (M, F)."""
    starts = range(0, len(bits), ROWS_AT_ONCE)
    return float(np.concatenate([_tanimoto(bits[i : i + ROWS_AT_ONCE], others).max(1) for i in starts]).mean())


# --- pieces -----------------------------------------------------------------------------------------------------------


def brics_fragments(mols: Iterable[Chem.Mol]) -> Counter[str]:
    """Counts of BRICS fragments, open ends labelled (Degen et al. 2008, doi:10.1002/cmdc.200800178)."""
    counts: Counter[str] = Counter()
    for mol in mols:
        counts.update(Chem.MolToSmiles(AllChem.FragmentOnBRICSBonds(mol)).split("."))  # type: ignore[attr-defined]
    return counts


def scaffolds(mols: Iterable[Chem.Mol]) -> Counter[str]:
    """Counts of Bemis-Murcko scaffolds with at least two rings (Bemis and Murcko 1996, doi:10.1021/jm9602928)."""
    counts: Counter[str] = Counter()
    for mol in mols:
        scaffold = MurckoScaffold.GetScaffoldForMol(mol)
        if scaffold.GetRingInfo().NumRings() >= MIN_SCAFFOLD_RINGS:
            counts[Chem.MolToSmiles(scaffold)] += 1
    return counts


def cosine(a: Mapping[str, int], b: Mapping[str, int]) -> float:
    """Cosine of two count vectors; nan where one of them is empty."""
    norm = np.sqrt(sum(n * n for n in a.values())) * np.sqrt(sum(n * n for n in b.values()))
    return float(sum(n * b.get(key, 0) for key, n in a.items()) / norm) if norm else float("nan")
