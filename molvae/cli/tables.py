"""Tables for people on a terminal, and plain columns in a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import Any

PIPE_WIDTH = 240  # nobody sees where a line ends, and programs want one row a line


def print_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; the last column may wrap, numbers stand right.

    Args:
        heads: names of the columns.
        rows: cells; None is shown as a dash, floats with four digits.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    cells = [list(row) for row in rows]
    for i, head in enumerate(heads):
        numeric = any(isinstance(row[i], int | float) for row in cells)
        last = i == len(heads) - 1
        table.add_column(head, justify="right" if numeric else "left", overflow="fold", no_wrap=not last)
    for row in cells:
        table.add_row(*map(_text, row))
    if sys.stdout.isatty():
        Console().print(table)
        return
    console = Console(file=io.StringIO(), width=PIPE_WIDTH, color_system=None)
    console.print(table)
    print("\n".join(line.rstrip() for line in console.file.getvalue().strip("\n").splitlines()))  # type: ignore[attr-defined]


def _text(cell: Any) -> Any:
    from rich.text import Text

    if cell is None or (isinstance(cell, float) and cell != cell):
        return "–"
    return Text(f"{cell:.4f}" if isinstance(cell, float) else str(cell))
