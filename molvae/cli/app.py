"""The verbs. Each one turns flags into a call of one function of the library and prints what came out.

Settings are taken from the defaults, then the file, then `--set key=value`, then flags: the later one wins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from molvae.cli.options import (
    Column,
    Config,
    Describe,
    Device,
    Fresh,
    Given,
    Model,
    OtherDevice,
    OtherSeed,
    RunDir,
    Seed,
    Sets,
    SplitKind,
)
from molvae.cli.pages import bring_up_to_date, leave_page

app = typer.Typer(
    name="molvae",
    help="A SELFIES sequence VAE, and Bayesian optimisation of molecules by latent proposals and edits.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
data_app = typer.Typer(help="Named public data sets: list them, fetch them.", no_args_is_help=True)
app.add_typer(data_app, name="data")


def version(show: bool) -> None:
    """Print the version and stop."""
    if show:
        from importlib.metadata import version as installed

        print(f"molvae {installed('molvae')}")
        raise typer.Exit


@app.callback()
def options(
    show: Annotated[bool, typer.Option("--version", callback=version, is_eager=True, help="the version")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="warnings and errors only on stderr")] = False,
) -> None:
    if quiet:
        import logging

        logging.getLogger("molvae").setLevel(logging.WARNING)


def overrides(sets: list[str] | None, **flags: Any) -> list[str]:
    """`--set` values, then the flags that were given, as overrides; "a__b" stands for the key a.b."""
    import json

    given = [(key.replace("__", "."), value) for key, value in flags.items() if value is not None]
    return [*(sets or []), *(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given)]


def _vocabulary_place(given: Path) -> Path:
    """What was given, where it exists; else the model of that name."""
    from molvae.model.checkpoint import model_directory

    return given if given.exists() else model_directory(given)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="the file to write, for instance mine.toml")],
    template: Annotated[str, typer.Option("--from", help="which shipped config to start from")] = "quickstart",
) -> None:
    """Write a commented config to start from."""
    from molvae.cli.templates import write_template

    command = write_template(template, path)
    print(f"wrote {path}; edit it, then run: {command}")


@app.command()
def prepare(
    inputs: Annotated[list[Path], typer.Argument(help=".smi, .csv, .tsv or .parquet files, plain or .gz")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the directory to write")],
    column: Column = None,
    split: Annotated[SplitKind | None, typer.Option(help="[default: random]")] = None,
    split_column: Annotated[str | None, typer.Option(help="column that names the split")] = None,
    properties: Annotated[list[str] | None, typer.Option("--property", help="numeric column; repeat")] = None,
    descriptors: Describe = None,
    vocabulary: Annotated[Path | None, typer.Option(help="model (a name, too) whose vocabulary to use")] = None,
    workers: Annotated[int | None, typer.Option(help="processes  [default: one for each CPU]", min=0)] = None,
    overwrite: Annotated[bool | None, typer.Option("--overwrite", help="replace what is there")] = None,
    sets: Sets = None,
) -> None:
    """Turn molecule files into training data.

    Filters, deduplicates, splits, and writes token shards; what was left out and why is counted and listed.
    """
    from molvae.core.config import load_config
    from molvae.data.prepare import PrepareConfig
    from molvae.data.prepare import prepare as prepare_files

    flags = overrides(
        sets,
        inputs=[str(path) for path in inputs],
        output=str(out),
        smiles_column=column,
        split__kind="column" if split_column else split,
        split__column=split_column,
        properties=properties or None,
        descriptors=descriptors or None,
        vocabulary=None if vocabulary is None else str(_vocabulary_place(vocabulary)),
        workers=workers,
        overwrite=overwrite,
    )
    print(prepare_files(load_config(None, PrepareConfig, flags)))


@app.command()
def train(
    config: Config,
    run_dir: RunDir = None,
    fresh: Fresh = False,
    seed: OtherSeed = None,
    device: OtherDevice = None,
    sets: Sets = None,
) -> None:
    """Train a model.

    The same command resumes a run that was stopped, in any way.
    """
    from molvae.core.config import load_config
    from molvae.training.config import TrainConfig
    from molvae.training.hardware import rank
    from molvae.training.trainer import train as train_model

    spec = load_config(config, TrainConfig, overrides(sets, seed=seed, device=device))
    directory = run_dir or Path("runs") / config.stem
    model = train_model(spec, directory, fresh=fresh)
    if rank() == 0:  # of the processes of torchrun only this one has written everything
        leave_page(directory)
        print(f"model: {model}")


@app.command()
def optimise(
    config: Config,
    run_dir: RunDir = None,
    fresh: Fresh = False,
    seed: OtherSeed = None,
    budget: Annotated[int | None, typer.Option(help="oracle calls  [default: that of the config]", min=1)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="score three molecules, and begin no run")] = False,
    device: OtherDevice = None,
    sets: Sets = None,
) -> None:
    """Search for molecules that score highly.

    Prints the ten best (of several objectives, the front) and writes a report page; the same command resumes a run that
    was stopped, in any way.
    """
    import os

    os.environ.setdefault("OMP_NUM_THREADS", "1")  # its matrices are small: a second thread gains nothing

    from molvae.cli.search_tables import print_rehearsal, print_result
    from molvae.core.config import load_config
    from molvae.core.errors import Interrupted
    from molvae.search.config import OptimiseConfig
    from molvae.search.plan import rehearse
    from molvae.search.run import run

    spec = load_config(config, OptimiseConfig, overrides(sets, seed=seed, search__budget=budget, device=device))
    if dry_run:
        print_rehearsal(*rehearse(spec), spec)
        return
    directory = run_dir or Path("runs") / config.stem
    try:
        result = run(spec, directory, fresh=fresh)
    except Interrupted:
        leave_page(directory)
        raise
    print_result(result, spec, directory)
    leave_page(directory)


@app.command()
def sample(
    n: Annotated[int, typer.Option("-n", help="how many molecules", min=1)] = 100,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="a .smi, .csv, .tsv or .parquet  [default: the terminal]")
    ] = None,
    model: Model = "zinc250k",
    temperature: Annotated[float, typer.Option(help="of decoding; 0 takes the likeliest token", min=0)] = 1.0,
    top_p: Annotated[float, typer.Option(help="draw only from tokens that hold this share", min=0, max=1)] = 1.0,
    given: Given = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Sample molecules from the prior.

    One SMILES a line; the same seed gives the same molecules, and repetitions are kept.
    """
    from molvae.cli.sampling import values_of, write_samples
    from molvae.generation import load

    values = values_of(given or [])
    vae = load(model, device=device)
    write_samples(vae.given(**values) if values else vae, n, temperature or None, top_p, seed, out)


