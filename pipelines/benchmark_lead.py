"""How far can penalised logP be raised near to a given molecule? The constrained optimisation of JT-VAE.

    python -m pipelines.benchmark_lead jtvae_opt_logP_SA.csv.gz --n 10
    python -m pipelines.benchmark_lead jtvae_opt_logP_SA.csv.gz --budget 200 --delta 0.4 0.6

For each of the 800 molecules one search that begins with it alone, with `--budget` oracle calls (the molecule itself is
the first), among molecules whose Tanimoto similarity to it is at least delta. Score: Crippen logP - synthetic
accessibility, without a ring term, as in the code of JT-VAE (`molopt/optimize.py`) and in the labels of its file.
Similarity: Morgan radius 2; `--counts` compares unfolded counts, as that code does, in place of 2,048 bits. No proposal
has more heavy atoms than the largest molecule of ZINC250k (`--largest`), since the score grows with every carbon.

An improvement is the best score found minus the molecule's own; a molecule that was not improved counts with 0 in the
mean over all, and is left out of the mean over successes. Searches go to processes of one thread each, which load the
model once; a finished search is a row of the CSV file, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pandas as pd

from molvae.cli.faults import run_script
from molvae.core.devices import usable_cpus
from molvae.core.errors import DataError
from molvae.core.tables import column_names, read_rows
from pipelines.rows import completed, packed, unpacked

if TYPE_CHECKING:
    from molvae.search.config import OptimiseConfig
    from molvae.search.latent import LatentModel

OBJECTIVE = "logp_sa"


@dataclass(frozen=True)
class Published:
    """A line of a published table: improvement (mean, std), similarity (mean, std), success rate."""

    method: str
    delta: float
    improvement: tuple[float, float]
    similarity: tuple[float, float]
    success: float
    source: str


JT_VAE, GCPN = "Jin et al. 2018, arXiv:1802.04364", "You et al. 2018, arXiv:1806.02473"
PUBLISHED = (
    Published("JT-VAE", 0.4, (0.84, 1.45), (0.51, 0.10), 0.836, JT_VAE),
    Published("GCPN", 0.4, (2.49, 1.30), (0.47, 0.08), 1.0, GCPN),
    Published("JT-VAE", 0.6, (0.21, 0.71), (0.69, 0.06), 0.464, JT_VAE),
    Published("GCPN", 0.6, (0.79, 0.63), (0.68, 0.08), 1.0, GCPN),
)


@dataclass(frozen=True)
class Job:
    """One search: the method's config, a lead, what similarity it asks for, and how much it may spend."""

    method: str
    overrides: str
    smiles: str
    delta: float
    fingerprint: str
    budget: int
    seed: int


@dataclass(frozen=True)
class Row(Job):
    """What came of it: the lead's score, the best one found near to it and its similarity, calls, wall time."""

    score: float
    best_score: float
    best: str
    similarity: float
    calls: int
    seconds: float

    @property
    def improvement(self) -> float:
        """How much better the best is, 0 where it is the lead itself."""
        return self.best_score - self.score


def run_job(job: Job) -> Row:
    """Run one search; called in a process of its own."""
    from rdkit import Chem

    from molvae.chem.molecules import canonical
    from molvae.oracles import oracle
    from molvae.search.constraints import SimilaritySpec
    from molvae.search.ledger import Ledger
    from molvae.search.loop import run_search
    from molvae.search.plan import needs_model, plan
    from molvae.search.start import StartSpec

    lead = canonical(job.smiles) or job.smiles
    counts = job.fingerprint == "counts"
    near = SimilaritySpec(target=lead, low=job.delta, counts=counts, folded=not counts)
    config = _config(job.method, job.overrides)
    start = StartSpec(smiles=(lead,), neighbours=config.search.start.neighbours)
    spec = config.search.model_copy(update={"start": start, "constraints": (near,)})
    load = partial(_model, config.weights, config.device)
    if needs_model(config.method, spec, with_start=True):
        load()  # in each process once, which is not the time of a search
    began = time.perf_counter()
    planned = plan(config.method, spec, oracle(OBJECTIVE), job.seed, load)
    result = run_search(
        planned.search,
        planned.scorer,
        Ledger(),
        budget=job.budget,
        batch_size=spec.batch_size,
        constraints=planned.rules,
    )
    best = result.best_records(1)[0]
    return Row(
        **asdict(job),
        score=result.records[0].value,
        best_score=best.value,
        best=best.smiles,
        similarity=near.build().similarity(Chem.MolFromSmiles(best.smiles)),
        calls=len(result.records),
        seconds=round(time.perf_counter() - began, 3),
    )


