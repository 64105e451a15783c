"""Measurements made before a search: read, checked, replicates brought together.

Symbols: a molecule has n replicates x_1 ... x_n with standard deviations s_1 ... s_n of their errors.

* With known s: mean sum(x_i / s_i^2) / sum(1 / s_i^2), variance of the mean 1 / sum(1 / s_i^2).
* Without: the plain mean, and variance s^2 / n with s^2 pooled over all molecules that have replicates,
  s^2 = sum (x - mean)^2 / sum (n - 1): a variance from two replicates of one molecule alone would be worthless.
  Where no molecule has replicates, values are taken as exact.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from molvae.chem.molecules import canonical
from molvae.core.arrays import Array
from molvae.core.config import Spec
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import atomic_path, sha256_file
from molvae.core.tables import read_rows
from molvae.search.start import SEVERAL_FRAGMENTS

log = logging.getLogger(__name__)

SHOWN = 5  # rejected rows that a warning quotes


class DataSpec(Spec):
    """A table of measured molecules; larger values are better, in the unit of the oracle's score."""

    file: Path
    smiles: str = Field("smiles", description="column of the SMILES")
    value: str = Field(description="column of the measured values")
    noise: Annotated[float, Field(gt=0, allow_inf_nan=False)] | str | None = Field(
        None, description="standard deviation of a single measurement, or the column that holds it"
    )
    direction: Literal["maximise", "minimise"] = Field("maximise", description="minimise: small values are the good")
    sha256: str | None = Field(None, description="of the file; another file is refused. A run fills it in")

    def pinned(self) -> DataSpec:
        """The same with the file's SHA-256.

        Raises:
            DataError: there is no such file.
            ConfigError: the file has another SHA-256 than the one asked for.
        """
        if not self.file.is_file():
            raise DataError(f"{self.file}: no such file")
        found = sha256_file(self.file)
        if self.sha256 not in (None, found):
            raise ConfigError(f"{self.file}: expected SHA-256 {self.sha256}, got {found}; the file was changed")
        return self.model_copy(update={"sha256": found})


class Rejected(NamedTuple):
    """A row that cannot be used: its number (data rows from 1), the SMILES as it came, and why."""

    row: int
    smiles: str
    reason: str


@dataclass(frozen=True)
class Measurements:
    """Measured molecules, one entry for each.

    Attributes:
        smiles: N canonical SMILES, in order of first appearance.
        values: mean over replicates, (N,), in the unit of the score; larger is better.
        errors: variance of that mean, (N,), in squared units; 0 where the value is taken as exact.
        replicates: how many rows each has, (N,).
        rejected: rows that could not be used.
    """

    smiles: tuple[str, ...]
    values: Array
    errors: Array
    replicates: np.ndarray[Any, np.dtype[np.int64]]
    rejected: tuple[Rejected, ...] = ()

    @property
    def summary(self) -> dict[str, int]:
        """Counts for the manifest of a run."""
        return {
            "rows": int(self.replicates.sum()) + len(self.rejected),
            "molecules": len(self.smiles),
            "with_replicates": int((self.replicates > 1).sum()),
            "rejected": len(self.rejected),
        }

    @property
    def lists(self) -> tuple[tuple[str, ...], list[float], list[float]]:
        """Molecules, values and errors, as plain types."""
        return self.smiles, self.values.tolist(), self.errors.tolist()


class _Row(NamedTuple):
    """One row as it came; the noise is None where none is given."""

    number: int
    smiles: Any
    value: Any
    noise: Any


def read_measurements(spec: DataSpec) -> Measurements:
    """Read a table of measurements.

    Raises:
        DataError: the file is missing or damaged, lacks a column, or holds no usable row.
    """
    column = [spec.noise] if isinstance(spec.noise, str) else []
    fixed = None if isinstance(spec.noise, str) else spec.noise
    cells = read_rows(spec.file, [spec.smiles, spec.value, *column], numeric=[spec.value, *column])
    rows = (_Row(row.number, row.cells[0], row.cells[1], row.cells[2] if column else fixed) for row in cells)
    found = _collected(rows, str(spec.file))
    return replace(found, values=-found.values) if spec.direction == "minimise" else found


