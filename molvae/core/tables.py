"""Molecule files read as a stream: .smi, .csv, .tsv and .parquet, each plain or gzipped.

A .smi file has no header: the first field of a line is the SMILES, the rest its name. The others name their columns.
Cells of a .csv are separated by commas, or by semicolons, as ChEMBL and spreadsheets with decimal commas do it. Blank
lines before the header, and the line "sep=;" that Excel reads, are skipped.
Whatever is wrong with a file as a whole is a `DataError`; what is wrong with one row is left to whoever uses the row.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
import tempfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar

from molvae.core.config import did_you_mean, in_any_case
from molvae.core.errors import DataError
from molvae.core.files import UTF16_MARKS

T = TypeVar("T")

Kind = Literal["smi", "csv", "tsv", "parquet"]
SUFFIXES: dict[str, Kind] = {
    ".smi": "smi", ".smiles": "smi", ".txt": "smi",
    ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
SMILES_COLUMN = "smiles"
OTHERWISE_SMILES = ("canonical_smiles", "canonical smiles", "structure")  # where no column is called smiles
SMI_COLUMNS = [SMILES_COLUMN, "name"]
DELIMITERS = {"csv": ",", "tsv": "\t"}
PARQUET_ROWS_AT_ONCE = 4096
LONGEST_CELL_CHARACTERS = 1_000_000  # a longer one is an unclosed quote


class Row(NamedTuple):
    """One row of a file: its number (data rows from 1; for .smi the line) and the cells asked for ("" where empty)."""

    number: int
    cells: tuple[str, ...]


def kind_of(path: str | Path) -> Kind:
    """The format of a file by its name, .gz left out.

    Raises:
        DataError: the name ends in nothing known.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    for suffix, kind in SUFFIXES.items():
        if name.endswith(suffix):
            return kind
    known = ", ".join(SUFFIXES)
    raise DataError(f"{path}: unknown kind of file; expected a name ending in {known} (or one of these and .gz)")


def column_names(path: str | Path) -> list[str]:
    """The columns a file has.

    Raises:
        DataError: the file is missing, empty, damaged or of an unknown kind.
    """
    kind = kind_of(path)
    with _opened(path) as handle:
        if kind == "smi":
            if not handle.read(1):
                raise DataError(f"{path}: is empty")
            return SMI_COLUMNS
        if kind == "parquet":
            return [str(name) for name in _parquet(path, handle).schema_arrow.names]
        header = next(_csv_rows(path, handle, kind)[1], None)
        if header is None:
            raise DataError(f"{path}: is empty; expected a header line with the names of the columns")
        return header


def carried_columns(path: str | Path) -> list[str]:
    """The columns of a file that are all to be written out again.

    Raises:
        DataError: two have one name, so that the second would be lost; or see `column_names`.
    """
    names = column_names(path)
    _check_once(path, names)
    return names


def _check_once(path: str | Path, names: Sequence[str]) -> None:
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise DataError(f"{path}: has two columns {twice[0]!r}; give each its own name")


def find_columns(path: str | Path, wanted: Sequence[str]) -> list[str]:
    """The columns asked for, as the file names them: exactly so, or else in another case where only one is called so;
    for "smiles" one of `OTHERWISE_SMILES` will do.

    Raises:
        DataError: one is missing, and the message lists those there are and the likeliest one; or there are two of it.
    """
    found = column_names(path)
    names = [name if name in found else _in_another_case(path, found, name) for name in wanted]
    _check_once(path, [name for name in found if name in names])
    return names


def _in_another_case(path: str | Path, found: Sequence[str], name: str) -> str:
    usual = (name, *OTHERWISE_SMILES) if name == SMILES_COLUMN else (name,)
    if same := next(filter(None, (in_any_case(each, found) for each in usual)), None):
        return same
    hint = did_you_mean(name, found)
    if name == SMILES_COLUMN:
        hint += "; say which column holds the SMILES (--column, or in a config)"
    headless = " (a .smi file has no header and only these)" if kind_of(path) == "smi" else ""
    shown = ", ".join(found[:30]) + (", ..." if len(found) > 30 else "")
    raise DataError(f"{path}: has no column {name!r}; its columns are: {shown}{headless}{hint}")


