"""Tables written to a file whose name says how: .csv and .tsv with a header, .parquet, .smi with nothing but lines."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from molvae.core.errors import ConfigError, DataError
from molvae.core.files import atomic_path
from molvae.core.tables import DELIMITERS, Kind, kind_of

if TYPE_CHECKING:
    import pyarrow

Write = Callable[[Sequence[Sequence[str | float]]], object]


def check_output(out: Path, *kinds: Kind, source: Path | None = None) -> None:
    """Make sure that the name of a file to write ends in one of the kinds, .gz allowed after all but parquet, and that
    it is not the file that is read.

    Raises:
        ConfigError: it does not, or is.
    """
    if source is not None and out.exists() and source.exists() and out.samefile(source):
        raise ConfigError(f"{out}: is the file that is read; write to another one")
    try:
        kind = kind_of(out)
    except DataError:
        kind = None
    if kind not in kinds or (kind == "parquet" and _zipped(out)):
        *most, last = (f".{each}" for each in kinds)
        raise ConfigError(
            f"{out}: expected a name ending in {', '.join(most)} or {last} (or, of text, one of these and .gz)"
        )


@contextmanager
def writing(out: Path, text: Sequence[str], numbers: Sequence[str] = ()) -> Iterator[Write]:
    """A function that writes rows to a file which appears under its name only when whole.

    Args:
        out: the file; see `check_output`.
        text: names of the columns of text, which stand first in a row.
        numbers: names of the columns of numbers behind them; NaN is an empty cell.

    Raises:
        DataError: the file cannot be written.
    """
    if kind_of(out) == "parquet":
        with _parquet_rows(out, text, numbers) as write:
            yield write
    else:
        with _whole(out) as temporary, _lines(temporary, out) as handle:
            yield _text_rows(handle, kind_of(out), [*text, *numbers])


@contextmanager
def writing_columns(out: Path, schema: pyarrow.Schema) -> Iterator[Callable[[pyarrow.Table], object]]:
    """The same for many columns: a function that writes Arrow tables."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    with _whole(out) as temporary, ExitStack() as stack:
        if (kind := kind_of(out)) == "parquet":
            yield stack.enter_context(pyarrow.parquet.ParquetWriter(temporary, schema)).write_table
        else:
            sink = stack.enter_context(pyarrow.output_stream(temporary, compression="gzip" if _zipped(out) else None))
            options = pyarrow.csv.WriteOptions(delimiter=DELIMITERS[kind])
            yield stack.enter_context(pyarrow.csv.CSVWriter(sink, schema, write_options=options)).write_table


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A file that gets its name when it is whole, and an error that says which file it was."""
    try:
        with atomic_path(out) as temporary:
            yield temporary
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _lines(temporary: Path, out: Path) -> Iterator[io.TextIOWrapper]:
    with open(temporary, "wb") as raw:
        packed: Any = gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) if _zipped(out) else raw
        text = io.TextIOWrapper(packed, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()
        if packed is not raw:
            packed.close()


def _text_rows(handle: io.TextIOWrapper, kind: Kind, header: list[str]) -> Write:
    if kind == "smi":
        return lambda rows: handle.writelines(f"{' '.join(map(_cell, row))}\n" for row in rows)
    writer = csv.writer(handle, delimiter=DELIMITERS[kind], lineterminator="\n")
    writer.writerow(header)
    return lambda rows: writer.writerows([_cell(each) for each in row] for row in rows)


@contextmanager
def _parquet_rows(out: Path, text: Sequence[str], numbers: Sequence[str]) -> Iterator[Write]:
    import pyarrow

    fields = [(name, pyarrow.string()) for name in text] + [(name, pyarrow.float64()) for name in numbers]
    schema = pyarrow.schema(fields)
    with writing_columns(out, schema) as write_table:

        def write(rows: Sequence[Sequence[str | float]]) -> None:
            columns = ([row[i] for row in rows] for i in range(len(schema)))
            arrays = [pyarrow.array(c, f.type, from_pandas=True) for c, f in zip(columns, schema, strict=True)]
            write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        yield write


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else repr(float(value))


def _zipped(path: Path) -> bool:
    return path.name.lower().endswith(".gz")
