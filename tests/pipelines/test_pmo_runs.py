"""Runs of a benchmark: what is measured of one, which rows are run again, and the peer's count of calls."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem

from molvae.core.config import load_config
from molvae.core.errors import BudgetExhausted, ConfigError, DataError
from molvae.oracles import Oracle, oracle
from molvae.oracles.oracle import FloatArray
from molvae.search.start import StartSpec
from pipelines import benchmark_pmo
from pipelines.pmo.measure import Trace, curve, diversity, mean_of_best, measured
from pipelines.pmo.peers import Recorder, run_mol_ga
from pipelines.pmo.results import Row, add_row, read_rows
from pipelines.pmo.study import Job, MolGA, Study

MOLECULES = ["CCO", "CCN", "c1ccccc1", "Cc1ccccc1O", "CC(=O)Nc1ccc(O)cc1"]


def job(budget: int = 10_000, **changes: object) -> Job:
    whole = Job("mol_ga", MolGA(), "qed", 0, budget, StartSpec(n=2), "0123456789ab", "ba9876543210")
    return replace(whole, **changes)  # type: ignore[arg-type]


def row(budget: int = 10_000, **changes: object) -> Row:
    trace = Trace(MOLECULES, [0.1, 0.2, 0.3, 0.4, math.nan], 12.34, False, "budget")
    return replace(measured(job(budget), trace, 5.67, 300, "abc"), **changes)  # type: ignore[arg-type]


def test_areas_equal_the_original_implementation(shared: Path) -> None:
    cases = json.loads((shared / "reference" / "pmo_auc_reference.json").read_text())["pmo_top_auc"]
    compared = 0
    for case in cases:
        for r in case["results"]:
            if r["finish"] and r["freq_log"] == 100 and case["scores"]:
                trace = Trace(["C"] * len(case["scores"]), case["scores"], 1.0, False, "budget")
                found = measured(job(r["max_oracle_calls"]), trace, 1.0, 1, "")
                assert getattr(found, f"auc_top{r['top_n']}") == pytest.approx(r["auc"], abs=1e-6), case["name"]
                compared += 1
    assert compared >= 9


def test_means_and_curve_count_failures_as_nothing() -> None:
    assert mean_of_best([0.5, math.nan, 1.0], 2) == 0.75
    assert mean_of_best([0.5, math.nan], 10) == 0.25
    assert mean_of_best([], 10) == 0.0
    line = curve([0.0, 1.0, 1.0, 1.0], budget=40)
    assert len(line) == 20
    assert line[:3] == [0.5, 0.75, 0.75]
    assert line[-1] == 0.75


def test_diversity_equals_rdkits_pairs() -> None:
    prints = [AllChem.GetMorganFingerprintAsBitVect(Chem.MolFromSmiles(s), 2, 2048) for s in MOLECULES[:4]]
    pairs = [1 - DataStructs.TanimotoSimilarity(a, b) for a, b in combinations(prints, 2)]
    trace = Trace(MOLECULES, [0.1, 0.2, 0.3, 0.4, math.nan], 1.0, False, "budget")
    assert diversity(trace) == pytest.approx(sum(pairs) / len(pairs))
    assert math.isnan(diversity(Trace(["C"], [1.0], 1.0, False, "budget")))


def test_rows_are_read_as_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "results" / "pmo.csv"
    assert read_rows(path) == {}
    first, second = row(), row(seed=1, curve="0.1 0.2")
    for each in (second, first):
        add_row(each, path)
    assert list(read_rows(path).values()) == [first, second]
    newer = replace(first, config="another", auc_top10=0.5)
    add_row(newer, path)
    assert list(read_rows(path).values()) == [newer, second]
    resumed = row(cpu_seconds=math.nan, task="median1")
    add_row(resumed, path)
    assert math.isnan(read_rows(path)[resumed.key].cpu_seconds)


def test_a_hash_of_digits_stays_a_hash(tmp_path: Path) -> None:
    add_row(row(config="012345678901", start="123e45678901", code="1234567"), tmp_path / "pmo.csv")
    (found,) = read_rows(tmp_path / "pmo.csv").values()
    assert (found.config, found.start, found.code) == ("012345678901", "123e45678901", "1234567")


def test_rows_of_another_config_or_start_are_no_results_of_a_job() -> None:
    assert row().of(job())
    for changes in ({"config": "x"}, {"start_hash": "x"}, {"seed": 1}, {"task": "median1"}, {"method": "m"}):
        assert not row().of(job(**changes))
    assert not row().of(job(budget=100))


def test_foreign_results_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pmo.csv").write_text("method,task\nx,qed\n")
    with pytest.raises(DataError, match="expected the columns method, task, seed"):
        add_row(row(), tmp_path / "pmo.csv")


class Length(Oracle):
    """Letters of the SMILES; ammonia cannot be scored."""

    name = "length"

    def __call__(self, smiles: Sequence[str]) -> FloatArray:
        return np.array([math.nan if s == "N" else len(s) for s in smiles])


def test_recorder_counts_distinct_molecules_and_fills_the_budget() -> None:
    recorder = Recorder(Length(), budget=4)
    assert recorder(["CCO", "OCC", "not a molecule", "N"]) == [3.0, 3.0, 0.0, 0.0]
    assert math.isnan(recorder.values["N"])
    with pytest.raises(BudgetExhausted):
        recorder(["C", "CC", "CCC"])
    assert list(recorder.values) == ["CCO", "N", "C", "CC"]
    assert recorder(["CC"]) == [2.0]


def test_mol_ga_spends_the_budget_and_is_a_function_of_the_seed() -> None:
    pytest.importorskip("mol_ga")
    start = ["CC(=O)Nc1ccc(O)cc1", "Cc1ccccc1CNC(=O)CO", "CCOc1ccc(CN)cc1", "O=C(O)c1ccccc1N"]
    runs = [run_mol_ga(MolGA(offspring=4), oracle("qed"), start, 24, seed) for seed in (0, 0, 1)]
    smiles, values, ended = runs[0]
    assert runs[1] == runs[0] != runs[2]
    assert smiles[:4] == [Chem.CanonSmiles(s) for s in start]
    assert len(set(smiles)) == len(values) == 24
    assert ended == "budget"
    assert max(values) > max(values[:4])


STUDY = """
budget = 14
tasks = ["qed"]
seeds = [0]
[start]
file = "data/sample.smi"
n = 10
[methods.structural]
config = "configs/search/structural.toml"
"""


@pytest.mark.integration
@pytest.mark.timeout(900)  # two processes that import everything: seconds, but not on a crowded machine
def test_the_whole_and_what_is_run_again(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    (tmp_path / "small.toml").write_text(STUDY)
    out = tmp_path / "results" / "pmo_14.csv"
    places = ["--out", str(out), "--runs", str(tmp_path / "runs"), "--processes", "1"]
    arguments = [str(tmp_path / "small.toml"), *places]

    assert benchmark_pmo.main(arguments) == 0
    assert "0 of 1 runs are there" in capsys.readouterr().out
    (first,) = read_rows(out).values()
    assert (first.molecules, first.ended, first.method) == (14, "budget", "structural")
    assert 0 < first.auc_top100 <= first.auc_top10 <= first.auc_top1 <= first.top1_mean
    assert first.peak_mib > 50
    assert first.seconds >= first.cpu_seconds / 4 > 0
    assert (out.parent / "pmo_small.md").read_text().startswith("# Study small")
    assert (out.parent / "pmo_small_curves.svg").exists()

    before = out.read_bytes()
    assert benchmark_pmo.main(arguments) == 0
    assert "1 of 1 runs are there" in capsys.readouterr().out
    assert out.read_bytes() == before

    older = replace(first, config="older", auc_top10=0.99)
    add_row(older, out)
    assert benchmark_pmo.main([*arguments, "--table-only"]) == 0
    assert "No run is finished yet" in capsys.readouterr().out
    assert benchmark_pmo.main(arguments) == 0  # its ledger is there: replayed, nothing is scored again
    (again,) = read_rows(out).values()
    assert (again.config, again.auc_top10, again.curve) == (first.config, first.auc_top10, first.curve)
    assert math.isnan(again.cpu_seconds)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "search.batch_size=5"], "--set: would replace rows"),
        (["--start", "other.smi", "--n-start", "5"], "--start, --n-start: would replace rows"),
    ],
)
def test_changed_searches_need_a_file_of_their_own(
    options: list[str], words: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    (tmp_path / "small.toml").write_text(STUDY)
    study, parser = load_config(tmp_path / "small.toml", Study), benchmark_pmo.parser()
    with pytest.raises(ConfigError, match=words):
        benchmark_pmo.narrowed(study, parser.parse_args(["small.toml", *options]))
    benchmark_pmo.narrowed(study, parser.parse_args(["small.toml", *options, "--out", "trial.csv"]))


@pytest.mark.parametrize("options", [["--budget", "14"], ["--n-start", "10"], ["--start", "data/sample.smi"]])
def test_tables_of_a_narrowed_study_are_printed_only(
    options: list[str], root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    (tmp_path / "small.toml").write_text(STUDY)
    (name, config), *_ = load_config(tmp_path / "small.toml", Study).hashes().items()
    add_row(row(budget=14, method=name, config=config), tmp_path / "trial.csv")
    arguments = [str(tmp_path / "small.toml"), "--out", str(tmp_path / "trial.csv"), "--table-only"]
    assert benchmark_pmo.main([*arguments, *options]) == 0
    assert "structural" in capsys.readouterr().out
    assert not (tmp_path / "pmo_small.md").exists()
    assert benchmark_pmo.main(arguments) == 0
    assert (tmp_path / "pmo_small.md").exists()


def test_mistakes_are_errors_that_say_so() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        benchmark_pmo.main(["configs/pmo/defualt.toml"])
