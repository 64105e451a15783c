"""Score the molecules of a file, streaming: rows in, the same rows with a score out."""

from __future__ import annotations

import csv
import gzip
import io
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from molvae.core.config import did_you_mean
from molvae.core.errors import DataError
from molvae.core.files import atomic_path
from molvae.oracles.oracle import Oracle

_CHUNK = 500  # rows held in memory
_SMILES_COLUMNS = ("smiles", "SMILES", "Smiles", "canonical_smiles", "structure")
_DELIMITERS = {".csv": ",", ".tsv": "\t", ".smi": None, ".smiles": None, ".txt": None}


@dataclass(frozen=True)
class ScoreSummary:
    """What `score_file` did."""

    rows: int
    scored: int

    @property
    def failed(self) -> int:
        """Rows whose molecule is invalid or could not be scored; their cell is empty."""
        return self.rows - self.scored


def _read(path: Path, column: str | None) -> Iterator[tuple[list[str], str]]:
    """First the header (with an empty string), then every row with its SMILES."""
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open}
    try:
        with openers.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="") as handle:
            yield from _rows(handle, path, column)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, lzma.LZMAError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    name = next((suffix for suffix in reversed(suffixes) if suffix not in (".gz", ".xz")), "")
    if name not in _DELIMITERS:
        raise DataError(f"{path}: expected a file ending in {', '.join(_DELIMITERS)} (or one of those with .gz or .xz)")
    return name


def _rows(handle: TextIO, path: Path, column: str | None) -> Iterator[tuple[list[str], str]]:
    delimiter = _DELIMITERS[_kind(path)]
    if delimiter is None:  # SMILES, white space, name; no header
        yield ["smiles", "name"], ""
        for line in handle:
            smiles, _, name = line.strip().partition("\t" if "\t" in line else " ")
            yield [smiles, name.strip()], smiles
        return
    reader = csv.reader(handle, delimiter=delimiter)
    header = next(reader, None)
    if not header:
        raise DataError(f"{path}: is empty; expected a header line")
    header = [name.strip().lstrip("\ufeff") for name in header]
    if column is None:
        column = next((name for name in _SMILES_COLUMNS if name in header), header[0] if len(header) == 1 else None)
    if column is None or column not in header:
        wanted = "" if column is None else f" {column!r}{did_you_mean(column, header)}"
        raise DataError(f"{path}: no SMILES column{wanted}; name it with --column (columns: {', '.join(header)})")
    place = header.index(column)
    yield header, ""
    for row in reader:
        if row and len(row) != len(header):
            raise DataError(f"{path}: line {reader.line_num} has {len(row)} fields, the header {len(header)}")
        row = row or [""] * len(header)
        yield row, row[place].strip()


def score_file(
    oracle: Oracle,
    source: str | Path,
    out: str | Path,
    column: str | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> ScoreSummary:
    """Score every molecule of a .csv, .tsv or .smi file (or .gz, .xz of those) and write a CSV.

    The output has the same rows in the same order, all columns of the input and one more (Q more) named after the
    oracle; a molecule that is invalid or could not be scored has an empty cell. Memory does not grow with the input.

    Args:
        oracle: what scores.
        source: the input file.
        out: the CSV to write; gzipped where it ends in .gz.
        column: name of the SMILES column; None looks for one called smiles.
        advance: told of the number of rows done, for a progress bar.

    Raises:
        DataError: the input cannot be read or has no such column, or the output cannot be written.
    """
    source, out = Path(source), Path(out)
    labels = [oracle.name] if oracle.n_objectives == 1 else [f"{oracle.name}_{q}" for q in range(oracle.n_objectives)]
    n_rows = n_scored = 0
    rows = _read(source, column)
    header = next(rows)[0]
    labels = [label if label not in header else f"{label}_score" for label in labels]
    with _writing(out) as write:
        write([header + labels])
        while chunk := list(islice(rows, _CHUNK)):
            values = oracle([smiles for _, smiles in chunk]).reshape(len(chunk), -1)
            write([row + [_cell(v) for v in value] for (row, _), value in zip(chunk, values, strict=True)])
            n_rows += len(chunk)
            n_scored += int(np.isfinite(values).all(axis=1).sum())
            advance(len(chunk))
    return ScoreSummary(n_rows, n_scored)


@contextmanager
def _writing(out: Path) -> Iterator[Callable[[list[list[str]]], None]]:
    """A function that writes rows to a file which appears under its name only when whole."""
    try:
        with atomic_path(out) as temporary, open(temporary, "wb") as raw:
            packed: Any = gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) if out.suffix == ".gz" else raw
            text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
            yield csv.writer(text, lineterminator="\n").writerows
            text.flush()
            text.detach()
            if packed is not raw:
                packed.close()
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error})") from error


def _cell(value: float) -> str:
    return repr(float(value)) if np.isfinite(value) else ""
