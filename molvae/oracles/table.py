"""Score the molecules of a file, streaming: rows in, the same rows with a score out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from molvae.chem.molecules import parse
from molvae.core.errors import DataError, OracleError
from molvae.core.output import check_output, writing
from molvae.core.progress import progress
from molvae.core.tables import SMILES_COLUMN, carried_columns, count_rows, find_columns, in_chunks, read_rows
from molvae.oracles.oracle import Oracle, distinct

_CHUNK = 500  # rows held in memory


@dataclass(frozen=True)
class ScoreSummary:
    """What `score_file` did."""

    out: Path
    n_rows: int
    n_scored: int
    oracle: str

    @property
    def n_failed(self) -> int:
        """Rows whose molecule is invalid or could not be scored; their cell is empty."""
        return self.n_rows - self.n_scored

    def __str__(self) -> str:
        counted = f"{self.n_scored:,} of {self.n_rows:,} molecules scored by {self.oracle}"
        return f"{self.out}: {counted}, {self.n_failed:,} could not be"


def _smiles_column(path: Path, header: list[str], column: str) -> str:
    """The column asked for; where it is called as such columns are, the only one will do, too."""
    if column == SMILES_COLUMN and len(header) == 1:
        [column] = header
        if parse(column) is not None:
            raise DataError(
                f"{path}: expected a header line with the name of the column, got the molecule {column!r}; add such a "
                "line, or name the file .smi (where it is the name: --column)"
            )
    return find_columns(path, [column])[0]


def score_file(oracle: Oracle, source: str | Path, out: str | Path, column: str = SMILES_COLUMN) -> ScoreSummary:
    """Score every molecule of a .csv, .tsv, .smi or .parquet file, plain or .gz, and write a table.

    The output has the same rows in the same order, all columns of the input as text and one more (Q more) named after
    the oracle, otherwise where the name is taken; a molecule that is invalid or could not be scored has an empty cell.
    Memory does not grow with the input.

    Args:
        oracle: what scores.
        source: the input file.
        out: the file to write: .csv or .tsv, plain or .gz, or .parquet.
        column: the column of the SMILES; a lone one may have any name.

    Raises:
        ConfigError: the output's name ends in something else, or the output is the input.
        DataError: the input cannot be read, has no such column or one name twice or not one molecule, or the output
            cannot be written.
        OracleError: not one molecule could be scored.
    """
    source, out = Path(source), Path(out)
    check_output(out, "csv", "tsv", "parquet", source=source)
    header = carried_columns(source)
    column = _smiles_column(source, header, column)
    place = header.index(column)
    labels = [label if label not in header else f"{label}_score" for label in oracle.objectives]
    labels = distinct(labels, taken=header)
    n_rows = n_scored = 0
    any_molecule = any_score = False
    with writing(out, header, labels) as write, progress(count_rows(source), "scoring", "rows") as bar:
        for chunk in in_chunks(read_rows(source, header), _CHUNK):
            smiles = [row.cells[place] for row in chunk]
            values = oracle(smiles).reshape(len(chunk), -1)
            values = np.where(np.isfinite(values), values, np.nan)
            write([(*row.cells, *value) for row, value in zip(chunk, values, strict=True)])
            n_rows += len(chunk)
            n_scored += int(np.isfinite(values).all(axis=1).sum())
            any_score = any_score or bool(np.isfinite(values).any())
            any_molecule = any_molecule or any_score or any(parse(each) is not None for each in smiles)
            bar.advance(len(chunk))
        if not any_molecule:
            raise DataError(
                f"{source}: none of the {n_rows:,} cells of the column {column!r} can be read as a molecule; are they "
                "SMILES, is it this column (--column), and is the file separated as its name says?"
            )
        if not any_score:
            raise OracleError(f"oracle {oracle.name}: not one molecule of {source} could be scored; the log says why")
    return ScoreSummary(out, n_rows, n_scored, oracle.name)
