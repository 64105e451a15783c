"""Are the oracles equal to the original implementations, and how much faster?

    python -m pipelines.benchmark_oracles --reference oracle_reference.csv.gz

First the largest difference in every column that has an oracle. Then the molecules per second of CPU time, SMILES in,
of the 20 PMO tasks on one core, beside the two original ways of computing them. GuacaMol and TDC cannot be installed
beside a current RDKit, so `original_tasks` does what their code does, call for call: a second sanitisation after each
parse, a fresh parse for each part, the legacy fingerprint functions, and in TDC SciPy's masked geometric mean. All are
timed in the same run, in turns, the best of several rounds counts; the figures of the real packages on another machine
stand beside.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from rdkit import Chem, DataStructs
from rdkit.Chem import QED, AllChem, Descriptors, rdMolDescriptors
from rdkit.Chem.Pharm2D import Generate, Gobbi_Pharm2D
from scipy.stats.mstats import gmean

from molvae.cli.faults import run_script
from molvae.core.files import write_json
from molvae.core.tables import find_columns
from molvae.oracles import PMO_TASKS, oracle
from molvae.oracles.components import ElementCount, Isomer, Property, Similarity, Substructure, parse_formula
from molvae.oracles.guacamol import TASKS, task
from molvae.oracles.objective import Objective
from molvae.oracles.properties import PROPERTIES

# Molecules per second of CPU time of the original packages (TDC, GuacaMol), one core of another machine.
PUBLISHED: dict[str, tuple[int, int]] = {
    "celecoxib_rediscovery": (8006, 7850),
    "troglitazone_rediscovery": (8212, 7802),
    "thiothixene_rediscovery": (8184, 7578),
    "albuterol_similarity": (4579, 4518),
    "mestranol_similarity": (5243, 6041),
    "isomers_c7h8n2o2": (832, 1566),
    "isomers_c9h10n2o2pf2cl": (706, 968),
    "median1": (2304, 3919),
    "median2": (2313, 3735),
    "osimertinib_mpo": (798, 1245),
    "fexofenadine_mpo": (1454, 1719),
    "ranolazine_mpo": (1046, 1359),
    "perindopril_mpo": (1901, 4265),
    "amlodipine_mpo": (2330, 4196),
    "sitagliptin_mpo": (600, 754),
    "zaleplon_mpo": (821, 1302),
    "valsartan_smarts": (1387, 1203),
    "deco_hop": (199, 178),
    "scaffold_hop": (179, 179),
    "qed": (1004, 1128),
}
SLOW = ("deco_hop", "scaffold_hop")
COLUMNS = {"sa": "misc_sa_rdkit_contrib", "np": "misc_np_score"}

Score = Callable[[str], float]


# --------------------------------------------------------------------------------------------------- the original way


def parse(smiles: str) -> Chem.Mol:
    """Both packages sanitise again what MolFromSmiles has sanitised."""
    mol = Chem.MolFromSmiles(smiles)
    Chem.SanitizeMol(mol)
    return mol


def pharmacophores(mol: Chem.Mol) -> Any:
    return Generate.Gen2DFingerprint(mol, Gobbi_Pharm2D.factory)


LEGACY_FINGERPRINTS: dict[str, Callable[[Chem.Mol], Any]] = {
    "ECFP4": lambda mol: AllChem.GetMorganFingerprint(mol, 2),  # type: ignore[attr-defined]
    "ECFP6": lambda mol: AllChem.GetMorganFingerprint(mol, 3),  # type: ignore[attr-defined]
    "FCFP4": lambda mol: AllChem.GetMorganFingerprint(mol, 2, useFeatures=True),  # type: ignore[attr-defined]
    "AP": lambda mol: AllChem.GetAtomPairFingerprint(mol, maxLength=10),  # type: ignore[attr-defined]
    "PHCO": pharmacophores,
}
ORIGINAL_DESCRIPTORS: dict[str, Callable[[Chem.Mol], float]] = {
    "logp": Descriptors.MolLogP,  # type: ignore[attr-defined]
    "tpsa": Descriptors.TPSA,  # type: ignore[attr-defined]
    "bertz": Descriptors.BertzCT,  # type: ignore[attr-defined]
    "rings": rdMolDescriptors.CalcNumRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "qed": QED.qed,
}


def count_element(element: str, mol: Chem.Mol) -> int:
    mol = Chem.AddHs(mol) if element == "H" else mol
    return sum(1 for atom in mol.GetAtoms() if atom.GetSymbol() == element)


def count_all(mol: Chem.Mol) -> int:
    return Chem.AddHs(mol).GetNumAtoms()


def gaussian(x: float, mean: float, sd: float) -> float:
    return float(np.exp(-0.5 * np.power((x - mean) / sd, 2.0)))


def isomer_counts(formula: str) -> list[tuple[Callable[[Chem.Mol], int], float, float]]:
    """What is counted for a formula, with centre and width."""
    wanted = parse_formula(formula)
    counts: list[tuple[Callable[[Chem.Mol], int], float, float]] = [
        (partial(count_element, element), n, 1.0) for element, n in wanted.items()
    ]
    return [*counts, (count_all, wanted.total(), 2.0)]


@cache
def target_fingerprint(component: Similarity) -> Any:
    return LEGACY_FINGERPRINTS[component.fingerprint](parse(component.target))


def part(component: Any, mol: Chem.Mol) -> float:
    """One raw value on a molecule, by the calls that the originals make."""
    if isinstance(component, Similarity):
        fingerprint = LEGACY_FINGERPRINTS[component.fingerprint](mol)
        return DataStructs.TanimotoSimilarity(target_fingerprint(component), fingerprint)
    if isinstance(component, Property):
        return ORIGINAL_DESCRIPTORS[component.name](mol)
    if isinstance(component, ElementCount):
        return count_element(component.symbol, mol)
    assert isinstance(component, Substructure)
    return float((len(mol.GetSubstructMatches(compiled(component.pattern))) > 0) == component.present)


@cache
def compiled(pattern: str) -> Chem.Mol:
    return Chem.MolFromSmarts(pattern)


def mean_of_tdc(objective: Objective, values: list[float]) -> float:
    if len(values) == 1:
        return values[0]
    return float(np.mean(values) if objective.aggregation == "arithmetic" else gmean(values))


def mean_of_guacamol(objective: Objective, values: list[float]) -> float:
    if objective.aggregation == "arithmetic":
        return float(np.array(values).sum() / len(values))
    return float(np.prod(np.array(values)) ** (1 / len(values)))


def as_tdc(name: str, objective: Objective, smiles: str) -> float:
    """TDC: a parse for each fingerprint and isomer term, one for the rest; a median task shares its fingerprint."""
    shared: Chem.Mol | None = None
    one_parse = name in SLOW or name.startswith("median") or len(objective.terms) == 1
    values = []
    for term in objective.terms:
        component = term.component
        if isinstance(component, Isomer):
            mol = parse(smiles)
            raw = float(gmean([gaussian(count(mol), mean, sd) for count, mean, sd in isomer_counts(component.formula)]))
        elif name.startswith("median"):
            assert isinstance(component, Similarity)
            if shared is None:
                shared = LEGACY_FINGERPRINTS[component.fingerprint](parse(smiles))
            raw = DataStructs.TanimotoSimilarity(target_fingerprint(component), shared)
        elif isinstance(component, Similarity) and not one_parse:
            raw = part(component, parse(smiles))
        else:
            shared = parse(smiles) if shared is None else shared
            raw = part(component, shared)
        values.append(float(term.modifier(raw)))
    return mean_of_tdc(objective, values)


def as_guacamol(objective: Objective, smiles: str) -> float:
    """GuacaMol: one parse for each part, and for each element of a formula."""
    values = []
    for term in objective.terms:
        if isinstance(term.component, Isomer):
            counts = isomer_counts(term.component.formula)
            raw = mean_of_guacamol(objective, [gaussian(count(parse(smiles)), mean, sd) for count, mean, sd in counts])
        else:
            raw = part(term.component, parse(smiles))
        values.append(float(term.modifier(raw)))
    return mean_of_guacamol(objective, values)


def original_tasks(name: str) -> tuple[Score, Score]:
    """A task as TDC and as GuacaMol compute it."""
    return partial(as_tdc, name, task(name)), partial(as_guacamol, task(name))


# --------------------------------------------------------------------------------------------------------- measuring


def differences(reference: pd.DataFrame) -> dict[str, float]:
    """Largest absolute difference from the reference, column by column."""
    smiles = reference.smiles.tolist()
    found: dict[str, float] = {}
    for name in [*TASKS, *PROPERTIES]:
        columns = [name, f"tdc_{name}", COLUMNS.get(name, f"misc_{name}")]
        present = [column for column in columns if column in reference]
        if present:
            values = oracle(name)(smiles)
            for column in present:
                found[column] = float(np.abs(values - reference[column]).max(skipna=False))
    return found


def speeds(smiles: list[str], names: tuple[str, ...], rounds: int) -> dict[str, tuple[float, float, float]]:
    """Molecules per second of CPU time: ours, TDC's way, GuacaMol's way; the best of `rounds` taken in turns."""
    result = {}
    for name in names:
        ours = oracle(name)
        tdc, guacamol = original_tasks(name)
        few = smiles[: max(1, len(smiles) // 8)] if name in SLOW else smiles
        contenders: list[tuple[Callable[[], Any], int]] = [
            (partial(ours, smiles), len(smiles)),
            (lambda few=few, tdc=tdc: [tdc(each) for each in few], len(few)),  # type: ignore[misc]
            (lambda few=few, guacamol=guacamol: [guacamol(each) for each in few], len(few)),  # type: ignore[misc]
        ]
        ours(smiles[:20])  # compile patterns and tables
        best = [0.0, 0.0, 0.0]
        for _ in range(rounds):
            for index, (run, n) in enumerate(contenders):
                start = time.process_time()
                run()
                best[index] = max(best[index], n / (time.process_time() - start))
        result[name] = (best[0], best[1], best[2])
        check = [abs(a - b) for a, b in zip(ours(few[:20]), map(tdc, few[:20]), strict=True)]
        check += [abs(a - b) for a, b in zip(ours(few[:20]), map(guacamol, few[:20]), strict=True)]
        assert max(check) < 1e-9, f"{name}: the re-implementation computes something else"
    return result


def print_speeds(measured: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    """The table, and the median ratios."""
    print(
        f"\n{'molecules/s of one core':28s} {'molvae':>8s} {'TDC':>7s} {'x':>5s} {'GuacaMol':>9s} {'x':>5s}   published"
    )
    for name, (ours, tdc, guacamol) in measured.items():
        published = "{} / {}".format(*PUBLISHED[name])
        ratios = f"{ours:8.0f} {tdc:7.0f} {ours / tdc:5.1f} {guacamol:9.0f} {ours / guacamol:5.1f}"
        print(f"{name:28s} {ratios}   {published}")
    medians = {
        "median_ratio_to_tdc": median(ours / tdc for ours, tdc, _ in measured.values()),
        "median_ratio_to_guacamol": median(ours / guacamol for ours, _, guacamol in measured.values()),
    }
    print("median over the tasks: {:.2f} x TDC's way, {:.2f} x GuacaMol's way".format(*medians.values()))
    return medians


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="oracle_reference.csv(.gz): smiles and values")
    parser.add_argument("--molecules", type=int, default=400, help="molecules to time with (default 400)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the fastest counts (default 3)")
    parser.add_argument("--tasks", nargs="*", default=PMO_TASKS, help="tasks to time (default all 20; none: no timing)")
    parser.add_argument("--out", type=Path, help="also write the numbers as JSON")
    args = parser.parse_args(arguments)
    [column] = find_columns(args.reference, ["smiles"])
    reference = pd.read_csv(args.reference).rename(columns={column: "smiles"})
    found = differences(reference)
    print(f"largest difference from the reference, {len(reference)} molecules")
    for column, value in found.items():
        print(f"  {column:44s} {value:.1e}")
    print(f"largest of all {len(found)} columns: {max(found.values()):.1e}")
    results: dict[str, Any] = {"largest_difference": found}
    if args.tasks:
        measured = speeds(reference.smiles.tolist()[: args.molecules], tuple(args.tasks), args.rounds)
        results |= print_speeds(measured)
        results["molecules_per_second"] = {
            name: dict(zip(("molvae", "tdc_way", "guacamol_way"), values, strict=True))
            for name, values in measured.items()
        }
    if args.out:
        write_json(args.out, results)


if __name__ == "__main__":
    sys.exit(run_script(main))
