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
from molvae.core.files import read_events, read_json

COMPONENT = "component:"  # prefix of the columns that hold what a score is made of


@dataclass(frozen=True)
class RunData:
    """A run directory, read.

    Attributes:
        directory: where the run lies.
        molecules: a row for each distinct molecule scored, in call order; empty where there is none.
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


def read_run(directory: str | Path) -> RunData:
    """Read a run directory.

    Raises:
        DataError: there is no such directory, or nothing in it that a run writes.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise DataError(f"{directory}: no such directory; give the run directory that molvae optimise or train wrote")
    known = ("molecules.parquet", "metrics.json", "manifest.json", "config.resolved.toml", "events.jsonl")
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

    config_text = read("config.resolved.toml", lambda path: path.read_text(encoding="utf-8"), "")
    return RunData(
        directory=directory,
        molecules=read("molecules.parquet", _read_molecules, pd.DataFrame()),
        latent=read("latent.parquet", _read_latent, pd.DataFrame()),
        metrics=read("metrics.json", read_json, {}),
        manifest=read("manifest.json", read_json, {}),
        config=_parsed(config_text, remarks),
        config_text=config_text,
        events=read("events.jsonl", read_events, []),
        remarks=remarks,
    )


def _read_molecules(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    if missing := [name for name in ("call", "smiles", "value") if name not in frame]:
        raise DataError(f"lacks the columns {', '.join(missing)}")
    frame = frame.sort_values("call", kind="stable").reset_index(drop=True)
    frame["value"] = pd.to_numeric(frame["value"], errors="coerce").astype(float)
    if "feasible" not in frame:
        frame["feasible"] = True
    return frame


def _read_latent(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path)[["call", "x", "y"]].dropna().drop_duplicates("call")


def _parsed(config_text: str, remarks: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(config_text)
    except tomllib.TOMLDecodeError as error:
        remarks.append(f"config.resolved.toml is not valid TOML: {error}")
        return {}


def best_molecules(molecules: pd.DataFrame, n: int) -> pd.DataFrame:
    """The `n` best feasible molecules with a score, best first; of equal ones the earlier."""
    if molecules.empty:
        return molecules
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
    """The molecules as JSON for the page's table: {"columns": [...], "rows": [[...], ...]}, NaN as null.

    `<` is escaped, so that no SMILES or name can end the script element that the text stands in.
    """
    wanted = ("call", "value", "smiles", "proposer", "batch", "seconds", "feasible")
    columns = [name for name in wanted if name in molecules.columns]
    columns += [name for name in molecules.columns if name.startswith(COMPONENT)]
    rows = [[_plain(value) for value in row] for row in molecules[columns].itertuples(index=False, name=None)]
    names = [name.removeprefix(COMPONENT) for name in columns]
    return json.dumps({"columns": names, "rows": rows}, separators=(",", ":")).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    """A value that JSON knows: floats to six digits, missing ones None."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool) or value is None else str(value)
