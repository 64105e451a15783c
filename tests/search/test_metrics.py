"""The metrics of PMO and GuacaMol against the values of the original implementations."""

import json
from pathlib import Path

import numpy as np
import pytest

from molvae.search.metrics import auc_top, guacamol_score


def test_equals_the_original_implementation(shared: Path) -> None:
    cases = json.loads((shared / "reference" / "pmo_auc_reference.json").read_text())["pmo_top_auc"]
    rules = {"[0.5]*10000": [0.5] * 10000, "[i/10000 for i in range(9950)]": [i / 10000 for i in range(9950)]}
    for case in cases:
        scores = case["scores"] or rules[case["rule"]]
        for r in case["results"]:
            ours = auc_top(scores, r["top_n"], r["max_oracle_calls"], r["freq_log"], r["finish"])
            assert ours == pytest.approx(r["auc"], abs=1e-12), (case["name"], r)


def test_perfect_from_the_first_call_is_not_quite_one() -> None:
    assert auc_top([1.0] * 10_000) == pytest.approx(0.995)


def test_failed_molecules_count_as_nothing() -> None:
    assert auc_top([np.nan] * 50, budget=100) == 0.0
    assert auc_top([], budget=100) == 0.0
    assert auc_top([1.0, np.nan], k=1, budget=100) == auc_top([1.0, 0.0], k=1, budget=100)


def test_guacamols_score_equals_the_original_implementation(shared: Path) -> None:
    cases = json.loads((shared / "reference" / "pmo_auc_reference.json").read_text())["guacamol_global_score"]
    assert len(cases) == 3
    for case in cases:
        assert guacamol_score(case["scores"], case["top_counts"]) == pytest.approx(case["global_score"], abs=1e-12)


def test_molecules_that_are_missing_from_the_best_count_as_nothing() -> None:
    assert guacamol_score([], (1, 10)) == 0.0
    assert guacamol_score([np.nan, 0.5, 1.0], (1, 2, 4)) == pytest.approx((1 + 0.75 + 0.375) / 3)
