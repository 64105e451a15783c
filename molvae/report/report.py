"""One HTML page about a run that opens offline: everything that it shows is inside the file.

Best molecules as pictures with scores and components, convergence, the map of the latent space, a table to sort and
filter, and what was run. What a run did not leave behind is said on the page.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from molvae.core.files import REPORT, write_text
from molvae.oracles.objective import DESIRABILITY
from molvae.report.charts import MAX_DOTS, Chart, colour
from molvae.report.citations import citations
from molvae.report.drawing import molecule_svg
from molvae.report.front import figures as front_figures
from molvae.report.front import front_chart, front_legend, hypervolume_chart
from molvae.report.rundata import (
    RunData,
    best_molecules,
    objective_columns,
    read_run,
    running_best,
    standing,
    table_rows,
)
from molvae.search.result import COMPONENT, OBJECTIVE, Reason

N_PICTURES = 24

log = logging.getLogger(__name__)


class Component(NamedTuple):
    """A part of a score: its value in its own unit, and the share of a bar (0 to 1) where there is one to show."""

    name: str
    value: float
    share: float | None


@dataclass(frozen=True)
class Card:
    """One of the best molecules, as shown."""

    rank: int
    call: int
    smiles: str
    value: float | None
    picture: Markup
    proposer: str
    components: list[Component]


def write_report(run_dir: str | Path) -> Path:
    """Write `report.html` into a run directory; returns its path.

    A part of the page that fails is left out with a remark: a report never stops a run.

    Raises:
        DataError: `run_dir` is no run directory.
        OSError: the page cannot be written.
    """
    run = read_run(run_dir)
    path = run.directory / REPORT
    write_text(path, render(run))
    return path


def render(run: RunData) -> str:
    """The page as text."""

    def part(name: str, make: Callable[[RunData], Any], empty: Any) -> Any:
        try:
            return make(run)
        except Exception as error:  # a picture is never worth a lost run; the remark says what happened
            log.warning("report: %s left out", name, exc_info=True)
            run.remarks.append(f"{name} left out: {type(error).__name__}: {error}")
            return empty

    files = resources.files("molvae.report") / "templates"
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["number"] = number
    parts: dict[str, Any] = {
        "title": part("the title", _title, run.directory.name),
        "state": part("how far the search is", _state, ""),
        "figures": part("the figures", _figures, []),
        "cards": part("the pictures", lambda r: _cards(best_molecules(r.molecules, N_PICTURES)), []),
        "diverse": part("the diverse selection", _diverse, []),
        "front": part("the front", lambda r: Markup(front_chart(r)), ""),
        "front_legend": part("the legend of the front", front_legend, ""),
        "hypervolume": part("the hypervolume", lambda r: Markup(hypervolume_chart(r)), ""),
        "convergence": part("the convergence curve", _convergence, ""),
        "latent_map": part("the latent map", _latent_map, ""),
        "n_on_map": part("the count of the latent map", lambda r: len(r.latent), 0),
        "training": part("the training curves", _training_curves, []),
        "proposers": part("the table of proposers", _proposers, []),
        "table": Markup(part("the table of molecules", lambda r: table_rows(r.molecules), "null")),
        "facts": part("what was run", _facts, []),
        "citations": part("the citations", lambda r: citations(r.manifest, r.config), []),
    }
    return environment.from_string((files / "report.html.j2").read_text(encoding="utf-8")).render(
        run=run,
        style=Markup((files / "report.css").read_text(encoding="utf-8")),
        script=Markup((files / "report.js").read_text(encoding="utf-8")),
        **parts,
    )


def number(value: Any) -> str:
    """A number as people read it; a dash for what is missing."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return "–" if value is None else str(value)
    value = float(value)
    if not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 or value.is_integer() else f"{value:,.4g}"


def _title(run: RunData) -> str:
    for section in (run.config, run.config.get("oracle", {})):
        if isinstance(section, dict) and isinstance(section.get("name"), str):
            return section["name"]
    return run.directory.resolve().name