def read_rows(path: str | Path, columns: Sequence[str], numeric: Collection[str] = ()) -> Iterator[Row]:
    """Stream the cells of some columns (see `find_columns`); memory does not depend on the length of the file.

    Args:
        path: the file.
        columns: those wanted.
        numeric: those of them that hold numbers; where semicolons separate, a decimal comma becomes a point.

    Raises:
        DataError: the file is missing, empty or damaged, or lacks a column or has two of it.
    """
    places = [i for i, name in enumerate(columns) if name in numeric]
    columns = find_columns(path, columns)
    kind = kind_of(path)
    number = 0
    try:
        with _opened(path) as handle:
            if kind == "parquet":
                rows = _parquet_rows(path, handle, columns)
            elif kind == "smi":
                rows = _smi_rows(path, handle, columns)
            else:
                rows = _delimited_rows(path, handle, kind, columns, places)
            for number, cells in rows:
                yield Row(number, cells)
    except DataError as error:
        raise DataError(f"{error} (after row {number:,})" if number else str(error)) from error
    if number == 0:
        raise DataError(f"{path}: holds no rows")


def count_rows(path: str | Path) -> int:
    """Number of rows, for showing progress: exact for parquet, else the number of lines (a cell may hold several)."""
    with _opened(path) as handle:
        if kind_of(path) == "parquet":
            return int(_parquet(path, handle).metadata.num_rows)
        lines, last = 0, b"\n"
        while piece := handle.read(1 << 20):
            lines, last = lines + piece.count(b"\n"), piece[-1:]
        lines += last != b"\n"
        return lines if kind_of(path) == "smi" else max(lines - 1, 0)


@contextmanager
def _opened(path: str | Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, unzipped (told by its first bytes, since names lie); faults of the file become DataError."""
    try:
        with open(path, "rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not zipped:
                if str(path).lower().endswith(".gz"):
                    raise DataError(f"{path}: is named .gz but is not gzip (an HTML error page, or half a download?)")
                yield raw
                return
            with gzip.open(raw) as unzipped:
                yield unzipped  # type: ignore[misc]  # GzipFile reads like a binary file
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: its gzip data are damaged or cut short ({error}); fetch or copy it again") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _text(path: str | Path, handle: IO[bytes]) -> io.TextIOWrapper:
    if handle.read(2) in UTF16_MARKS:
        raise DataError(f"{path}: is UTF-16 text; save it as UTF-8")
    handle.seek(0)
    # A byte that is no UTF-8 becomes U+FFFD: it spoils its own row, which is then reported, and not the file.
    return io.TextIOWrapper(handle, encoding="utf-8-sig", errors="replace", newline="")


def _smi_rows(path: str | Path, handle: IO[bytes], columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    for number, line in enumerate(_text(path, handle), start=1):
        fields = line.split(None, 1)
        if fields:
            both = {"smiles": fields[0], "name": fields[1].strip() if len(fields) > 1 else ""}
            yield number, tuple(both[name] for name in columns)


def _csv_rows(path: str | Path, handle: IO[bytes], kind: Kind) -> tuple[str, Iterator[list[str]]]:
    """What separates the cells, and the rows, the header first, without those that are blank."""
    csv.field_size_limit(LONGEST_CELL_CHARACTERS)
    text = _text(path, handle)
    skipped, header = 0, text.readline()
    while header and (not header.strip() or re.fullmatch(r"sep=.\s*", header, re.IGNORECASE)):
        skipped, header = skipped + 1, text.readline()
    delimiter = _delimiter(header, kind)
    return delimiter, filter(None, _records(path, kind, chain(["\n"] * skipped, [header], text), delimiter))


def _records(path: str | Path, kind: Kind, lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """The rows of delimited text.

    Text behind a closing quote, as in `"5-HT" agonist`, is taken as it is, but not where the quote was opened on a line
    before: there it was left unclosed, and the rows up to the next quote would be lost.
    """
    line = ""

    def noted(text: str) -> str:
        nonlocal line
        line = text
        return text

    reader = csv.reader(map(noted, lines), delimiter=delimiter, strict=True)
    while True:
        before = reader.line_num
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > before + 1 or line.count('"') % 2 or len(line) > LONGEST_CELL_CHARACTERS:
                raise DataError(
                    f"{path}: line {before + 1}: is not valid {kind.upper()} ({error}; an unclosed quote?)"
                ) from error
            yield next(csv.reader([line], delimiter=delimiter))


def _delimiter(header: str, kind: Kind) -> str:
    """What separates the cells of a header."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return ";" if kind == "csv" and unquoted.count(";") > unquoted.count(",") else DELIMITERS[kind]


def _delimited_rows(
    path: str | Path, handle: IO[bytes], kind: Kind, columns: Sequence[str], numeric: Sequence[int]
) -> Iterator[tuple[int, tuple[str, ...]]]:
    delimiter, rows = _csv_rows(path, handle, kind)
    header = next(rows)
    places = [header.index(name) for name in columns]
    for number, row in enumerate(rows, start=1):
        if len(row) > len(header) and any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{path}: row {number:,} has {len(row)} cells, and the header {len(header)}; "
                "put quotes around a cell that holds a separator"
            )
        cells = [row[i].strip() if i < len(row) else "" for i in places]
        if delimiter == ";":
            for i in numeric:
                cells[i] = cells[i].replace(",", ".")
        yield number, tuple(cells)


