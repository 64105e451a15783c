"""A study: which methods run on which tasks with which seeds, how many calls they have, and what they begin with.

Every method of a study gets the same oracles, the same budget and, for each seed, the same molecules to begin with,
which count as calls. A method is a config of `molvae optimise`, whose oracle, seed, budget and start are exchanged, or
a peer from outside (see `peers`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from molvae.core.config import Spec, did_you_mean, load_config
from molvae.core.errors import ConfigError
from molvae.core.files import sha256_file, sha256_text
from molvae.core.manifest import fingerprint
from molvae.oracles import PMO_TASKS
from molvae.oracles.config import NamedSpec
from molvae.search.config import OptimiseConfig
from molvae.search.methods import BayesianSpec
from molvae.search.plan import needs_model
from molvae.search.start import StartSpec

HASH_LENGTH = 12  # hex digits: two configs of one study never share them

# What the study sets itself, what does not decide the result, and the name of a library's file. Its contents should be
# in a hash, but tables are printed where the file is not.
FREE: Any = {"seed": True, "device": True, "oracle": True}
FREE_OF_SEARCH: Any = {"budget": True, "pictures": True, "start": {"file": True}, "library": {"file": True}}

Part = Literal["latent", "structural"]


class SearchMethod(Spec):
    """A search of molvae.

    Attributes:
        config: a file for `molvae optimise`.
        overrides: "key=value", as for `molvae optimise --set`; after those of the study.
        without: kinds of proposals to take out of a Bayesian search, for an ablation.
    """

    kind: Literal["search"] = "search"
    config: Path
    overrides: tuple[str, ...] = ()
    without: tuple[Part, ...] = ()

    def resolved(self, overrides: Sequence[str] = ()) -> OptimiseConfig:
        """The config with the overrides and without what is left out.

        Raises:
            ConfigError: with every mistake found.
        """
        config = load_config(self.config, OptimiseConfig, [*overrides, *self.overrides])
        if not self.without:
            return config
        if not isinstance(config.method, BayesianSpec):
            raise ConfigError(
                f"{self.config}: `without` is for searches of kind 'bayesian', not {config.method.kind!r}"
            )
        kept = tuple(spec for spec in config.method.proposers if _part(spec) not in self.without)
        if not kept:
            raise ConfigError(f"{self.config}: nothing proposes molecules without {' and '.join(self.without)}")
        return config.model_copy(update={"method": config.method.model_copy(update={"proposers": kept})})

    def identity(self, overrides: Sequence[str]) -> dict[str, Any]:
        """What decides the results, weights included, as plain types."""
        config = self.resolved(overrides)
        plain = config.model_dump(mode="json", exclude=FREE | {"search": FREE_OF_SEARCH}, exclude_none=True)
        weights = plain.pop("weights")
        with_model = needs_model(config.method, config.search, with_start=True)
        return plain | ({"weights": _fingerprint_of(weights)} if with_model else {})

    def for_run(self, job: Job) -> OptimiseConfig:
        """The config of one run."""
        config = self.resolved(job.overrides)
        spent = {"budget": job.budget, "start": job.start, "pictures": 0}
        changes = {"seed": job.seed, "oracle": NamedSpec(name=job.task)}
        return config.model_copy(update=changes | {"search": config.search.model_copy(update=spent)})


class MolGA(Spec):
    """mol_ga (Tripp and Hernandez-Lobato 2023, arXiv:2310.09267), the graph genetic algorithm of the package `mol-ga`.

    Attributes:
        offspring: molecules proposed in each generation. The defaults are the settings of Kim et al. 2024
            (arXiv:2402.05961), whose figures are the better ones published.
        population: molecules kept.
    """

    kind: Literal["mol_ga"] = "mol_ga"
    offspring: int = Field(5, ge=1)
    population: int = Field(500, ge=2)

    def identity(self, overrides: Sequence[str]) -> dict[str, Any]:
        """What decides the results, as plain types."""
        return self.model_dump(mode="json")


def _kind(value: Any) -> str:
    return str(value.get("kind", "search") if isinstance(value, dict) else value.kind)


Method = Annotated[Annotated[SearchMethod, Tag("search")] | Annotated[MolGA, Tag("mol_ga")], Discriminator(_kind)]


class StudyStart(Spec):
    """Molecules that every run begins with: `n` of the file, drawn by the run's seed; they count as calls."""

    file: Path
    column: str = "smiles"
    n: int = Field(100, ge=1)


class Study(Spec):
    """What `configs/pmo/*.toml` hold."""

    schema_version: Literal[1] = 1
    budget: int = Field(ge=1, description="oracle calls of a run: distinct canonical molecules scored")
    tasks: tuple[str, ...] = Field(tuple(PMO_TASKS), min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    start: StudyStart
    overrides: tuple[str, ...] = Field((), description="'key=value' for the configs of all searches")
    methods: dict[Annotated[str, Field(pattern=r"^[\w.+ -]+$")], Method] = Field(min_length=1)

    @model_validator(mode="after")
    def _tasks_exist(self) -> Study:
        for name in self.tasks:
            if name not in PMO_TASKS:
                raise ValueError(f"unknown task {name!r}{did_you_mean(name, list(PMO_TASKS))}")
        return self

    def hashes(self) -> dict[str, str]:
        """For each method a hash of all that decides its results but task, seed, budget and start file.

        Raises:
            ConfigError: a method's config is wrong.
        """
        plain = {name: method.identity(self.overrides) for name, method in self.methods.items()}
        return {name: _hash({"n_start": self.start.n, **value}) for name, value in plain.items()}

    def jobs(self) -> Iterator[Job]:
        """All runs, the first seed of every method and task before the second.

        Raises:
            ConfigError: a config is wrong, or the start file is not there.
        """
        if not self.start.file.is_file():
            raise ConfigError(
                f"{self.start.file}: no such file of molecules to begin with; "
                "`molvae data fetch zinc250k --out downloads`, or name one with --start (and --out)"
            )
        hashes, start_hash = self.hashes(), sha256_file(self.start.file)[:HASH_LENGTH]
        start = StartSpec(file=self.start.file, column=self.start.column, n=self.start.n)
        for seed in self.seeds:
            for name, method in self.methods.items():
                for task in self.tasks:
                    about = start, hashes[name], start_hash, self.overrides
                    yield Job(name, method, task, seed, self.budget, *about)


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        method: its name in the study.
        config: hash of the method.
        start_hash: of the start file.
    """

    method: str
    spec: SearchMethod | MolGA
    task: str
    seed: int
    budget: int
    start: StartSpec
    config: str
    start_hash: str
    overrides: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Name of its run directory: an older method has another one."""
        return f"{self.method}-{self.task}-{self.seed}-{self.budget}-{self.config}-{self.start_hash}"


def _part(proposer: Any) -> Part:
    return "latent" if proposer.latent else "structural"


def _fingerprint_of(weights: str) -> str:
    from molvae.generation import model_directory

    return fingerprint(model_directory(weights))


def _hash(value: Any) -> str:
    return sha256_text(json.dumps(value, sort_keys=True))[:HASH_LENGTH]