def _figures(run: RunData) -> list[tuple[str, Any]]:
    """The headline: (what, value)."""
    metrics, molecules = run.metrics, run.molecules
    if molecules.empty:
        numbers = [(name.replace("_", " "), v) for name, v in metrics.items() if isinstance(v, int | float)]
        return [*numbers[:12], *_seconds(run)]
    best = best_molecules(molecules, 10)["value"]
    n_failed, n_infeasible = int(standing(molecules).isna().sum()), int((~molecules["feasible"].astype(bool)).sum())
    figures: list[tuple[str, Any]] = [
        ("best score", best.max() if len(best) else None),
        ("mean of the best 10", best.mean() if len(best) else None),
        ("molecules scored", len(molecules) - n_failed),
    ]
    if objective_columns(molecules):
        figures = list(front_figures(run))
    figures += [("AUC top-10", metrics["auc_top10"])] if "auc_top10" in metrics else []
    figures += [("could not be scored", n_failed)] if n_failed else []
    figures += [("break a constraint", n_infeasible)] if n_infeasible else []
    return [*figures, *_seconds(run)]


def _seconds(run: RunData) -> list[tuple[str, Any]]:
    """Of a search, its metrics know them; they are newer than the manifest where it is at work."""
    known = [about["seconds"] for about in (run.metrics, run.manifest) if "seconds" in about]
    return [("seconds", known[0])] if known else []


def _state(run: RunData) -> str:
    """What is to be said of a search that has not come to its end."""
    ended, calls, budget = (run.metrics.get(name) for name in ("ended", "calls", "budget"))
    if ended not in (Reason.STOPPED, Reason.AT_WORK) or calls is None or budget is None:
        return ""
    goes_on = "the same command goes on" if ended == Reason.STOPPED else "the search goes on"
    return f"{ended} after {calls:,} of {budget:,} calls; {goes_on}"


def _cards(molecules: pd.DataFrame) -> list[Card]:
    cards = []
    for rank, row in enumerate(molecules.to_dict("records"), start=1):
        picture = Markup(molecule_svg(row["smiles"]))
        proposer, components = str(row.get("proposer") or ""), _components({str(k): v for k, v in row.items()})
        value = None if objective_columns(molecules) else row["value"]
        cards.append(Card(rank, int(row["call"]), row["smiles"], value, picture, proposer, components))
    return cards


def _diverse(run: RunData) -> list[Card]:
    """The selected molecules, best first, each with its distance to the nearest of the others."""
    if run.diverse.empty or run.molecules.empty:
        return []
    shown = OBJECTIVE if objective_columns(run.molecules) else COMPONENT  # what its card tells
    chosen = run.diverse.rename(columns={"nearest": f"{shown}distance to the nearest"})
    return _cards(chosen.merge(run.molecules, on="call", how="inner"))


def _components(row: dict[str, Any]) -> list[Component]:
    """A value and its desirability make one line; a value between 0 and 1 is its own bar. Objectives come instead."""
    prefix = OBJECTIVE if any(k.startswith(OBJECTIVE) for k in row) else COMPONENT
    values = {k.removeprefix(prefix): float(v) for k, v in row.items() if k.startswith(prefix) and pd.notna(v)}
    paired = {name + DESIRABILITY for name in values}
    shown = {name: value for name, value in values.items() if name not in paired}
    shares = {name: values.get(name + DESIRABILITY, value) for name, value in shown.items()}
    return [Component(name, v, shares[name] if 0 <= shares[name] <= 1 else None) for name, v in shown.items()]


def _convergence(run: RunData) -> Markup | str:
    """Every score against its call, the best so far and the mean of the best ten so far."""
    molecules = run.molecules
    scored = molecules[molecules["value"].notna()] if not molecules.empty else molecules
    if scored.empty:
        return ""
    calls, values = molecules["call"].to_numpy(), molecules["value"].to_numpy()
    usable = np.where(molecules["feasible"].astype(bool), values, np.nan)
    chart = Chart(
        (0, float(calls.max())), (float(scored["value"].min()), float(scored["value"].max())), "oracle calls", "score"
    )
    dots = _dots(scored)
    styles = _proposer_styles(molecules)
    names = dots["proposer"].astype(str) if "proposer" in dots else [""] * len(dots)
    chart.points(dots["call"], dots["value"], list(dots.index), [styles.get(name, "c0") for name in names])
    chart.line(calls, running_best(usable, 10), "top10")
    chart.line(calls, running_best(usable, 1), "best")
    return Markup(chart.svg())


