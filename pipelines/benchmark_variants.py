"""What are the model's variants worth? Train each for as many epochs on the same molecules, and measure them alike.

    python -m pipelines.benchmark_variants configs/variants.toml --data downloads/zinc250k.csv.gz

A variant is a training config with some settings changed. Measured on molecules of the test split: exact
reconstruction; rate, ELBO and IWAE(64) in nats per molecule; latent dimensions in use; and, of molecules decoded from
draws of the prior at temperature 1, the share that are radicals (which ZINC has none of), the similarity to the nearest
test molecule (SNN), the fragments' cosine and the distance of the SA score's distribution, as MOSES defines them.

Stop it at any moment; the same command goes on. A measured variant is a row of the CSV file, and is not measured again
unless something that the row names has changed. Variants go to processes of one thread each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

import pandas as pd

from molvae.cli.faults import run_script
from molvae.core.config import Spec, did_you_mean, load_config
from molvae.core.devices import usable_cpus
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import MANIFEST, read_json, sha256_file, sha256_text
from molvae.core.tables import read_split
from pipelines.rows import completed, markdown, packed, unpacked


class Study(Spec):
    """Variants of one training config.

    Attributes:
        config: what is varied, a file for `molvae train`.
        overrides: "key=value", for all variants.
        variants: the further overrides of each, by name.
    """

    schema_version: Literal[1] = 1
    config: Path
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    variants: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Job:
    """One model to train, by config, everything changed in it, and seed; and to measure, on how many molecules of which
    file (the beginning of its sha256) and on how many draws of the prior."""

    variant: str
    config: str
    overrides: str
    seed: int
    data: str
    n_test: int
    n_samples: int


@dataclass(frozen=True)
class Row(Job):
    """What it was found to be; the units are those of this module's text."""

    parameters: int
    reconstruction: float
    rate: float
    elbo: float
    iwae: float
    active: int
    radicals: float
    snn: float
    fragments: float
    sa_distance: float
    training_seconds: float


def run_job(job: Job, data: Path, runs: Path) -> Row:
    """Train and measure one variant; called in a process of its own.

    The run directory is named after everything that is configured: runs that differ in the number of epochs alone
    would go on with each other's weights.
    """
    from molvae.training.config import TrainConfig
    from molvae.training.trainer import train

    changes = ["threads=1", *unpacked(job.overrides), f"seed={job.seed}"]
    config = load_config(job.config, TrainConfig, changes)
    directory = runs / f"{job.variant}-{job.seed}-{sha256_text(config.model_dump_json())[:8]}"
    model = train(config, directory)
    seconds = read_json(directory / MANIFEST)["seconds"]
    return measured(job, model, list(islice(read_split(data, "smiles", "test"), job.n_test)), seconds)


def measured(job: Job, model: Path, test: list[str], seconds: float) -> Row:
    """The row of a trained model.

    Raises:
        DataError: there are no test molecules, or the model's prior spells none.
    """
    from molvae.chem.molecules import has_radicals, parse
    from molvae.evaluation.distribution import compare
    from molvae.evaluation.likelihood import evaluate
    from molvae.generation import load

    vae = load(model, "cpu")
    found = evaluate(vae, test, seed=job.seed)
    drawn = vae.decode(vae.prior(job.n_samples, job.seed), temperature=1.0, rng=job.seed)
    valid = [(smiles, mol) for smiles in drawn if smiles is not None and (mol := parse(smiles)) is not None]
    likeness = compare(drawn, test)
    return Row(
        **asdict(job),
        parameters=sum(weight.numel() for weight in vae.network.parameters()),
        reconstruction=found.reconstruction,
        rate=found.rate_nats,
        elbo=found.elbo_nats,
        iwae=found.iwae_nats,
        active=found.active_units,
        radicals=sum(has_radicals(mol, smiles) for smiles, mol in valid) / len(valid),
        snn=likeness.snn,
        fragments=likeness.fragments,
        sa_distance=likeness.wasserstein["sa"],
        training_seconds=round(seconds, 1),
    )


def jobs(
    study: Study, only: Sequence[str], overrides: Sequence[str], data: str, n_test: int, n_samples: int
) -> Iterator[Job]:
    """All models asked for.

    Raises:
        ConfigError: there is no variant of that name.
    """
    for name in only:
        if name not in study.variants:
            known = ", ".join(study.variants)
            raise ConfigError(f"no variant {name!r}{did_you_mean(name, list(study.variants))} (there are: {known})")
    for seed in study.seeds:
        for name in only or study.variants:
            changes = packed([*study.overrides, *study.variants[name], *overrides])
            yield Job(name, study.config.as_posix(), changes, seed, data, n_test, n_samples)


def table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each variant, means over the seeds."""
    frame = pd.DataFrame([asdict(row) for row in rows])
    lines = []
    for name, group in frame.groupby("variant", sort=False):
        mean = group.mean(numeric_only=True)
        lines.append(
            {
                "variant": name,
                "exact, %": f"{100 * mean.reconstruction:.1f}",
                "rate": f"{mean.rate:.1f}",
                "ELBO": f"{mean.elbo:.1f}",
                "IWAE(64)": f"{mean.iwae:.1f}",
                "in use": f"{mean.active:.0f}",
                "radicals, %": f"{100 * mean.radicals:.1f}",
                "SNN": f"{mean.snn:.3f}",
                "fragments": f"{mean.fragments:.3f}",
                "SA distance": f"{mean.sa_distance:.2f}",
                "hours": f"{mean.training_seconds / 3600:.2f}",
            }
        )
    return markdown([*lines[0]], ([*map(str, line.values())] for line in lines)).rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, train and measure what is not there yet, print the table; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="a TOML file such as configs/variants.toml")
    parser.add_argument("--data", type=Path, required=True, help="file with the columns smiles and split")
    parser.add_argument("--only", nargs="+", default=[], metavar="VARIANT", help="only these")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all variants; repeat")
    parser.add_argument("--test", type=int, default=2000, help="test molecules (default 2000)")
    parser.add_argument("--samples", type=int, default=1000, help="draws of the prior (default 1000)")
    parser.add_argument("--processes", type=int, default=usable_cpus())
    parser.add_argument("--runs", type=Path, default=Path("runs/variants"), help="where the models are kept")
    parser.add_argument("--out", type=Path, default=Path("data/results/variants.csv"), help="a row for each model")
    args = parser.parse_args(arguments)
    if next(read_split(args.data, "smiles", "test"), None) is None:
        raise DataError(f"{args.data}: no row has 'test' in the column 'split'")
    data = f"sha256 {sha256_file(args.data)[:12]}"  # digits alone would come back from the CSV file as a number
    wanted = list(jobs(load_config(args.study, Study), args.only, args.set, data, args.test, args.samples))
    work = partial(run_job, data=args.data, runs=args.runs)
    if rows := completed(work, wanted, args.out, Job, Row, args.processes, jobs_each=1):
        print(table(rows))
    return int(len(rows) < len(wanted))


if __name__ == "__main__":
    sys.exit(run_script(main))
