"""The report page: complete, offline, and never in the way of a run."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from molvae.core.errors import DataError
from molvae.core.files import append_event, write_json
from molvae.core.manifest import write_manifest
from molvae.oracles.guacamol import CITATION as BENCHMARKS
from molvae.report.citations import citations
from molvae.report.report import number, write_report
from molvae.report.rundata import best_molecules, read_run, running_best, table_rows

SMILES = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "CN1CCC[C@H]1c1cccnc1", "O=C(O)c1ccccc1OC(C)=O", "C1CCCCC1"]
VALUES = [0.1, 0.4, math.nan, 0.9, 0.9, 0.2]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run directory as a search leaves it."""
    pd.DataFrame(
        {
            "call": range(1, 7),
            "smiles": SMILES,
            "value": VALUES,
            "proposer": ["prior", "latent", "latent", "structural", "latent", "structural"],
            "seconds": 0.01,
            "feasible": [True, True, True, True, True, False],
            "batch": [0, 0, 0, 1, 1, 1],
            "component:similarity": np.linspace(0, 1, 6),
            "component:similarity: desirability": 0.25,
            "component:logP": [-0.1, 1.4, 1.3, 1.8, 1.3, 2.3],
        }
    ).to_parquet(tmp_path / "molecules.parquet")
    pd.DataFrame({"call": [1, 2, 4, 5], "x": [0.0, 1, 2, 3], "y": [1.0, 0, 1, 0]}).to_parquet(
        tmp_path / "latent.parquet"
    )
    write_json(tmp_path / "metrics.json", {"auc_top10": 0.5, "n_batches": 2})
    (tmp_path / "config.resolved.toml").write_text('seed = 7\n[oracle]\nkind = "named"\nname = "osimertinib_mpo"\n')
    append_event(tmp_path / "events.jsonl", {"event": "batch", "batch": 0})
    inputs = {"config": tmp_path / "config.resolved.toml"}
    write_manifest(
        tmp_path, kind="optimise", inputs=inputs, seed=7, device="cpu", seconds=1.5, citations=["A. Author 1999"]
    )
    return tmp_path


