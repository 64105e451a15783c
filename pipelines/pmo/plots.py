"""Pictures of a study as SVG files that stand alone: curves of the best ten, and sums as bars beside published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import pandas as pd

from molvae.report.charts import Chart, colour
from pipelines.pmo.tables import MEASURE, NEARLY_BINARY, Results

WIDTH, HEIGHT, LEGEND = 640, 380, 190
BAR, NAMES, FIGURES = 20, 230, 60  # height of a bar, space for names and figures beside them

STYLE = """<style>
text { font: 12px sans-serif; fill: #444 } .grid { stroke: #8884 } .line { fill: none; stroke-width: 2 }
.measured { fill: #2a788e } .published { fill: #9aa5ad } .prescreened { fill: none; stroke: #9aa5ad }
@media (prefers-color-scheme: dark) { text { fill: #ccc } }
</style>"""


def curves(results: Results) -> str:
    """Mean of the best ten against calls, a line a method: mean over seeds, then over the tasks that all have."""
    lines = {method: curve_of(results, method) for method in results.methods}
    every = [value for line in lines.values() for value in line]
    label = f"mean of the best ten, mean of {len(results.common)} tasks"
    chart = Chart((0, results.budget), (min(every), max(every)), "oracle calls", label, WIDTH, HEIGHT)
    legend, styles = [], []
    for i, (method, line) in enumerate(sorted(lines.items(), key=lambda item: -item[1][-1])):
        paint = colour(0.92 * i / max(1, len(lines) - 1))  # the brightest end is hard to see on white
        chart.line([results.budget * (j + 1) / len(line) for j in range(len(line))], line, f"m{i}")
        styles.append(f"<style>.m{i} {{ stroke: {paint} }}</style>")
        y = 30 + 22 * i
        legend.append(f'<line class="line m{i}" x1="{WIDTH}" x2="{WIDTH + 24}" y1="{y}" y2="{y}"/>')
        legend.append(f'<text x="{WIDTH + 30}" y="{y + 4}">{escape(method)} {line[-1]:.3f}</text>')
    size = f'width="{WIDTH}" height="{HEIGHT}"'
    return _picture(WIDTH + LEGEND, HEIGHT, [*styles, chart.svg(size), *legend])


def curve_of(results: Results, method: str) -> list[float]:
    """The curve of one method, at equal parts of the budget."""
    of = results.frame[(results.frame["method"] == method) & results.frame["task"].isin(results.common)]
    points = of["curve"].str.split(" ", expand=True).astype(float)
    return [float(value) for value in points.groupby(of["task"]).mean().mean()]


def bars(results: Results, others: pd.DataFrame) -> str:
    """Sums of AUC top-10, the best first; hollow: ZINC was scored outside the budget.

    Over the common tasks; without `NEARLY_BINARY` where a published method left it out.
    """
    given = {str(method): group.set_index("task") for method, group in others.groupby("method", sort=False)}
    whole = all(set(results.common) <= set(group.index) for group in given.values())
    tasks = results.common if whole else results.without_binary
    found = [(results.total(m, tasks), m, "measured") for m in results.methods]
    kinds = {"yes": "prescreened", "no": "published"}
    for method, group in given.items():
        if set(tasks) <= set(group.index):
            found.append((float(group.loc[tasks, MEASURE].sum()), method, kinds[group["prescreen"].iloc[0]]))
    found.sort(key=lambda bar: -bar[0])
    over = f"{len(tasks)} tasks" + ("" if whole else f" (without {NEARLY_BINARY})")
    marks = [f'<text x="8" y="18">Sum of AUC top-10 over {over}, {results.budget:,} calls</text>']
    scale = (WIDTH + LEGEND - NAMES - FIGURES) / max(math.ceil(found[0][0]), 1)
    for i, (total, name, kind) in enumerate(found):
        marks += _bar(30 + i * (BAR + 6), name, total, kind, total * scale)
    return _picture(WIDTH + LEGEND, 40 + len(found) * (BAR + 6), marks)


def _bar(y: int, name: str, total: float, kind: str, length: float) -> list[str]:
    middle = y + BAR / 2 + 4
    weight = ' font-weight="bold"' if kind == "measured" else ""
    return [
        f'<text x="{NAMES - 8}" y="{middle}" text-anchor="end"{weight}>{escape(name)}</text>',
        f'<rect class="{kind}" x="{NAMES}" y="{y}" width="{length:.1f}" height="{BAR}"/>',
        f'<text x="{NAMES + length + 6:.1f}" y="{middle}">{total:.3f}</text>',
    ]


def _picture(width: int, height: int, marks: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, STYLE, *marks, "</svg>", ""])
