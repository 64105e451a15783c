"""Errors that a user can act on.

One base class; a leaf says what kind of fault it is and is also the fitting builtin, so that `except ValueError` works
as people expect. Every message says what was expected, what came and what to do. `exit_code` is what the command line
returns: 2 configuration or usage, 3 data, 4 oracle, 1 anything else, 130 interrupted.
"""

from __future__ import annotations

import os


class MolvaeError(Exception):
    """Base of all errors raised on purpose by molvae."""

    exit_code = 1


class ConfigError(MolvaeError, ValueError):
    """A configuration file or an argument is wrong; the message lists every mistake found."""

    exit_code = 2


class DataError(MolvaeError, ValueError):
    """An input file or a prepared data set cannot be used."""

    exit_code = 3


class MoleculeError(DataError):
    """One molecule cannot be used.

    Attributes:
        smiles: the molecule as it came.
        reason: a short, countable reason such as "does not parse".
        index: its position in the input, if known.
    """

    def __init__(self, smiles: str, reason: str, index: int | None = None) -> None:
        self.smiles, self.reason, self.index = smiles, reason, index
        where = "" if index is None else f" at index {index}"
        super().__init__(f"molecule{where} {smiles!r}: {reason}")

    def at(self, index: int) -> MoleculeError:
        """The same error with its position in the caller's input."""
        return type(self)(self.smiles, self.reason, index)

    def __reduce__(self) -> tuple[type[MoleculeError], tuple[str, str, int | None]]:
        return type(self), (self.smiles, self.reason, self.index)


class CheckpointError(DataError):
    """A checkpoint is missing, damaged, or was made by an incompatible version."""


class UnknownModelError(CheckpointError):
    """There is no model of that name; no file is damaged."""

    exit_code = 2


class DownloadError(MolvaeError, OSError):
    """A file could not be fetched, or is not the file it should be."""

    exit_code = 3


class OracleError(MolvaeError, RuntimeError):
    """An oracle cannot be built or run at all (a single molecule that fails is NaN, not an error)."""

    exit_code = 4


class BudgetExhausted(OracleError):
    """The oracle has been asked for more distinct molecules than its budget allows."""


class DeviceError(MolvaeError, RuntimeError):
    """The device asked for is not there."""


class TrainingError(MolvaeError, RuntimeError):
    """Training cannot go on (for instance, the loss stays non-finite after going back to the last good state)."""


class Interrupted(MolvaeError):
    """The run was interrupted by a signal after its state had been saved."""

    exit_code = 130


def debugging() -> bool:
    """Whether tracebacks are wanted: MOLVAE_DEBUG is set, and not to 0."""
    return os.environ.get("MOLVAE_DEBUG", "0") not in ("", "0")