@cache
def _config(method: str, overrides: str) -> OptimiseConfig:
    """The config, read once in each process."""
    from molvae.core.config import load_config
    from molvae.search.config import OptimiseConfig

    changes = [f"oracle={{kind='named', name='{OBJECTIVE}'}}", *unpacked(overrides)]
    return load_config(method, OptimiseConfig, changes)


@cache
def _model(weights: str, device: str) -> LatentModel:
    """The model, read once in each process."""
    import torch

    from molvae.search.build import load_model

    torch.set_num_threads(1)
    return load_model(weights, device)


def jobs(args: argparse.Namespace) -> Iterator[Job]:
    """All searches asked for."""
    overrides = packed([*args.set, f"search.largest={args.largest}"])
    fingerprint = "counts" if args.counts else "bits"
    leads = list(islice(read_leads(args.file, args.column, args.part), args.n))
    for delta in args.delta:
        for smiles in leads:
            yield Job(args.method, overrides, smiles, delta, fingerprint, args.budget, args.seed)


def read_leads(file: Path, column: str, part: str) -> Iterator[str]:
    """The molecules of a file; where it has a column `part`, those of one part."""
    parted = part and "part" in column_names(file)
    for row in read_rows(file, [column, "part"] if parted else [column]):
        if not parted or row.cells[1] == part:
            yield row.cells[0]


def summary(rows: Sequence[Row]) -> pd.DataFrame:
    """A line for each method, delta, fingerprint and budget: means and population standard deviations, success rate,
    and heavy atoms (medians) of the molecules to be improved and of the best found."""
    frame = pd.DataFrame([asdict(row) | {"improvement": row.improvement} for row in rows])
    lines = []
    for (method, delta, kind, budget), group in frame.groupby(["method", "delta", "fingerprint", "budget"], sort=False):
        better = group[group["improvement"] > 0]
        lines.append(
            {
                "method": Path(method).stem,
                "delta": delta,
                "similarity on": kind,
                "calls": budget,
                "molecules": len(group),
                "improvement": _spread(group["improvement"]),
                "of successes": _spread(better["improvement"]),
                "similarity": _spread(better["similarity"]),
                "success": len(better) / len(group),
                "heavy atoms": f"{_heavy_atoms(group['smiles']):.0f} to {_heavy_atoms(group['best']):.0f}",
                "seconds each": group["seconds"].mean(),
            }
        )
    return pd.DataFrame(lines)


def published() -> pd.DataFrame:
    """What others have published, in the columns of `summary` that are known."""
    return pd.DataFrame(
        {
            "method": p.method,
            "delta": p.delta,
            "molecules": 800,
            "improvement": "{:.2f} +- {:.2f}".format(*p.improvement),
            "similarity": "{:.2f} +- {:.2f}".format(*p.similarity),
            "success": p.success,
            "source": p.source,
        }
        for p in PUBLISHED
    )


def _heavy_atoms(smiles: pd.Series[str]) -> float:
    """Median over molecules."""
    from rdkit import Chem

    return median(Chem.MolFromSmiles(each).GetNumHeavyAtoms() for each in smiles)


def _spread(values: pd.Series[float]) -> str:
    return f"{values.mean():.2f} +- {values.std(ddof=0):.2f}" if len(values) else "-"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run what is not there yet, print the tables; returns 1 where a search failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="molecules to improve, one search for each")
    parser.add_argument("--column", default="smiles")
    parser.add_argument("--part", default="test", help="of a file with a column `part`; the 800 molecules are its test")
    parser.add_argument("--n", type=int, help="only the first n")
    parser.add_argument("--budget", type=int, default=200, help="oracle calls for each molecule")
    parser.add_argument("--delta", nargs="+", type=float, default=[0.4, 0.6], help="least similarity")
    parser.add_argument("--largest", type=int, default=38, help="heavy atoms of a proposal, at most")
    parser.add_argument("--counts", action="store_true", help="similarity on unfolded counts instead of 2,048 bits")
    parser.add_argument("--method", default="configs/lead.toml", metavar="CONFIG")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the config")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=usable_cpus())
    parser.add_argument("--out", type=Path, default=Path("runs/lead"), help="folder for results.csv")
    args = parser.parse_args(arguments)
    table, wanted = args.out / "results.csv", list(jobs(args))
    if not wanted:
        raise DataError(f"{args.file}: no molecules to improve; expected some in the part {args.part!r}")
    if rows := completed(run_job, wanted, table, Job, Row, args.processes, shown=["improvement"]):
        print(summary(rows).to_string(index=False, float_format="{:.3f}".format))
    print(f"\nPublished:\n{published().to_string(index=False, float_format='{:.3f}'.format)}")
    return int(len(rows) < len(wanted))


if __name__ == "__main__":
    sys.exit(run_script(main))