def _latent_map(run: RunData) -> Markup | str:
    """The molecules on two axes of the latent space, bright where the score is high."""
    if run.latent.empty or run.molecules.empty:
        return ""
    rows = run.molecules.reset_index(names="row").merge(run.latent, on="call").set_index("row")
    rows = rows.assign(value=standing(rows))
    rows = rows[rows["value"].notna()]
    if rows.empty:
        return ""
    rows = _dots(rows).sort_values("value", kind="stable")  # the best are drawn last, on top
    rank = rows["value"].rank(pct=True)
    x, y = rows["x"].to_numpy(float), rows["y"].to_numpy(float)
    chart = Chart((x.min(), x.max()), (y.min(), y.max()), "first axis", "second axis", height=420)
    chart.points(x, y, list(rows.index), [colour(value) for value in rank], radius=3.2)
    return Markup(chart.svg())


def _dots(scored: pd.DataFrame) -> pd.DataFrame:
    """At most MAX_DOTS rows: the best and an even selection of the rest."""
    if len(scored) <= MAX_DOTS:
        return scored
    best = scored.nlargest(MAX_DOTS // 4, "value").index
    rest = scored.index.difference(best)
    return scored.loc[best.union(rest[:: -(-len(rest) // (MAX_DOTS - len(best)))])]


def _proposer_styles(molecules: pd.DataFrame) -> dict[str, str]:
    """Proposer -> CSS class of its colour, in order of first appearance."""
    if "proposer" not in molecules:
        return {}
    return {str(name): f"c{i % 6}" for i, name in enumerate(molecules["proposer"].astype(str).unique())}


def _proposers(run: RunData) -> list[dict[str, Any]]:
    """Who proposed what: one row for each proposer."""
    if run.molecules.empty or "proposer" not in run.molecules:
        return []
    among_best = set(best_molecules(run.molecules, 100)["call"])
    return [
        {
            "name": name,
            "style": style,
            "n": len(group),
            "mean": group["value"].mean(),
            "best": group["value"].max(),
            "among_best": int(group["call"].isin(among_best).sum()),
        }
        for name, style in _proposer_styles(run.molecules).items()
        for group in [run.molecules[run.molecules["proposer"].astype(str) == name]]
    ]


def _training_curves(run: RunData) -> list[tuple[str, Markup]]:
    """(name, chart) of every number that training and validation log, against the step."""
    series: dict[str, tuple[list[float], list[float]]] = {}
    for event in run.events:
        step, kind = event.get("step"), event.get("event")
        if kind not in ("train", "valid") or not isinstance(step, int):
            continue
        for name, value in event.items():
            if isinstance(value, int | float) and name not in ("step", "time", "n_molecules"):
                x, y = series.setdefault(f"{kind} {name}", ([], []))
                x.append(step)
                y.append(value)
    curves = []
    for name, (x, y) in series.items():
        if len(x) > 1:
            chart = Chart((min(x), max(x)), (min(y), max(y)), "step", name.replace("_", " "), width=380, height=220)
            chart.line(x, y, "best")
            curves.append((name, Markup(chart.svg())))
    return curves


def _facts(run: RunData) -> list[tuple[str, str]]:
    """What was run: (what, text)."""
    manifest = run.manifest
    facts = [
        (key, str(manifest[key]))
        for key in ("kind", "command", "finished", "seconds", "seed", "device", "cpus", "platform")
        if manifest.get(key) is not None
    ]
    if versions := manifest.get("versions"):
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if measured := manifest.get("measured"):
        facts.append(("measured data", ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in measured.items())))
    for name, entry in (manifest.get("inputs") or {}).items():
        facts.append((f"input: {name}", f"{entry.get('path')}  sha256 {entry.get('sha256')}"))
    return facts
