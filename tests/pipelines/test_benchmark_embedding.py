"""The protocol of the embedding benchmark: splits, scaling, what is fitted on what, and the whole on a small file."""

from __future__ import annotations

import csv
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from small_model import small_molecules

from molvae.core.errors import DataError
from molvae.core.files import read_json
from molvae.data.splits import scaffold
from pipelines import benchmark_embedding
from pipelines.benchmark_embedding import (
    HEADS,
    KERNEL_PENALTIES,
    KERNEL_WIDTHS,
    RIDGE_PENALTIES,
    kernel_ridge,
    normalised,
    read,
    ridge,
    scaffold_split,
    score,
)


def write(path: Path, rows: list[tuple[str, str]]) -> Path:
    with open(path, "w", newline="") as handle:
        csv.writer(handle).writerows([("smiles", "exp"), *rows])
    return path


@pytest.mark.parametrize("seed", range(4))
def test_scaffolds_stay_together_and_every_row_is_used_once(seed: int) -> None:
    rng = np.random.default_rng(9)
    scaffolds = [f"s{i}" for i in rng.integers(0, 200, 900)] + ["big"] * 100
    parts = scaffold_split(scaffolds, seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(1000))
    names = [{scaffolds[i] for i in part} for part in parts]
    assert sum(map(len, names)) == len(set().union(*names))
    assert "big" in names[0]
    assert [len(part) for part in parts] == pytest.approx([800, 100, 100], abs=12)


def test_seeds_give_other_splits_and_the_same_seed_the_same() -> None:
    scaffolds = [scaffold(s) for s in small_molecules()] + [str(i) for i in range(50)]
    one, same, other = (scaffold_split(scaffolds, seed)[2].tolist() for seed in (0, 0, 1))
    assert one == same != other


def test_scaling_knows_the_train_rows_only() -> None:
    rng = np.random.default_rng(0)
    x = (3 + 5 * rng.standard_normal((40, 6))).astype(np.float32)
    train = np.arange(30)
    scaled = normalised(x, train)
    assert np.square(scaled[train]).sum(1).mean() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(scaled[train].mean(0), 0, atol=1e-6)
    changed = x.copy()
    changed[30:] += 100
    changed[35] = np.nan
    np.testing.assert_array_equal(normalised(changed, train)[train], scaled[train])
    np.testing.assert_array_equal(normalised(changed, train)[35], 0)


def made(n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, 4)).astype(np.float32) / 2
    return normalised(x, np.arange(150)), (x @ np.array([1.0, -2.0, 0.5, 0.0])).astype(np.float32)


def test_ridge_equals_scikit_learns() -> None:
    (x, y), train = made(), np.arange(150)
    for penalty, found in zip(RIDGE_PENALTIES, ridge(x, train, y[train] - y[train].mean()), strict=True):
        expected = Ridge(alpha=penalty).fit(x[train], y[train]).predict(x)
        np.testing.assert_allclose(found + y[train].mean(), expected, atol=1e-4)


def test_kernel_ridge_equals_scikit_learns() -> None:
    (x, y), train = made(), np.arange(150)
    settings = product(KERNEL_WIDTHS, KERNEL_PENALTIES)
    for (width, penalty), found in zip(settings, kernel_ridge(x, train, y[train]), strict=True):
        peer = KernelRidge(alpha=penalty, kernel="rbf", gamma=1 / (2 * width**2))
        np.testing.assert_allclose(found, peer.fit(x[train], y[train]).predict(x), atol=1e-3)


@pytest.mark.parametrize("head", HEADS)
def test_heads_learn_and_the_test_answers_choose_nothing(head: str) -> None:
    x, y = made()
    train, valid, test = np.arange(150), np.arange(150, 175), np.arange(175, 200)
    assert score(head, [x], y, (train, valid, test)) > 0.9
    noise = np.random.default_rng(2).standard_normal((200, 300)).astype(np.float32)
    assert score(head, [noise], y, (train, valid, test)) < 0.3


def test_the_whole(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(s, str(s.count("c") - 2 * s.count("O"))) for s in small_molecules()]
    data = write(tmp_path / "in.csv", [*rows, ("CCI", "1.5"), ("not a molecule", "2")])
    out = tmp_path / "out.json"
    arguments = [str(data), "--value", "exp", "--weights", str(tiny_model), "--seeds", "2", "--out", str(out)]
    with pytest.raises(DataError, match="too few scaffolds"):
        benchmark_embedding.main(arguments)
    monkeypatch.setattr(benchmark_embedding, "scaffold", lambda smiles: smiles)
    benchmark_embedding.main(arguments)
    value = read_json(out)
    assert value["n_molecules"] == 126
    assert value["not_readable"] == {"unknown token [I]": 1}
    assert len(value["results"]) == 9
    assert all(len(result["r2"]) == 2 for result in value["results"])
    printed = capsys.readouterr().out
    assert "1 of them not readable by the model (1 unknown token [I])" in printed
    assert "readable kernel  both" in printed


def test_bad_files(tmp_path: Path) -> None:
    rows = [(s, "1") for s in small_molecules()]
    with pytest.raises(DataError, match="row 2: exp is no number: 'high'"):
        read(write(tmp_path / "a.csv", [rows[0], ("CCO", "high")]), "smiles", "exp")
    with pytest.raises(DataError, match="expected at least 50"):
        read(write(tmp_path / "b.csv", rows[:20]), "smiles", "exp")
