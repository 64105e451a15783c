"""What a config says about workers on several machines."""

from __future__ import annotations

import os

from pydantic import Field, field_serializer, field_validator

from molvae.core.addresses import masked
from molvae.core.config import Spec
from molvae.core.errors import ConfigError

STORAGE_VARIABLE = "MOLVAE_STORAGE"


def postgresql_address(address: str | None) -> str:
    """The address given, else that of the environment; the driver is named, as SQLAlchemy wants it.

    Raises:
        ConfigError: there is none, or it is not PostgreSQL's.
    """
    address = address or os.environ.get(STORAGE_VARIABLE)
    if not address:
        raise ConfigError(
            f"no storage: expected postgresql://USER@HOST/DATABASE in the config, on the command line "
            f"(--storage) or in the environment ({STORAGE_VARIABLE})"
        )
    scheme, _, rest = address.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not rest:
        raise ConfigError(
            f"storage {masked(address)!r}: expected postgresql://USER@HOST/DATABASE; "
            "other databases cannot hand out work to several processes safely"
        )
    return f"postgresql+psycopg://{rest}"


def shown_address(address: str | None) -> str:
    """The address as a user would write it, without a password.

    Raises:
        ConfigError: see `postgresql_address`.
    """
    return masked(postgresql_address(address).replace("+psycopg", "", 1))


class DistributedSpec(Spec):
    """Workers on any number of machines (`molvae worker`), which share an Optuna study in PostgreSQL.

    Attributes:
        storage: postgresql://USER@HOST/DATABASE; None takes the environment variable MOLVAE_STORAGE. A password in it
            is used and never written; better places for it are ~/.pgpass and PGPASSWORD.
        study: name of the study in the database; None takes the name that the run directory has at first.
        heartbeat_seconds: how often a worker says that it is alive.
        grace_seconds: a worker that was silent for so long, the database being in reach, has lost its molecule to the
            others.
        attempts: a molecule whose worker was lost so many times is given up, and recorded as a failure: it may be what
            kills the workers.
    """

    storage: str | None = None
    study: str | None = Field(None, min_length=1, max_length=200)
    heartbeat_seconds: int = Field(30, ge=1)
    grace_seconds: int = Field(120, ge=2, validate_default=True)
    attempts: int = Field(5, ge=1)

    @field_validator("storage")
    @classmethod
    def _is_postgresql(cls, storage: str | None) -> str | None:
        if storage is not None:
            postgresql_address(storage)
        return storage

    @field_validator("grace_seconds")
    @classmethod
    def _outlasts_a_heartbeat(cls, grace: int, info: object) -> int:
        heartbeat = getattr(info, "data", {}).get("heartbeat_seconds", 0)
        if grace <= heartbeat:
            raise ValueError(
                f"a grace of {grace} s should be longer than heartbeat_seconds ({heartbeat}); raise grace_seconds"
            )
        return grace

    @field_serializer("storage")
    def _hide_password(self, storage: str | None) -> str | None:
        return None if storage is None else masked(storage)

    def __repr_args__(self) -> list[tuple[str | None, object]]:  # type: ignore[override]
        return list(self.model_dump().items())
