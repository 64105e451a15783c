"""Tables and pictures of a small made-up study, beside published figures."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from statistics import stdev
from xml.etree import ElementTree

import pandas as pd
import pytest

from molvae.oracles import PMO_TASKS
from pipelines.pmo.plots import bars, curves
from pipelines.pmo.results import Row, add_row, read_rows
from pipelines.pmo.tables import Results, by_task, cost, published, report, sums

TASKS = ("qed", "median1", "valsartan_smarts")
AUC = {
    ("ours", "qed"): (0.9, 0.8),
    ("ours", "median1"): (0.3, 0.4),
    ("ours", "valsartan_smarts"): (0.0, 0.6),
    ("peer", "qed"): (0.7, 0.7),
    ("peer", "median1"): (0.35, 0.45),
    ("peer", "valsartan_smarts"): (0.0, 0.0),
}


def row(method: str, task: str, seed: int, auc: float, seconds: float = 60.0) -> Row:
    areas = dict.fromkeys(("auc_top1", "auc_top10", "auc_top100", "top1_mean", "top10_mean", "top100_mean"), auc)
    line = " ".join(f"{auc * i / 20:.4f}" for i in range(1, 21))
    return Row(
        method, task, seed, 1000, "hash", "start", **areas, molecules=1000, diversity=0.8, seconds=seconds,
        cpu_seconds=math.nan, peak_mib=500, ended="budget", code="abc", curve=line,
    )  # fmt: skip


def small(tmp_path: Path, leave_out: tuple[str, str] | None = None) -> Results:
    """Two methods, three tasks, two seeds, by way of a results file."""
    for (method, task), seed in product(AUC, (0, 1)):
        if (method, task) != leave_out:
            add_row(row(method, task, seed, AUC[method, task][seed]), tmp_path / "pmo_1000.csv")
    return Results(read_rows(tmp_path / "pmo_1000.csv").values(), ["absent", "ours", "peer"], TASKS, 1000)


def cells(table: str, name: str) -> list[str]:
    """The row of a Markdown table that begins with a name."""
    rows = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return next(r[1:] for r in rows if r[0] == name)


def test_tasks_have_means_and_deviations_over_seeds(tmp_path: Path) -> None:
    table = by_task(small(tmp_path))
    assert cells(table, "task") == ["ours", "peer"]
    assert cells(table, "qed") == ["0.850** ± 0.071", "0.700 ± 0.000"]
    assert cells(table, "median1") == ["0.350 ± 0.071", "0.400** ± 0.071"]


def test_sums_stand_beside_published_ones(tmp_path: Path) -> None:
    others = pd.DataFrame(
        [["A", "qed", 0.8, 3, "no", ""], ["A", "median1", 0.2, 3, "no", ""]]
        + [["B", t, 0.5, math.nan, "yes", ""] for t in TASKS],
        columns=["method", "task", "auc_top10", "seeds", "prescreen", "source"],
    )
    table = sums(small(tmp_path), others)
    spread = stdev([0.9 + 0.3 + 0.0, 0.8 + 0.4 + 0.6])
    assert cells(table, "ours")[:4] == [f"1.500 ± {spread:.3f}", "1.200 ± 0.000", "", ""]
    assert cells(table, "peer")[2:] == ["-0.400", "-0.133 ± 0.101", "2 of 3", "1.100", "2", "no"]
    assert cells(table, "A") == ["", "1.000", "", "", "", "", "3", "no"]
    assert cells(table, "B") == ["1.500", "1.000", "", "", "", "", "", "yes"]
    names = [line.split("|")[1].strip(" *") for line in table.splitlines()[2:]]
    assert names[:2] == ["ours", "peer"]


def test_sums_are_over_the_tasks_that_all_have(tmp_path: Path) -> None:
    results = small(tmp_path, leave_out=("peer", "valsartan_smarts"))
    assert results.common == ["qed", "median1"]
    text = report(results, published(1000), "x")
    assert "the 2 task(s) that every method here has: qed, median1" in text
    table = text.split("## AUC by task")[0]
    assert cells(table, "ours")[0] == "1.200 ± 0.000"
    assert cells(table, "COMPOSE")[0] == f"{0.878 + 0.245:.3f}"
    assert cells(by_task(results), "valsartan_smarts")[1] == ""


def test_a_seed_that_lacks_tasks_is_not_counted_like_the_others() -> None:
    rows = [row("ours", task, seed, 0.5, 100.0) for task in TASKS for seed in (0, 1)] + [
        row("ours", "qed", 2, 0.9, 1.0)
    ]
    results = Results(rows, ["ours"], TASKS, 1000)
    assert results.seeds("ours") == "2, one on 1 of 3 tasks"
    assert results.by_seed("ours", TASKS).to_dict() == {0: 1.5, 1: 1.5}


def test_cost_of_the_hop_tasks_stands_apart() -> None:
    rows = [row("ours", "qed", 0, 0.5, 100.0), row("ours", "deco_hop", 0, 0.5, 900.0)]
    table = cost(Results(rows, ["ours"], ["qed", "deco_hop"], 1000))
    assert cells(table, "ours")[:6] == ["2", "100", "100", "900", "900", ""]


def test_nothing_yet() -> None:
    assert "No run is finished" in report(Results([], ["ours"], TASKS, 1000), published(1000), "x")


@pytest.mark.parametrize("budget", [1000, 10_000, 150])
def test_pictures_are_whole(tmp_path: Path, budget: int) -> None:
    results = small(tmp_path)
    lines = ElementTree.fromstring(curves(results))
    words = {"".join(text.itertext()) for text in lines.iter("{http://www.w3.org/2000/svg}text")}
    assert {"ours 0.500", "peer 0.367"} <= words
    assert len(list(lines.iter("{http://www.w3.org/2000/svg}polyline"))) == 2
    shown = ElementTree.fromstring(bars(results, published(budget)))
    lengths = [float(r.attrib["width"]) for r in shown.iter("{http://www.w3.org/2000/svg}rect")]
    assert lengths == sorted(lengths, reverse=True)
    assert len(lengths) == {1000: 3, 10_000: 16, 150: 2}[budget]
    assert (budget == 1000) == ("without valsartan_smarts" in bars(results, published(budget)))


def test_published_figures_are_whole_and_what_they_are_known_for() -> None:
    frame = published(10_000)
    totals = frame.groupby("method")["auc_top10"].agg(["sum", "size"])
    assert (totals["size"] == len(PMO_TASKS)).all()
    assert set(frame["task"]) == set(PMO_TASKS)
    known = {"Genetic GFN": 13.594, "InVirtuoGen without prescreen": 13.913, "Tripp GP BO": 13.740, "Mol GA": 13.007}
    for method, total in known.items():
        assert totals.loc[method, "sum"] == pytest.approx(total, abs=1e-3)
    assert set(frame.loc[frame["prescreen"] == "yes", "method"]) == {"InVirtuoGen", "GenMol", "f-RAG"}
    compose = published(1000)
    assert set(compose["task"]) == set(PMO_TASKS) - {"valsartan_smarts"}
