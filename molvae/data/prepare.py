"""Molecule files in, a prepared directory out: what `molvae prepare` does.

1. chunks: rows are read as a stream, and worker processes parse, standardise, filter, split and tokenise them;
2. duplicates: equal canonical SMILES are found by partitions on disk; the first in the input stays;
3. vocabulary: the tokens of the train split, or the given vocabulary of an existing model;
4. shards: ids of the known tokens, one pair of files for each split; every row left out goes to `dropped.csv`,
   the counts to `metrics.json`.

Memory depends on the chunk size and not on the input. Step 1 is where the time goes: its chunks stay on disk until all
is done, so the same command takes up a run that was killed. The result depends on the input and the settings only.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from molvae.chem.descriptors import DescriptorName, ElementSymbol
from molvae.chem.molecules import Charges, Fragments, Standardiser
from molvae.core.config import Spec, dump_config
from molvae.core.devices import usable_cpus
from molvae.core.errors import ConfigError, DataError, Interrupted
from molvae.core.files import (
    CHUNKS,
    CONFIG,
    MANIFEST,
    METRICS,
    VOCABULARY,
    exclusive,
    read_json,
    sha256_file,
    write_json,
)
from molvae.core.manifest import check_kind, versions, write_manifest
from molvae.core.progress import progress
from molvae.core.stopping import StopFlag
from molvae.core.tables import Row, batches_of, count_rows, find_columns
from molvae.data.assemble import Assembled, assemble
from molvae.data.chunks import Chunk, Recipe, make_chunk
from molvae.data.prepared import PrepareReport, read_report
from molvae.data.shards import TokenShards, read_manifest
from molvae.data.splits import ColumnSplit, RandomSplit, Split
from molvae.data.workers import map_batches
from molvae.tokens.tokenizer import Tokenizer, default_constraints

log = logging.getLogger("molvae")

ROWS_PER_CHUNK = 2000


class PrepareConfig(Spec):
    """What to prepare, and how.

    Args:
        inputs: .smi, .csv, .tsv or .parquet files, plain or .gz, taken as one input in this order.
        output: the prepared directory.
        smiles_column: column of the SMILES.
        split: how molecules are split.
        properties: numeric columns to keep beside the molecules; an empty cell is NaN.
        descriptors: properties to compute, by the names of `molvae.chem.descriptors`; they stand behind the columns.
        charges, fragments, stereo: see `molvae.chem.molecules.Standardiser`.
        max_length: longest sequence in tokens, the end token included.
        elements: symbols of the elements allowed; None allows all.
        min_heavy_atoms, max_heavy_atoms: bounds, both allowed values themselves.
        vocabulary: a model or prepared directory, or a vocabulary.json, whose tokens, maximum length, standardisation
            and SELFIES constraints are used instead of making new ones.
        workers: processes; None is one for each CPU, 0 works in this process.
        overwrite: replace what was prepared in `output` with other settings.
    """

    inputs: tuple[Path, ...] = Field(min_length=1)
    output: Path
    smiles_column: str = "smiles"
    split: Split = RandomSplit()
    properties: tuple[str, ...] = ()
    descriptors: tuple[DescriptorName, ...] = ()
    charges: Charges = "keep"
    fragments: Fragments = "reject"
    stereo: Literal["keep", "drop"] = "keep"
    max_length: int = Field(80, ge=2, le=4096)
    elements: tuple[ElementSymbol, ...] | None = None
    min_heavy_atoms: int = Field(1, ge=1)
    max_heavy_atoms: int | None = Field(None, ge=1)
    vocabulary: Path | None = None
    workers: int | None = Field(None, ge=0)
    overwrite: bool = False

    @field_validator("split", mode="before")
    @classmethod
    def _random_unless_named(cls, split: object) -> object:
        if not isinstance(split, Mapping):
            return split
        return {"kind": "column" if "column" in split else "random", **split}

    @field_validator("inputs")
    @classmethod
    def _each_once(cls, inputs: tuple[Path, ...]) -> tuple[Path, ...]:
        for i, path in enumerate(inputs):
            if path.resolve() in [other.resolve() for other in inputs[:i]]:
                raise ValueError(f"{path} is given twice; all of its molecules would be duplicates")
        return inputs

    @model_validator(mode="after")
    def _properties_once(self) -> PrepareConfig:
        if len(set(self.all_properties)) < len(self.all_properties):
            raise ValueError(f"a property is named twice among {', '.join(self.all_properties)}")
        return self

    @property
    def all_properties(self) -> tuple[str, ...]:
        """Names of the numbers beside each molecule."""
        return (*self.properties, *self.descriptors)


def prepare(config: PrepareConfig) -> PrepareReport:
    """Prepare molecules for training; takes up a run that was killed, and does nothing if all is done.

    Raises:
        ConfigError: settings that contradict each other.
        DataError: an input cannot be used, or `output` holds something prepared with other settings.
        Interrupted: Ctrl-C or SIGTERM; the same command goes on from there.
    """
    columns = _columns(config)
    for path in config.inputs:
        find_columns(path, columns)
    tokenizer = _given_tokenizer(config)
    if tokenizer is not None:
        config = config.model_copy(update=_made_with(tokenizer))
    settings = _settings(config, tokenizer)
    if _already_done(config, settings):
        log.info("%s is already prepared", config.output)
        return read_report(config.output)
    with exclusive(config.output), StopFlag() as stop:
        check_kind(config.output, "prepare")
        dump_config(config, config.output / CONFIG)
        run = _Run.open(config.output / CHUNKS, settings)
        _make_chunks(config, tokenizer, columns, run, stop)
        result = _assemble(config, tokenizer, run, stop)
        _write_results(config, settings, result, run.seconds)
        shutil.rmtree(run.directory)
    return read_report(config.output)


# --- settings -------------------------------------------------------------------------------------------------------


def _columns(config: PrepareConfig) -> list[str]:
    """SMILES, split and property columns; without a split column the SMILES column stands in its place."""
    split = config.split.column if isinstance(config.split, ColumnSplit) else config.smiles_column
    return [config.smiles_column, split, *config.properties]


def _given_tokenizer(config: PrepareConfig) -> Tokenizer | None:
    """The tokenizer of `config.vocabulary`, after checking that the other settings do not contradict it."""
    if config.vocabulary is None:
        return None
    path = config.vocabulary / VOCABULARY if config.vocabulary.is_dir() else config.vocabulary
    tokenizer = Tokenizer.load(path)
    wrong = [f"{n} = {getattr(config, n)!r}, but {path} was made with {v!r}" for n, v in _made_with(tokenizer).items()
             if n in config.model_fields_set and getattr(config, n) != v]  # fmt: skip
    if wrong:
        raise ConfigError("\n".join([*wrong, "leave these out to take over what the vocabulary was made with"]))
    return tokenizer


def _made_with(tokenizer: Tokenizer) -> dict[str, Any]:
    """The settings that a given vocabulary decides."""
    return {"max_length": tokenizer.max_length, **asdict(tokenizer.standardiser)}


def _settings(config: PrepareConfig, tokenizer: Tokenizer | None) -> dict[str, Any]:
    """All that the result depends on, as JSON."""
    settings = config.model_dump(mode="json", exclude={"inputs", "output", "workers", "overwrite", "vocabulary"})
    if not config.descriptors:
        del settings["descriptors"]  # as older versions wrote it
    if tokenizer is not None:
        settings["vocabulary"] = tokenizer.vocabulary.sha256
        settings["constraints"] = tokenizer.constraints
    settings["inputs"] = [sha256_file(path) for path in config.inputs]
    settings["rows_per_chunk"] = ROWS_PER_CHUNK
    return settings | {name: versions()[name] for name in ("rdkit", "selfies")}


def _already_done(config: PrepareConfig, settings: dict[str, Any]) -> bool:
    """Whether `output` holds the result; what was prepared with other settings is removed if that is allowed."""
    if not (config.output / MANIFEST).exists():
        return False
    manifest = read_manifest(config.output)
    before = manifest.get("settings", {})
    other = sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name))
    if not other:
        for split in manifest["splits"]:
            TokenShards.open(config.output, split)
        return True
    if not config.overwrite:
        raise DataError(
            f"{config.output}: was prepared with other settings ({', '.join(other)} differ); "
            "choose another output, or allow it to be overwritten (overwrite = true, --overwrite)"
        )
    (config.output / MANIFEST).unlink()  # first: without it the directory is not taken for prepared
    for pattern in ("*.tokens.npy", "*.offsets.npy", "*.properties.npy", VOCABULARY, "dropped.csv", METRICS):
        for path in config.output.glob(pattern):
            path.unlink()
    return False


# --- the run --------------------------------------------------------------------------------------------------------


class _Run:
    """The working directory of an unfinished run: chunk files, and how far it has come."""

    def __init__(self, directory: Path, settings: dict[str, Any], n_chunks: int | None, seconds: float) -> None:
        self.directory, self.settings, self.n_chunks = directory, settings, n_chunks
        self._before, self._started = seconds, time.monotonic()

    @classmethod
    def open(cls, directory: Path, settings: dict[str, Any]) -> _Run:
        """Take up what is there if it was made with the same settings, else begin anew."""
        try:
            state = read_json(directory / "state.json")
        except (OSError, ValueError):
            state = {}
        if state.get("settings") == settings:
            log.info("taking up the unfinished run in %s", directory)
            return cls(directory, settings, state["n_chunks"], state["seconds"])
        shutil.rmtree(directory, ignore_errors=True)
        run = cls(directory, settings, None, 0.0)
        run.save()
        return run

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def save(self) -> None:
        state = {"settings": self.settings, "n_chunks": self.n_chunks, "seconds": self.seconds}
        write_json(self.directory / "state.json", state)

    def chunk(self, index: int) -> Path:
        return self.directory / f"chunk-{index:08d}.npz"

    def stop(self) -> Interrupted:
        self.save()
        return Interrupted(f"stopped; what is done is kept in {self.directory}, the same command goes on from there")


def _make_chunks(
    config: PrepareConfig, tokenizer: Tokenizer | None, columns: list[str], run: _Run, stop: StopFlag
) -> None:
    """Step 1: all chunk files that are not there yet."""
    if run.n_chunks is not None:
        return
    work = partial(make_chunk, _recipe(config, tokenizer))
    workers = usable_cpus() if config.workers is None else config.workers
    total = sum(count_rows(path) for path in config.inputs)
    n_chunks = n_dropped = 0
    with progress(total, "preparing", "molecules") as bar:

        def missing() -> Iterator[tuple[int, list[tuple[int, Row]]]]:
            nonlocal n_chunks
            batches = batches_of(config.inputs, columns, ROWS_PER_CHUNK, numeric=config.properties)
            for n_chunks, batch in enumerate(batches, start=1):
                if run.chunk(n_chunks - 1).exists():
                    bar.advance(len(batch))
                else:
                    yield n_chunks - 1, batch

        try:
            for index, chunk in map_batches(work, missing(), workers):
                chunk.save(run.chunk(index))
                run.save()
                n_dropped += len(chunk.dropped)
                bar.advance(len(chunk) + len(chunk.dropped), dropped=n_dropped)
                if stop.stopped:
                    raise run.stop()
        except DataError:
            if stop.stopped:  # the workers were told to stop as well
                raise run.stop() from None
            raise
    run.n_chunks = n_chunks
    run.save()


def _assemble(config: PrepareConfig, tokenizer: Tokenizer | None, run: _Run, stop: StopFlag) -> Assembled:
    """Steps 2 to 4."""
    n_chunks = run.n_chunks or 0
    passes = 2 if tokenizer else 3
    with progress(passes * n_chunks, "writing", "chunks") as bar:

        def chunks() -> Iterator[Chunk]:
            for index in range(n_chunks):
                if stop.stopped:
                    raise run.stop()
                yield Chunk.load(run.chunk(index))
                bar.advance()

        recipe = _recipe(config, tokenizer)
        fresh = partial(
            Tokenizer, max_length=recipe.max_length, standardiser=recipe.standardiser, constraints=recipe.constraints
        )
        return assemble(
            chunks,
            at_most=n_chunks * ROWS_PER_CHUNK,
            work=run.directory,
            output=config.output,
            sources=list(_names(config.inputs)),
            tokenizer=tokenizer or fresh,
            n_properties=len(config.all_properties),
            smiles_column=config.smiles_column,
        )


def _names(paths: Sequence[Path]) -> dict[str, Path]:
    """What the input files are called: by their names, or by their paths where two have the same name."""
    names = {path.name: path for path in paths}
    return names if len(names) == len(paths) else {str(path): path for path in paths}


def _recipe(config: PrepareConfig, tokenizer: Tokenizer | None) -> Recipe:
    return Recipe(
        standardiser=Standardiser(config.charges, config.fragments, config.stereo),
        constraints=tokenizer.constraints if tokenizer else default_constraints(),
        split=config.split,
        max_length=config.max_length,
        elements=None if config.elements is None else frozenset(config.elements),
        min_heavy_atoms=config.min_heavy_atoms,
        max_heavy_atoms=config.max_heavy_atoms,
        properties=config.properties,
        descriptors=config.descriptors,
    )


def _write_results(config: PrepareConfig, settings: dict[str, Any], result: Assembled, seconds: float) -> None:
    """The counts, and last the manifest, with which the directory is wholly prepared."""
    tokenizer = result.tokenizer
    counts = {
        "n_rows": result.n_rows,
        "splits": result.splits,
        "tokens": result.tokens,
        "longest": result.longest,
        "dropped": result.dropped,
        "unknown_tokens": result.unknown_tokens,
        "vocabulary_size": len(tokenizer.vocabulary),
    }
    write_json(config.output / METRICS, counts)
    write_manifest(
        config.output,
        kind="prepare",
        inputs=_names(config.inputs),
        seed=getattr(config.split, "seed", None),
        device="cpu",
        seconds=seconds,
        **counts,
        vocabulary_sha256=tokenizer.vocabulary.sha256,
        max_length=tokenizer.max_length,
        properties=list(config.all_properties),
        columns=list(config.properties),  # those of them that were not computed
        settings=settings,
    )
