"""Measured data: replicates, noise, bad rows; and what a search makes of them."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from search_molecules import MOLECULES

from molvae.chem.filters import PropertyWindow
from molvae.chem.molecules import canonical
from molvae.core.config import load_config, parse_config
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import read_json, sha256_file
from molvae.oracles.oracle import Oracle
from molvae.search import optimise, propose
from molvae.search.bayesian import InnerSpec
from molvae.search.config import OptimiseConfig
from molvae.search.measured import DataSpec, measurements, read_measurements
from molvae.search.methods import BayesianSpec, OptunaSpec, PriorSpec, Setting, TurboSpec
from molvae.search.run import run
from molvae.search.specs import GraphCrossoverSpec, GraphMutationSpec

METHOD = BayesianSpec(
    inner=InnerSpec(generations=2, candidates=8), proposers=(GraphMutationSpec(), GraphCrossoverSpec())
)


class Length(Oracle):
    """Scores by the length of the SMILES and remembers what it was asked."""

    name = "length"

    def __init__(self) -> None:
        self.seen = list[str]()

    def __call__(self, smiles: Sequence[str]) -> np.ndarray:
        self.seen += smiles
        return np.array([float(len(s)) for s in smiles])


def table(path: Path, rows: list[tuple[Any, ...]], header: tuple[str, ...] = ("smiles", "pIC50")) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def test_replicates_of_known_noise_are_weighted_by_precision() -> None:
    found = measurements([("CCO", 1.0, 0.1), ("OCC", 2.0, 0.2), ("CCN", 3.0, 0.5)])
    assert found.smiles == ("CCO", "CCN")
    np.testing.assert_allclose(found.values, [np.average([1.0, 2.0], weights=[100, 25]), 3.0])
    np.testing.assert_allclose(found.errors, [1 / 125, 0.25])
    assert found.replicates.tolist() == [2, 1]


def test_noise_is_estimated_from_all_replicates_together() -> None:
    groups = {"CCO": [1.0, 1.4, 1.2], "CCN": [5.0, 5.8], "CCC": [2.0]}
    found = measurements([(s, x) for s, xs in groups.items() for x in xs])
    deviations = np.concatenate([np.array(xs) - np.mean(xs) for xs in groups.values()])
    pooled = deviations @ deviations / (6 - 3)  # the residual variance of a one-way analysis of variance
    np.testing.assert_allclose(found.values, [1.2, 5.4, 2.0])
    np.testing.assert_allclose(found.errors, pooled / np.array([3, 2, 1]))
    assert measurements({"CCO": 1.0, "CCN": 2.0}).errors.tolist() == [0.0, 0.0]


def test_bad_rows_are_counted_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [("CCO", "5.1"), ("C1CC", "6"), ("CCN", ">7"), ("CCC", ""), ("CCCl", "nan"), ("CCBr", "1e3"), ("", "3")]
    rows.append(("CCN.Cl", "7"))
    with caplog.at_level(logging.WARNING):
        found = read_measurements(DataSpec(file=table(tmp_path / "data.csv", rows), value="pIC50"))
    assert found.smiles == ("CCO", "CCBr")
    assert [(r.row, r.smiles) for r in found.rejected] == [
        (2, "C1CC"),
        (3, "CCN"),
        (4, "CCC"),
        (5, "CCCl"),
        (7, ""),
    ] + [(8, "CCN.Cl")]
    assert found.rejected[0].reason == "not a valid SMILES"
    assert found.rejected[1].reason == "the value '>7' is not a finite number"
    assert found.rejected[5].reason == "has several fragments; give the one that matters, alone"
    assert "6 of 8 rows cannot be used: row 2: not a valid SMILES (C1CC)" in caplog.text
    assert found.summary == {"rows": 8, "molecules": 2, "with_replicates": 0, "rejected": 6}


def test_noise_comes_from_a_column_or_a_number_and_small_may_be_good(tmp_path: Path) -> None:
    rows = [("CCO", 5.0, 0.2), ("CCN", 6.0, ""), ("CCC", 7.0, 0)]
    file = table(tmp_path / "data.csv", rows, ("structure", "nM", "sd"))
    found = read_measurements(DataSpec(file=file, smiles="structure", value="nM", noise="sd", direction="minimise"))
    assert (found.smiles, found.values.tolist(), found.errors.tolist()) == (("CCO",), [-5.0], [pytest.approx(0.04)])
    assert [r.reason for r in found.rejected] == [
        "the noise '' is not a number above 0",
        "the noise '0' is not a number above 0",
    ]
    same = read_measurements(DataSpec(file=file, smiles="structure", value="nM", noise=0.3))
    np.testing.assert_allclose(same.errors, 0.09)


def test_tables_of_pandas_are_taken() -> None:
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "value": [1.0, 2.0], "noise": [0.1, 0.2], "batch": ["a", "b"]})
    np.testing.assert_allclose(measurements(frame).errors, [0.01, 0.04])
    assert measurements(frame.drop(columns="noise")).errors.tolist() == [0.0, 0.0]
    with pytest.raises(DataError, match="lacks the columns value"):
        measurements(frame.drop(columns="value"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (5, "expected pairs"),
        ([("CCO",)], "expected pairs"),
        ([], "no usable measurement"),
        ([("C1C", 1.0)], "not a valid SMILES"),
    ],
)
def test_useless_data_raise(data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        measurements(data)


def test_measured_molecules_are_never_asked_for_cost_nothing_and_are_parents_at_once() -> None:
    oracle = Length()
    data = [(s, float(len(s))) for s in MOLECULES]
    result = optimise(oracle, 12, data=data, start=[MOLECULES[0], "CCCCCCCCO"], method=METHOD, batch_size=3)
    assert len(result.records) == len(oracle.seen) == 12
    assert not set(MOLECULES) & set(oracle.seen)
    assert oracle.seen[0] == "CCCCCCCCO"  # a start molecule that was measured is not scored again
    without_start = optimise(Length(), 6, data=data, method=METHOD)  # needs no model and no molecule to begin with
    assert len(without_start.records) == 6
    assert {r.proposer for r in without_start.records} <= {"graph_mutation", "graph_crossover"}


def test_data_teach_what_is_good() -> None:
    def fluorines(smiles: str) -> float:
        return float(smiles.count("F"))

    rings = ("c1ccccc1", "c1ccncc1", "C1CCCCC1", "c1ccsc1")
    data = [(f"FC(F){ring}", 2.0) for ring in rings] + [(f"CC(N){ring}", 0.0) for ring in rings]
    scores = {
        name: optimise(fluorines, 14, data=known, start=MOLECULES[:2], method=METHOD).values[2:].mean()
        for name, known in (("taught", data), ("plain", None))
    }
    assert scores["taught"] > scores["plain"] + 1


def test_noisy_data_are_believed_less() -> None:
    def belief(noise: float) -> tuple[float, float]:
        search = METHOD.build(Setting())
        found = measurements([(MOLECULES[0], 1.0, noise), *((s, 0.0, noise) for s in MOLECULES[1:])])
        search.learn(found.smiles, found.values.tolist(), found.errors.tolist())
        posterior = search.surrogate.posterior(search.fingerprint.stacked([search._columns[MOLECULES[0]]]))  # type: ignore[attr-defined]
        return float(posterior.mean[0]), float(posterior.std[0])

    (sure, narrow), (unsure, wide) = belief(0.01), belief(0.5)
    assert sure > 0.95 > 0.9 > unsure
    assert wide > 5 * narrow


@pytest.mark.parametrize(
    "method",
    [METHOD, TurboSpec(candidates=32, points=16), OptunaSpec(), PriorSpec(temperature=1.0)],
    ids=lambda m: m.kind,
)
def test_every_method_takes_measured_molecules(method: Any, model: Any) -> None:
    search = method.build(Setting(model))
    search.learn(MOLECULES[:6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.1] * 6)
    asked = [c.smiles for c in search.ask(3)]
    assert asked
    assert not set(asked) & set(MOLECULES[:6])
    with pytest.raises(DataError, match="before"):
        search.learn(["CCO"], [1.0], [0.0])


def config(tmp_path: Path, **search: Any) -> OptimiseConfig:
    """A structural search that knows a file of measured molecules."""
    if not (tmp_path / "data.csv").exists():
        table(tmp_path / "data.csv", [*((s, len(s)) for s in MOLECULES), (MOLECULES[0], 20), ("C1CC", 3)])
    data = {"file": str(tmp_path / "data.csv"), "value": "pIC50", "noise": 0.5}
    return parse_config(
        {
            "oracle": {"kind": "named", "name": "qed"},
            "search": {"budget": 12, "data": data, **search},
            "method": METHOD.model_dump(mode="json"),
        },
        OptimiseConfig,
    )


def test_a_run_on_data_is_recorded_resumed_and_refuses_a_changed_file(tmp_path: Path) -> None:
    whole = run(config(tmp_path), tmp_path / "whole")
    digest = sha256_file(tmp_path / "data.csv")
    manifest = read_json(tmp_path / "whole" / "manifest.json")
    assert manifest["inputs"]["data"] == {"path": str(tmp_path / "data.csv"), "sha256": digest}
    assert manifest["measured"] == {"rows": 14, "molecules": 12, "with_replicates": 1, "rejected": 1}
    assert pd.read_csv(tmp_path / "whole" / "data_rejected.csv").to_dict("records") == [
        {"row": 14, "smiles": "C1CC", "reason": "not a valid SMILES"}
    ]
    resolved = load_config(tmp_path / "whole" / "config.resolved.toml", OptimiseConfig)
    assert resolved.search.data is not None
    assert resolved.search.data.sha256 == digest
    run(config(tmp_path, budget=6), tmp_path / "parts")
    assert run(config(tmp_path), tmp_path / "parts").smiles == whole.smiles
    assert run(resolved, tmp_path / "again").smiles == whole.smiles
    table(tmp_path / "data.csv", [(s, 2 * len(s)) for s in MOLECULES])
    with pytest.raises(ConfigError, match=r"differs in: search\.data\.sha256"):
        run(config(tmp_path), tmp_path / "parts")
    with pytest.raises(ConfigError, match="the file was changed"):
        run(resolved, tmp_path / "third")


def test_a_laboratory_is_told_what_to_measure_next() -> None:
    data = {smiles: float(len(smiles)) for smiles in MOLECULES}
    first = propose(data, 4, method=METHOD)
    assert first == propose(pd.Series(data), 4, method=METHOD), "the same data, the same molecules"
    assert len({canonical(s) for s in first} - set(MOLECULES)) == 4
    others = propose(data, 4, method=METHOD, pending=first)
    with pytest.raises(DataError, match="pending.1: expected a SMILES, got 'typo'"):
        propose(data, 4, method=METHOD, pending=[first[0], "typo"])
    assert len(others) == 4
    assert not set(others) & set(first)
    light = propose(data, 4, method=METHOD, constraints=[{"kind": "window", "name": "mw", "high": 150}])
    assert light
    assert all(PropertyWindow("mw", high=150)(Chem.MolFromSmiles(s)) for s in light)
    with pytest.raises(DataError, match="no usable measurement"):
        propose({"broken(": 1.0})
    with pytest.raises(ConfigError, match="batch_size"):
        propose(data, 0, method=METHOD)
