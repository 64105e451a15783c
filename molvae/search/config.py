"""What `molvae optimise` reads from a TOML file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from molvae.core.config import DeviceName, Spec
from molvae.oracles.config import OracleSpec
from molvae.search.constraints import ConstraintSpec
from molvae.search.diversity import SelectSpec
from molvae.search.lead import LeadConstraint, with_targets
from molvae.search.library import LibrarySpec
from molvae.search.measured import DataSpec
from molvae.search.methods import BayesianSpec, MethodSpec
from molvae.search.start import StartSpec
from molvae.workers.spec import DistributedSpec


class SearchSpec(Spec):
    """How much is searched, and where.

    Attributes:
        constraints: candidates that break one are never scored; given start molecules that do are, as infeasible ones.
            What only an oracle tells (kind "oracle") shows when a molecule is scored; the search learns what is likely.
        library: molecules that may be proposed as they are; the method 'bayesian' ranks some in each batch.
        data: measured molecules that the search knows before its first proposal; they cost no calls.
        select: good molecules that differ, chosen when the search has ended, in `diverse.csv`.
        workers: above 1, molecules are proposed while others are being scored; without in_flight, runs then differ.
        ahead: None is as many as are being scored. The fewer, the better informed is each proposal.
        in_flight: None tells scores as they come. A number makes runs reproducible, with any number of workers.
        distributed: workers on other machines, see `molvae.workers`.
    """

    budget: int = Field(1000, ge=1, description="oracle calls: distinct canonical molecules scored")
    batch_size: int = Field(2, ge=1, description="molecules for each call of the oracle; the fewer, the better guided")
    batch_growth: float = Field(
        0.0, ge=0, le=1, description="a batch has at least this share of the molecules scored so far; not with workers"
    )
    largest: int = Field(60, ge=1, description="heavy atoms of a proposal, at most")
    hardest: float = Field(
        4.5, ge=1, description="SA score (1 easy to make, 10 hard; Ertl and Schuffenhauer 2009) of a proposal, at most"
    )
    start: StartSpec = StartSpec()
    constraints: tuple[ConstraintSpec, ...] = ()
    reference: tuple[float, ...] | None = Field(
        None,
        description="of several objectives: the point above which hypervolume counts; by default a bit below the front",
    )
    library: LibrarySpec | None = None
    data: DataSpec | None = None
    min_distance: float = Field(0.0, ge=0, le=1, description="least Tanimoto distance within a batch (ECFP4)")
    select: SelectSpec | None = None
    pictures: int = Field(10, ge=0, description="a molecule among so many best when scored gets a picture")
    workers: int = Field(1, ge=1, description="molecules scored at once on this machine, each in a process of its own")
    timeout_seconds: float = Field(
        60.0,
        gt=0,
        allow_inf_nan=False,
        description="with workers: longest time for one molecule, besides that of programs",
    )
    ahead: int | None = Field(None, ge=0, description="with workers: proposals made before a worker is free")
    in_flight: int | None = Field(
        None,
        ge=1,
        description="molecules that are always on their way; scores are then told in the order of proposals",
    )
    distributed: DistributedSpec | None = None

    @model_validator(mode="after")
    def _workers_are_here_or_elsewhere(self) -> SearchSpec:
        if self.distributed is not None and self.workers > 1:
            raise ValueError(
                "workers is for this machine alone; with a section [search.distributed], start as many `molvae worker`"
            )
        if self.in_flight is not None and (self.distributed is not None or self.ahead is not None):
            raise ValueError("in_flight goes neither with ahead nor with a section [search.distributed]")
        if self.in_flight is not None and self.in_flight < self.workers:
            raise ValueError(f"in_flight: expected at least as many as workers ({self.workers}); got {self.in_flight}")
        return self

    @property
    def with_crew(self) -> bool:
        """Whether molecules are proposed while others are being scored."""
        return self.workers > 1 or self.in_flight is not None or self.distributed is not None

    @field_validator("constraints")
    @classmethod
    def _know_their_molecules(
        cls, constraints: tuple[ConstraintSpec, ...], info: ValidationInfo
    ) -> tuple[ConstraintSpec, ...]:
        start = info.data["start"].smiles if "start" in info.data else ()  # not there where it is itself wrong
        return tuple(with_targets(c, start) if isinstance(c, LeadConstraint) else c for c in constraints)


class OptimiseConfig(Spec):
    """A search.

    A run that is resumed must have the same config, but for device and, of `search`, budget, pictures, select, workers,
    ahead, timeout_seconds and distributed.
    """

    schema_version: Literal[1] = 1
    seed: int = Field(0, ge=0, lt=2**32)
    device: DeviceName = "auto"
    weights: str = Field("zinc250k", description="name of shipped weights, or a model directory")
    oracle: OracleSpec
    search: SearchSpec = SearchSpec()
    method: MethodSpec = BayesianSpec()