class Elements(HTMLParser):
    """Counts elements, and fails on one that is closed but not open."""

    VOID = {"meta", "input", "br", "link"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def count(self, tag: str, **attributes: str) -> int:
        return sum(t == tag and attributes.items() <= a.items() for t, a in self.seen)


def page_of(run_dir: Path) -> str:
    return write_report(run_dir).read_text(encoding="utf-8")


def test_page_shows_everything_the_run_left(run_dir: Path) -> None:
    page = page_of(run_dir)
    elements = Elements(page)
    assert elements.open == []
    assert elements.count("article") == 4  # six molecules, one without a score and one infeasible
    assert elements.count("svg", **{"class": "chart"}) == 2
    assert "<dd>5</dd><dt>molecules scored</dt>" in page
    assert "osimertinib_mpo" in page
    assert "seed = 7" in page
    assert "A. Author 1999" in page
    assert "Not on this page" not in page
    assert page.index("CN1CCC[C@H]1c1cccnc1") < page.index("CC(=O)Nc1ccc(O)cc1")


def test_a_value_and_its_desirability_are_one_line(run_dir: Path) -> None:
    best = page_of(run_dir).split("</article>")[0]
    assert re.findall(r"<th>(.*?)</th><td>(.*?)</td>", best) == [("similarity", "0.6"), ("logP", "1.8")]
    assert re.findall(r'<i style="width:(.*?)%', best) == ["25.0"]


def test_page_opens_offline(run_dir: Path) -> None:
    page = page_of(run_dir)
    elements = Elements(page)
    assert not [a for _, a in elements.seen if "src" in a or "href" in a]
    assert "@import" not in page
    assert "url(" not in page.replace("createObjectURL(", "").replace("revokeObjectURL(", "")


def test_page_holds_the_table_as_valid_json(run_dir: Path) -> None:
    data = json.loads(re.search(r"const DATA = (.*?);\n", page_of(run_dir)).group(1))  # type: ignore[union-attr]
    assert data["columns"][:3] == ["call", "value", "smiles"]
    assert [row[2] for row in data["rows"]] == SMILES
    assert data["rows"][2][1] is None


@pytest.mark.parametrize(
    "name",
    ["molecules.parquet", "metrics.json", "manifest.json", "config.resolved.toml", "events.jsonl", "latent.parquet"],
)
def test_missing_and_damaged_parts_are_said(run_dir: Path, name: str) -> None:
    (run_dir / name).write_bytes(b"\x00 not what it should be [\n\n{}\n")
    assert name in page_of(run_dir)
    (run_dir / name).unlink()
    page = page_of(run_dir)
    assert f"{name} is not there" in page
    assert Elements(page).open == []


def test_nothing_scored_still_gives_a_page(run_dir: Path) -> None:
    frame = pd.read_parquet(run_dir / "molecules.parquet").assign(value=math.nan)
    frame.to_parquet(run_dir / "molecules.parquet")
    assert Elements(page_of(run_dir)).count("article") == 0
    frame.head(0).to_parquet(run_dir / "molecules.parquet")
    assert "What was run" in page_of(run_dir)


def test_hostile_text_stays_text(run_dir: Path) -> None:
    frame = pd.read_parquet(run_dir / "molecules.parquet")
    frame.loc[3, "proposer"] = "</script><script>alert(1)</script>"
    frame.to_parquet(run_dir / "molecules.parquet")
    page = page_of(run_dir)
    assert Elements(page).count("script") == 1
    assert "<script>alert" not in page


def test_a_constant_score_and_one_molecule_can_be_drawn(run_dir: Path) -> None:
    frame = pd.read_parquet(run_dir / "molecules.parquet").assign(value=0.0)
    frame.to_parquet(run_dir / "molecules.parquet")
    assert "nan" not in page_of(run_dir).lower().replace("nanochat", "").split("const data")[0].split("<main>")[1]
    frame.head(1).to_parquet(run_dir / "molecules.parquet")
    assert Elements(page_of(run_dir)).count("article") == 1


def test_training_run_shows_its_curves(tmp_path: Path) -> None:
    for step in range(5):
        event = {"event": "valid", "time": 1e9, "step": step, "rate_nats": 30.0 - step, "active_units": 8 - step}
        append_event(tmp_path / "events.jsonl", event | {"n_molecules": 16})
    page = page_of(tmp_path)
    assert Elements(page).count("svg", **{"class": "chart"}) == 2
    assert "valid active units" in page
    assert "molecules.parquet is not there" in page
    (tmp_path / "config.resolved.toml").write_text('data = "prepared/mine"\n')
    assert "parquet" not in page_of(tmp_path), "what a search leaves is not missed"


@pytest.mark.parametrize("n_objectives", [2, 3, 4])
def test_several_objectives_show_their_front(run_dir: Path, n_objectives: int) -> None:
    frame = pd.read_parquet(run_dir / "molecules.parquet").assign(value=math.nan)
    rng = np.random.default_rng(0)
    for q in range(n_objectives):
        frame[f"objective:goal {q}"] = rng.random(6)
    frame.loc[2, "objective:goal 1"] = math.nan
    frame["front"] = [False, True, False, True, True, False]
    frame.to_parquet(run_dir / "molecules.parquet")
    reference = [0.0] * n_objectives
    write_json(run_dir / "metrics.json", {"hypervolume": 0.75, "reference": reference, "front": 3})
    page = page_of(run_dir)
    elements = Elements(page)
    assert elements.open == []
    assert elements.count("article") == 3
    assert elements.count("svg", **{"class": "chart"}) == 3  # front, hypervolume, map of the latent space
    assert elements.count("circle", r="4.0") == 3
    assert elements.count("circle", r="2.2") == 1  # one has failed, one is infeasible
    assert "<dd>5</dd><dt>molecules scored</dt>" in page
    assert "Not on this page" not in page
    assert "<dd>0.75</dd><dt>hypervolume</dt>" in page
    (run_dir / "diverse.csv").write_text("rank,call,smiles,nearest\n1,4,x,0.85\n2,2,x,0.85\n")
    assert page_of(run_dir).count("distance to the nearest") == 2
    data = json.loads(re.search(r"const DATA = (.*?);\n", page).group(1))  # type: ignore[union-attr]
    assert [data["columns"][i] for i in data["scores"]] == [f"goal {q}" for q in range(n_objectives)]


def test_a_front_that_is_empty_still_gives_a_page(run_dir: Path) -> None:
    frame = pd.read_parquet(run_dir / "molecules.parquet").assign(value=math.nan, front=False)
    frame[["objective:a", "objective:b"]] = math.nan
    frame.to_parquet(run_dir / "molecules.parquet")
    write_json(run_dir / "metrics.json", {"hypervolume": 0.0, "reference": None, "front": 0})
    page = page_of(run_dir)
    assert Elements(page).count("article") == 0
    assert "left out" not in page


def test_numbers_as_people_read_them() -> None:
    shown = [number(value) for value in (12345.678, 2500, 0.0, 0.123456, 7.0, -3210.4, math.nan, None, True)]
    assert shown == ["12,346", "2,500", "0", "0.1235", "7", "-3,210", "–", "–", "True"]


def test_a_task_within_another_oracle_is_cited() -> None:
    task = {"kind": "named", "name": "osimertinib_mpo"}
    within = {"kind": "cached", "oracle": {"kind": "stacked", "oracles": [{"kind": "named", "name": "qed2"}, task]}}
    cited = [citations({}, {"oracle": spec}) for spec in (task, within, {"kind": "command", "name": "osimertinib_mpo"})]
    assert cited[0] == cited[1] == [BENCHMARKS, *cited[2]]


def test_no_run_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such directory"):
        write_report(tmp_path / "absent")
    with pytest.raises(DataError, match="is it a run directory"):
        write_report(tmp_path)


def test_best_molecules_are_feasible_scored_and_in_order(run_dir: Path) -> None:
    best = best_molecules(read_run(run_dir).molecules, 10)
    assert list(best["call"]) == [4, 5, 2, 1]


@pytest.mark.parametrize("k", [1, 2, 10])
def test_running_best_equals_sorting(k: int) -> None:
    values = np.random.default_rng(k).normal(size=50)
    expected = [np.sort(values[: i + 1])[-k:].mean() for i in range(50)]
    np.testing.assert_allclose(running_best(list(values), k), expected)
    assert running_best([math.nan, 1.0, math.nan], 1)[1:] == [1.0, 1.0]


def test_table_escapes_what_could_end_a_script() -> None:
    frame = pd.DataFrame({"call": [1], "smiles": ["</script>"], "value": [math.inf]})
    assert "<" not in table_rows(frame)
    assert json.loads(table_rows(frame))["rows"] == [[1, None, "</script>"]]


def test_a_diverse_selection_and_measured_data_are_shown(run_dir: Path) -> None:
    assert "Good molecules that differ" not in page_of(run_dir)
    (run_dir / "diverse.csv").write_text("rank,call,smiles,value,nearest\n1,4,x,0.9,0.85\n2,2,x,0.4,0.85\n")
    manifest = json.loads((run_dir / "manifest.json").read_text())
    write_json(run_dir / "manifest.json", manifest | {"measured": {"rows": 9, "molecules": 7, "rejected": 1}})
    page = page_of(run_dir)
    section = page[page.index('id="diverse"') : page.index('id="convergence"')]
    assert [int(call) for call in re.findall(r'id="d(\d+)"', section)] == [4, 2]
    assert section.count("distance to the nearest") == 2
    assert "9 rows, 7 molecules, 1 rejected" in page
    assert Elements(page).open == []
    (run_dir / "diverse.csv").write_text("nothing\n")
    assert "diverse.csv cannot be read" in page_of(run_dir)
