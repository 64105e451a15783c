"""Read what a run left in its directory; what is missing or damaged becomes a remark, never an exception."""

from __future__ import annotations

import heapq
import json
import math
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from molvae.core.errors import DataError
from molvae.core.files import CONFIG, DIVERSE, EVENTS, LATENT, MANIFEST, METRICS, MOLECULES, read_events, read_json
from molvae.search.result import COMPONENT, OBJECTIVE, OUTCOME


@dataclass(frozen=True)
class RunData:
    """A run directory, read.

    Attributes:
        directory: where the run lies.
        molecules: a row for each distinct molecule scored, in call order; empty where there is none.
        diverse: the selection of good molecules that differ, with its columns call and nearest; empty where none was
            wanted.
        latent: columns call, x, y: the molecules on the map of the latent space; empty where there is none.
        metrics, manifest, config: the files of those names, empty where there are none.
        config_text: the resolved config as it was written.
        events: the run's log.
        remarks: what was missing or damaged, in words.
    """

    directory: Path
    molecules: pd.DataFrame
    latent: pd.DataFrame
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    config: dict[str, Any]
    config_text: str
    events: list[dict[str, Any]]
    remarks: list[str] = field(default_factory=list)
    diverse: pd.DataFrame = field(default_factory=pd.DataFrame)


def read_run(directory: str | Path) -> RunData:
    """Read a run directory.

    Raises:
        DataError: there is no such directory, or nothing in it that a run writes.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(f"{directory}: no such directory; give the run directory that molvae optimise or train wrote")
    known = (MOLECULES, METRICS, MANIFEST, CONFIG, EVENTS)
    if not any((directory / name).exists() for name in known):
        raise DataError(f"{directory}: holds none of {', '.join(known)}; is it a run directory?")
    remarks: list[str] = []

    def read(name: str, reader: Callable[[Path], Any], empty: Any) -> Any:
        try:
            return reader(directory / name)
        except FileNotFoundError:
            remarks.append(f"{name} is not there")
        except (OSError, ValueError, KeyError) as error:
            remarks.append(f"{name} cannot be read: {str(error).splitlines()[0]}")
        return empty

    config_text = read(CONFIG, lambda path: path.read_text(encoding="utf-8"), "")
    config = _parsed(config_text, remarks)
    searched = "data" not in config or (directory / MOLECULES).exists()  # and not trained

    def of_search(name: str, reader: Callable[[Path], Any]) -> pd.DataFrame:
        return read(name, reader, pd.DataFrame()) if searched else pd.DataFrame()

    return RunData(
        directory=directory,
        molecules=of_search(MOLECULES, _read_molecules),
        latent=of_search(LATENT, _read_latent),
        metrics=read(METRICS, read_json, {}),
        manifest=read(MANIFEST, read_json, {}),
        config=config,
        config_text=config_text,
        events=read(EVENTS, read_events, []),
        remarks=remarks,
        diverse=of_search(DIVERSE, _read_diverse) if (directory / DIVERSE).exists() else pd.DataFrame(),
    )


def _read_molecules(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    if missing := [name for name in ("call", "smiles", "value") if name not in frame]:
        raise DataError(f"lacks the columns {', '.join(missing)}")
    frame = frame.sort_values("call", kind="stable").reset_index(drop=True)
    frame["value"] = pd.to_numeric(frame["value"], errors="coerce").astype(float)
    if "feasible" not in frame:
        frame["feasible"] = True
    if objective_columns(frame) and "front" not in frame:
        raise DataError("has several objectives, but lacks the column front")
    return frame


def objective_columns(molecules: pd.DataFrame) -> list[str]:
    """The columns of several objectives; none where there is one score."""
    return [name for name in molecules.columns if name.startswith(OBJECTIVE)]


def standing(molecules: pd.DataFrame) -> pd.Series:
    """What molecules are coloured and ordered by: the score, or the mean rank (0 to 1) over several objectives."""
    columns = objective_columns(molecules)
    return molecules[columns].rank(pct=True).mean(axis=1, skipna=False) if columns else molecules["value"]


def _read_latent(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)[["call", "x", "y"]].dropna().drop_duplicates("call")


def _read_diverse(path: Path) -> pd.DataFrame:
    return pd.read_csv(path)[["call", "nearest"]]


def _parsed(config_text: str, remarks: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(config_text)
    except tomllib.TOMLDecodeError as error:
        remarks.append(f"config.resolved.toml is not valid TOML: {error}")
        return {}


def best_molecules(molecules: pd.DataFrame, n: int) -> pd.DataFrame:
    """The `n` best feasible molecules with a score, best first; of equal ones the earlier.

    Of several objectives: an even selection of the front, by the first objective.
    """
    if molecules.empty:
        return molecules
    if columns := objective_columns(molecules):
        front = molecules[molecules["front"].astype(bool)].sort_values([*columns, "call"], ascending=False)
        return front.iloc[:: max(1, -(-len(front) // n))]
    usable = molecules[molecules["feasible"].astype(bool) & molecules["value"].notna()]
    return usable.sort_values(["value", "call"], ascending=[False, True]).head(n)


def running_best(values: Iterable[float], k: int) -> list[float]:
    """Mean of the `k` best values so far after each call (of fewer while there are fewer); NaN before the first."""
    heap: list[float] = []
    means = []
    for value in values:
        if math.isfinite(value):
            (heapq.heappush if len(heap) < k else heapq.heappushpop)(heap, value)
        means.append(sum(heap) / len(heap) if heap else math.nan)
    return means


def table_rows(molecules: pd.DataFrame) -> str:
    """The molecules as JSON for the page's table: {"columns": [...], "rows": [[...], ...], "scores": [...]}.

    NaN is null; "scores" are the places of the columns that say how good a molecule is.

    `<` is escaped, so that no SMILES or name can end the script element that the text stands in.
    """
    scores = objective_columns(molecules) or ["value"]
    wanted = ("call", *scores, "smiles", "front", "proposer", "batch", "seconds", "feasible")
    columns = [name for name in wanted if name in molecules.columns]
    columns += [name for name in molecules.columns if name.startswith((COMPONENT, OUTCOME))]
    rows = [[_plain(value) for value in row] for row in molecules[columns].itertuples(index=False, name=None)]
    table = {
        "columns": [_heading(name) for name in columns],
        "rows": rows,
        "scores": [columns.index(name) for name in scores if name in columns],
    }
    return json.dumps(table, separators=(",", ":")).replace("<", "\\u003c")


def _heading(column: str) -> str:
    return column.removeprefix(COMPONENT).removeprefix(OBJECTIVE).removeprefix(OUTCOME)


def _plain(value: Any) -> Any:
    """A value that JSON knows: floats to six digits, missing ones None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)
