"""Score the molecules of a file, streaming: rows in, the same rows with a score out."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from molvae.core.errors import DataError
from molvae.core.files import atomic_path
from molvae.core.tables import carried_columns, check_columns, in_chunks, read_rows
from molvae.oracles.oracle import Oracle, distinct

_CHUNK = 500  # rows held in memory
_SMILES_COLUMNS = ("smiles", "SMILES", "Smiles", "canonical_smiles", "structure")


@dataclass(frozen=True)
class ScoreSummary:
    """What `score_file` did."""

    rows: int
    scored: int

    @property
    def failed(self) -> int:
        """Rows whose molecule is invalid or could not be scored; their cell is empty."""
        return self.rows - self.scored


def _smiles_column(path: Path, header: list[str], column: str | None) -> str:
    """The column asked for, or one that is called as such columns are."""
    if column is None:
        column = next((name for name in _SMILES_COLUMNS if name in header), header[0] if len(header) == 1 else None)
    if column is None:
        raise DataError(f"{path}: no SMILES column; name it with --column (columns: {', '.join(header)})")
    check_columns(path, [column])
    return column


def score_file(
    oracle: Oracle,
    source: str | Path,
    out: str | Path,
    column: str | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> ScoreSummary:
    """Score every molecule of a .csv, .tsv, .smi or .parquet file, plain or .gz, and write a CSV.

    The output has the same rows in the same order, all columns of the input and one more (Q more) named after the
    oracle, otherwise where the name is taken; a molecule that is invalid or could not be scored has an empty cell.
    Memory does not grow with the input.

    Args:
        oracle: what scores.
        source: the input file.
        out: the CSV to write; gzipped where it ends in .gz.
        column: name of the SMILES column; None looks for one called smiles.
        advance: told of the number of rows done, for a progress bar.

    Raises:
        DataError: the input cannot be read, has no such column or one name twice, or the output cannot be written.
    """
    source, out = Path(source), Path(out)
    header = carried_columns(source)
    place = header.index(_smiles_column(source, header, column))
    labels = [label if label not in header else f"{label}_score" for label in oracle.objectives]
    labels = distinct(labels, taken=header)
    n_rows = n_scored = 0
    with _writing(out) as write:
        write([header + labels])
        for chunk in in_chunks(read_rows(source, header), _CHUNK):
            values = oracle([row.cells[place] for row in chunk]).reshape(len(chunk), -1)
            write([[*row.cells, *map(_cell, value)] for row, value in zip(chunk, values, strict=True)])
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
