"""Tables of a study as Markdown: sums beside the published ones, AUC by task, and what the runs cost.

Means are over seeds, "±" is the sample standard deviation (n - 1) over seeds; of a difference a run from the first
method it is the standard error over all pairs of runs of one task and seed. Sums are over the tasks that every method
of the study has; a published method that lacks one of them has no sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from molvae.oracles import PMO_TASKS
from pipelines.pmo.results import Row
from pipelines.rows import markdown

PUBLISHED = Path(__file__).parents[2] / "data" / "results" / "pmo_published.csv"
NEARLY_BINARY = "valsartan_smarts"  # 0 for most runs; decides a sum by chance, so that sums stand without it, too
HOPS = ("deco_hop", "scaffold_hop")  # their oracles are slower
MEASURE = "auc_top10"


class Results:
    """The rows of a study, in the order of its methods and tasks.

    Attributes:
        frame: a row a run.
        methods, tasks: those that have a row.
        common: the tasks that every such method has.
    """

    def __init__(self, rows: Iterable[Row], methods: Sequence[str], tasks: Sequence[str], budget: int) -> None:
        self.budget = budget
        self.frame = pd.DataFrame([asdict(row) for row in rows])
        found = {m: set(group["task"]) for m, group in self.frame.groupby("method")} if len(self.frame) else {}
        self.methods = [m for m in methods if m in found]
        self.tasks = [t for t in tasks if any(t in found[m] for m in self.methods)]
        self.common = [t for t in self.tasks if all(t in found[m] for m in self.methods)]

    def by_task(self, column: str = MEASURE) -> pd.DataFrame:
        """Mean over seeds: a row a task, a column a method."""
        return self.frame.pivot_table(column, "task", "method", "mean").reindex(index=self.tasks, columns=self.methods)

    def by_seed(self, method: str, tasks: Sequence[str]) -> pd.Series[float]:
        """Sum over the tasks for each seed that has them all."""
        of = self.frame[(self.frame["method"] == method) & self.frame["task"].isin(tasks)]
        sums = of.groupby("seed")[MEASURE].agg(["sum", "size"])
        return sums.loc[sums["size"] == len(tasks), "sum"]

    def seeds(self, method: str) -> str:
        """How many seeds have all the common tasks, and how many of them each other seed has."""
        of = self.frame[(self.frame["method"] == method) & self.frame["task"].isin(self.common)]
        tasks_of = of.groupby("seed")["task"].nunique()
        lacking = tasks_of[tasks_of < len(self.common)]
        parts = [f"one on {n} of {len(self.common)} tasks" for n in lacking]
        return ", ".join([str(len(tasks_of) - len(lacking)), *parts])

    def differences(self, method: str, other: str, tasks: Sequence[str]) -> pd.Series[float]:
        """How far one method is above another in each task and seed that both have."""
        pairs = self.frame.pivot_table(MEASURE, ["task", "seed"], "method").loc[list(tasks)]
        return (pairs[method] - pairs[other]).dropna()

    def total(self, method: str, tasks: Sequence[str], column: str = MEASURE) -> float:
        """Sum over the tasks of the mean over seeds."""
        return float(self.by_task(column).loc[list(tasks), method].sum())

    @property
    def without_binary(self) -> list[str]:
        """The common tasks but `NEARLY_BINARY`."""
        return [t for t in self.common if t != NEARLY_BINARY]


def published(budget: int) -> pd.DataFrame:
    """Published AUC of the best ten for a budget: columns method, task, auc_top10, seeds, prescreen, source."""
    frame = pd.read_csv(PUBLISHED)
    return frame[frame["budget"] == budget].drop(columns="budget")


def report(results: Results, others: pd.DataFrame, title: str) -> str:
    """All tables of a study, Markdown."""
    if not results.methods:
        return f"# {title}\n\nNo run is finished yet.\n"
    named = "" if len(results.common) == len(PMO_TASKS) else ": " + ", ".join(results.common)
    head = (
        f"# {title}\n\nPMO, {results.budget:,} oracle calls a run. AUC is that of the mean of the best ten over the "
        "budget. Means over seeds; ± is their standard deviation (of sums, that of the seeds with all tasks), and of "
        "differences a run the standard error over pairs of runs. Sums are over the "
        f"{len(results.common)} task(s) that every method here has{named}.\n"
    )
    parts = [head, "## Sums\n", sums(results, others), "## AUC by task\n", by_task(results)]
    if len(others):
        parts += ["## Published AUC by task\n", published_by_task(results, others), sources(others)]
    return "\n".join([*parts, "## Cost of a run\n", cost(results)])


def sums(results: Results, others: pd.DataFrame) -> str:
    """A row a method, published ones among those measured, the best first."""
    tasks, rest, first = results.common, results.without_binary, results.methods[0]
    lines = [*(_measured(results, m) for m in results.methods), *_published_sums(results, others)]
    lines.sort(key=lambda line: -line[0])
    names = [
        "method (measured here: bold)",
        f"sum of {len(tasks)}",
        f"without {NEARLY_BINARY}",
        f"against {first}",
        "a run",
        f"{first} better on",
        "sum of final top-10",
        "seeds",
        "ZINC scored outside the budget",
    ]
    keep = [i for i in range(len(names)) if i != 2 or len(rest) < len(tasks)]
    return markdown([names[i] for i in keep], [[cells[i] for i in keep] for _, cells in lines])


def _measured(results: Results, method: str) -> tuple[float, list[str]]:
    """What to sort by, and the cells of a method of the study."""
    tasks, rest, first = results.common, results.without_binary, results.methods[0]
    total, partial = results.total(method, tasks), results.total(method, rest)
    means = results.by_task().loc[tasks]
    is_first = method == first
    cells = [
        f"**{method}**",
        _with_spread(total, results.by_seed(method, tasks)),
        _with_spread(partial, results.by_seed(method, rest)),
        "" if is_first else f"{total - results.total(first, tasks):+.3f}",
        "" if is_first else f"{(pairs := results.differences(method, first, tasks)).mean():+.3f} ± {pairs.sem():.3f}",
        "" if is_first else f"{(means[first] > means[method]).sum()} of {len(tasks)}",
        f"{results.total(method, tasks, 'top10_mean'):.3f}",
        results.seeds(method),
        "no",
    ]
    return partial, cells


def _published_sums(results: Results, others: pd.DataFrame) -> list[tuple[float, list[str]]]:
    """The same for the published methods; an empty sum where one lacks a task."""
    lines = []
    for method, group in others.groupby("method", sort=False):
        values = group.set_index("task")[MEASURE]
        both = [
            float(values[list(part)].sum()) if set(part) <= set(values.index) else math.nan
            for part in (results.common, results.without_binary)
        ]
        seeds = "" if group["seeds"].isna().all() else f"{group['seeds'].iloc[0]:.0f}"
        shown = ["" if math.isnan(value) else f"{value:.3f}" for value in both]
        cells = [str(method), *shown, "", "", "", "", seeds, str(group["prescreen"].iloc[0])]
        lines.append((0.0 if math.isnan(both[1]) else both[1], cells))
    return lines


def by_task(results: Results) -> str:
    """A row a task, a column a method: mean ± standard deviation over seeds."""
    means = results.by_task()
    spread = results.frame.pivot_table(MEASURE, "task", "method", "std", dropna=False)
    spread = spread.reindex(index=results.tasks, columns=results.methods)
    rows = []
    for task in results.tasks:
        values, deviations = (list(map(float, table.loc[task])) for table in (means, spread))
        best = max(value for value in values if not math.isnan(value))
        rows.append([task, *(_cell(v, d, v == best) for v, d in zip(values, deviations, strict=True))])
    return markdown(["task", *results.methods], rows)


def published_by_task(results: Results, others: pd.DataFrame) -> str:
    """A row a task, a column a published method; those that scored ZINC outside the budget have a star."""
    starred = others.assign(method=others["method"] + others["prescreen"].map({"yes": "*", "no": ""}))
    table = starred.pivot_table(MEASURE, "task", "method", sort=False)
    rows = [
        [t, *("" if math.isnan(v) else f"{v:.3f}" for v in map(float, table.loc[t]))]
        for t in results.tasks
        if t in table.index
    ]
    return markdown(["task", *map(str, table.columns)], rows)


def sources(others: pd.DataFrame) -> str:
    """Where the published figures are from."""
    lines = ["\\* scored all of ZINC250k with the task's oracle, about 250,000 calls, outside the budget.\n"]
    named = others[~others["method"].str.startswith("best of")]
    for source, group in named.groupby("source", sort=False):
        lines.append(f"- {', '.join(dict.fromkeys(group['method']))}: {source}")
    return "\n".join([*lines, ""])


def cost(results: Results) -> str:
    """A row a method: seconds and memory of its runs."""
    rows = []
    for method in results.methods:
        of = results.frame[results.frame["method"] == method]
        hops = of["task"].isin(HOPS)
        rows.append(
            [
                method,
                str(len(of)),
                *(_number(of.loc[~hops, "seconds"].agg(how)) for how in ("median", "max")),
                *(_number(of.loc[hops, "seconds"].agg(how)) for how in ("median", "max")),
                _number(of["cpu_seconds"].median()),
                _number(of["peak_mib"].max()),
                f"{of['diversity'].mean():.3f}",
                _number(of["molecules"].min()),
            ]
        )
    names = ["method", "runs", "median s", "longest s", "hop tasks, median s", "longest s", "median CPU s"]
    return markdown([*names, "peak MiB", "diversity of the best 100", "fewest molecules"], rows)


def _with_spread(mean: float, by_seed: pd.Series[float]) -> str:
    return f"{mean:.3f} ± {by_seed.std():.3f}" if len(by_seed) > 1 else f"{mean:.3f}"


def _cell(mean: float, spread: float, best: bool) -> str:
    if math.isnan(mean):
        return ""
    text = f"**{mean:.3f}**" if best else f"{mean:.3f}"
    return text if math.isnan(spread) else f"{text} ± {spread:.3f}"


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:,.0f}"