@app.command()
def embed(
    source: Annotated[Path, typer.Argument(help=".smi, .csv, .tsv or .parquet file, plain or .gz")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the .parquet, .csv or .tsv to write")],
    column: Annotated[str, typer.Option(help="column of the SMILES, in any case")] = "smiles",
    keep: Annotated[list[str] | None, typer.Option(help="a column to carry over; repeat  [default: all]")] = None,
    model: Model = "zinc250k",
    fragments: Annotated[str | None, typer.Option(help="largest: of a salt or mixture, read the largest part")] = None,
    charges: Annotated[str | None, typer.Option(help="neutralise: add or remove protons where possible")] = None,
    device: Device = "auto",
) -> None:
    """Embed the molecules of a file.

    A row for each row of the input, in its order; what cannot be read is said in the column `error`.
    """
    from molvae.embedding import embed_file

    print(embed_file(source, out, column, keep, model, device, fragments, charges))  # type: ignore[arg-type]


@app.command()
def evaluate(
    source: Annotated[Path, typer.Argument(help="molecules that the model has not seen, or a prepared directory")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="a JSON file to write, too")] = None,
    model: Model = "zinc250k",
    column: Annotated[str, typer.Option(help="column of the SMILES, in any case")] = "smiles",
    split: Annotated[
        str | None, typer.Option(help="only rows with this in the column `split`, or this prepared split")
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="only the first n of them", min=1)] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure what a model keeps of molecules.

    Exact reconstruction, likelihood bounds in nats per molecule, and the use of the latent dimensions.
    """
    from molvae.cli.tables import print_table
    from molvae.core.files import write_json
    from molvae.evaluation.held_out import held_out
    from molvae.evaluation.likelihood import evaluate as measure
    from molvae.generation import load

    vae, molecules = held_out(load(model, device=device), source, column, split, n)
    result = measure(vae, molecules, seed=seed).as_dict()
    print_table(("measure", "value"), [(name, v) for name, v in result.items() if not isinstance(v, list)])
    if out is not None:  # last: what cannot be written is not to be lost
        write_json(out, result)


@app.command()
def oracles(part: Annotated[str, typer.Argument(help="show only what contains this text")] = "") -> None:
    """List the named oracles.

    Each with its range, unit, parameters and source.
    """
    from molvae.cli.tables import print_table
    from molvae.core.errors import ConfigError
    from molvae.oracles import list_oracles

    rows = [(o.name, o.group, o.range, o.unit, o.parameters, o.source) for o in list_oracles()]
    chosen = [row for row in rows if part.lower() in " ".join(row).lower()]
    if not chosen:
        raise ConfigError(f"no oracle has {part!r} in its name, group, parameters or source; molvae oracles lists all")
    print_table(("name", "group", "range", "unit", "parameters", "source"), chosen)


@app.command()
def score(
    oracle: Annotated[str, typer.Argument(help="a name (see: molvae oracles), or a TOML file with an [oracle]")],
    source: Annotated[Path, typer.Argument(help=".smi, .csv, .tsv or .parquet file, plain or .gz")],
    out: Annotated[Path, typer.Option("--out", "-o", help="the .csv, .tsv or .parquet to write")],
    column: Annotated[str, typer.Option(help="column of the SMILES, in any case")] = "smiles",
    parameters: Annotated[list[str] | None, typer.Option("--param", metavar="KEY=VALUE", help="of the oracle")] = None,
    workers: Annotated[int, typer.Option(help="processes; 0 scores in this one", min=0)] = 0,
) -> None:
    """Score the molecules of a file.

    Writes the same rows with a column more; an empty cell is a molecule that could not be scored.
    """
    from molvae.cli.oracle_argument import build_oracle
    from molvae.oracles.isolated import in_processes
    from molvae.oracles.table import score_file

    built = build_oracle(oracle, parameters or [])
    with in_processes(built, workers) if workers else built as scorer:
        print(score_file(scorer, source, out, column))


@data_app.command("list")
def list_data() -> None:
    """List the data sets."""
    from molvae.cli.tables import print_table
    from molvae.data.datasets import listing

    rows = [(d.name, f"{sum(d.splits.values()):,}", ", ".join(d.splits), d.licence, d.description) for d in listing()]
    print_table(("name", "molecules", "splits", "licence", "what"), rows)


@data_app.command("fetch")
def fetch_data(
    name: Annotated[str, typer.Argument(help="a name of: molvae data list")],
    out: Annotated[Path, typer.Option("--out", "-o", help="folder to write to")] = Path("downloads"),
    mirror: Annotated[str | None, typer.Option(help="address of a folder that holds the same files")] = None,
) -> None:
    """Download a data set.

    A broken transfer is resumed; the checksum is verified.
    """
    from molvae.data.datasets import fetch

    print(fetch(name, out, mirror))


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="a run directory")]) -> None:
    """Write the report page of a run, also of a search that is at work or was killed."""
    from molvae.report.report import write_report

    bring_up_to_date(run_dir)
    print(write_report(run_dir).resolve())


@app.command()
def doctor(model: Model = "zinc250k") -> None:
    """Check this installation.

    Versions, device, weights, disk, and a self-test of ten seconds; says what is wrong and what to do.
    """
    from molvae.cli.doctor import examine

    raise typer.Exit(examine(model))


@app.command()
def worker(
    storage: Annotated[
        str | None, typer.Option(help="postgresql://USER@HOST/DATABASE  [default: $MOLVAE_STORAGE]")
    ] = None,
    study: Annotated[str | None, typer.Option(help="name of the study  [default: the only one not over]")] = None,
    idle_seconds: Annotated[float | None, typer.Option(help="leave after so long without work", min=0)] = None,
) -> None:
    """Score molecules for a search on another machine.

    Start as many as you like, wherever the oracle runs; kill them when you like. They go when the search is over.
    """
    from molvae.core.errors import Interrupted
    from molvae.core.stopping import StopFlag
    from molvae.workers.worker import work

    with StopFlag() as flag:
        scored = work(storage, study, idle_seconds, lambda: flag.stopped)
    if flag.stopped:
        raise Interrupted(f"stopped after {scored:,} molecules")
    print(f"{scored:,} molecules scored")