def measurements(data: Any) -> Measurements:
    """Measurements out of Python objects; larger values are better.

    Args:
        data: pairs (SMILES, value) or triples (SMILES, value, standard deviation of the measurement); a mapping or a
            Series from SMILES to value; a DataFrame with the columns smiles, value and, if wanted, noise; or
            `Measurements`.

    Raises:
        DataError: it is none of these, or nothing in it can be used.
    """
    if isinstance(data, Measurements):
        return data
    if not isinstance(data, Iterable):
        raise DataError(f"data: expected pairs (SMILES, value), a mapping or a DataFrame, got {type(data).__name__}")
    entries: Iterable[Any] = data.items() if isinstance(data, Mapping | pd.Series) else data
    if isinstance(data, pd.DataFrame):
        if missing := [name for name in ("smiles", "value") if name not in data]:
            raise DataError(f"data: lacks the columns {', '.join(missing)}; it has {', '.join(map(str, data))}")
        columns = ["smiles", "value", *(["noise"] if "noise" in data else [])]
        entries = data[columns].itertuples(index=False, name=None)
    return _collected(_rows(entries), "data")


def write_rejected(found: Measurements, path: Path) -> None:
    """All rejected rows as CSV (row, smiles, reason); no file where there are none."""
    path.unlink(missing_ok=True)
    if found.rejected:
        with atomic_path(path) as file:
            pd.DataFrame(found.rejected).to_csv(file, index=False)


def _rows(data: Iterable[Any]) -> Iterator[_Row]:
    for number, entry in enumerate(data, start=1):
        parts = entry if isinstance(entry, tuple | list) else ()
        if len(parts) not in (2, 3):
            raise DataError(f"data: expected pairs (SMILES, value), got {entry!r} as entry {number}")
        yield _Row(number, parts[0], parts[1], parts[2] if len(parts) == 3 else None)


def _collected(rows: Iterable[_Row], source: str) -> Measurements:
    """Check rows and bring replicates together; says what cannot be used."""
    found: dict[str, list[tuple[float, float | None]]] = {}
    rejected: list[Rejected] = []
    for row in rows:
        smiles = canonical(row.smiles)
        value, noise = _number(row.value), None if row.noise is None else _number(row.noise)
        if smiles is None:
            rejected.append(Rejected(row.number, str(row.smiles), "not a valid SMILES"))
        elif "." in smiles:
            rejected.append(Rejected(row.number, smiles, SEVERAL_FRAGMENTS))
        elif value is None:
            rejected.append(Rejected(row.number, smiles, f"the value {row.value!r} is not a finite number"))
        elif row.noise is not None and (noise is None or noise <= 0):
            rejected.append(Rejected(row.number, smiles, f"the noise {row.noise!r} is not a number above 0"))
        else:
            found.setdefault(smiles, []).append((value, noise))
    if rejected:
        total = len(rejected) + sum(map(len, found.values()))
        quoted = "; ".join(f"row {r.row}: {r.reason} ({r.smiles})" for r in rejected[:SHOWN])
        more = "; ..." if len(rejected) > SHOWN else ""
        log.warning("%s: %d of %d rows cannot be used: %s%s", source, len(rejected), total, quoted, more)
    if not found:
        raise DataError(f"{source}: holds no usable measurement" + (f" ({rejected[0].reason})" if rejected else ""))
    return _joined(found, tuple(rejected))


def _joined(found: Mapping[str, list[tuple[float, float | None]]], rejected: tuple[Rejected, ...]) -> Measurements:
    """One value and one variance for each molecule; see the module's head."""
    spread = sum(float(np.var([x for x, _ in xs])) * len(xs) for xs in found.values())
    freedom = sum(len(xs) - 1 for xs in found.values())
    pooled = spread / freedom if freedom else 0.0
    values, errors = np.zeros(len(found)), np.zeros(len(found))
    for i, replicates in enumerate(found.values()):
        x = np.array([value for value, _ in replicates])
        known = [noise for _, noise in replicates if noise is not None]
        weights = np.array(known, dtype=np.float64) ** -2 if len(known) == len(x) else np.ones(len(x))
        values[i] = weights @ x / weights.sum()
        errors[i] = 1 / weights.sum() if len(known) == len(x) else pooled / len(x)
    counts = np.array([len(xs) for xs in found.values()], dtype=np.int64)
    return Measurements(tuple(found), values, errors, counts, rejected)


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