def _parquet(path: str | Path, handle: IO[bytes]) -> Any:
    import pyarrow.lib
    import pyarrow.parquet

    if isinstance(handle, gzip.GzipFile):  # parquet is read from its end, which a gzip stream cannot offer cheaply
        plain = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the reader
        shutil.copyfileobj(handle, plain)
        plain.seek(0)
        handle = plain
    try:
        return pyarrow.parquet.ParquetFile(handle)
    except pyarrow.lib.ArrowException as error:
        raise DataError(f"{path}: is not a readable parquet file ({error})") from error


def _parquet_rows(path: str | Path, handle: IO[bytes], columns: Sequence[str]) -> Iterator[tuple[int, tuple[str, ...]]]:
    import pyarrow.lib

    names = list(dict.fromkeys(columns))
    number = 0
    try:
        for batch in _parquet(path, handle).iter_batches(PARQUET_ROWS_AT_ONCE, columns=names):
            cells = {name: batch.column(name).to_pylist() for name in names}
            for row in zip(*(cells[name] for name in columns), strict=True):
                number += 1
                yield number, tuple(map(_cell, row))
    except (pyarrow.lib.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is a damaged parquet file ({error})") from error


def _cell(value: Any) -> str:
    """A value of a parquet file as text; bytes are that already, and what is no UTF-8 in them spoils only their row."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return "" if value is None else text.strip()


def read_split(path: str | Path, column: str, split: str | None) -> Iterator[str]:
    """Stream the cells of a column in the rows whose column `split` says `split`; with None, in all rows."""
    for row in read_rows(path, [column] if split is None else [column, "split"]):
        if split is None or row.cells[1] == split:
            yield row.cells[0]


def batches_of(
    paths: Sequence[Path], columns: Sequence[str], size: int, numeric: Collection[str] = ()
) -> Iterator[list[tuple[int, Row]]]:
    """Rows of several files, each with the index of its file, in lists of `size`; see `read_rows`."""
    rows = chain.from_iterable(((i, row) for row in read_rows(path, columns, numeric)) for i, path in enumerate(paths))
    return in_chunks(rows, size)


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`, the last one shorter."""
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk
