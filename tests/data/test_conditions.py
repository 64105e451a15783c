"""Properties on the scale that a model is told them on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from molvae.core.errors import ConfigError
from molvae.data.conditions import Conditions
from molvae.data.described import Told

VALUES = np.random.default_rng(0).normal([3.0, -200.0], [2.0, 50.0], (500, 2)).astype(np.float32)


def test_standardised_against_scikit_learn() -> None:
    conditions = Conditions.measured(["logp", "tpsa"], VALUES)
    expected = StandardScaler().fit_transform(VALUES.astype(np.float64))
    np.testing.assert_allclose(conditions.standardised(VALUES), expected, atol=1e-5)
    assert conditions.standardised(VALUES).dtype == np.float32


def test_a_property_that_never_changes_is_told_as_zero() -> None:
    conditions = Conditions.measured(["x"], np.full((5, 1), 7.0))
    np.testing.assert_array_equal(conditions.standardised(np.array([[7.0], [8.0]])), [[0.0], [1.0]])


def test_they_survive_json() -> None:
    conditions = Conditions.measured(["logp", "tpsa"], VALUES, ["tpsa"])
    assert Conditions.from_dict(json.loads(json.dumps(conditions.as_dict()))) == conditions


def test_values_by_name() -> None:
    conditions = Conditions(("logp", "tpsa"), (0.0, 0.0), (1.0, 1.0))
    np.testing.assert_array_equal(conditions.row({"tpsa": 2, "logp": 1}), [1, 2])
    with pytest.raises(ConfigError, match="a value is missing for tpsa"):
        conditions.row({"logp": 1})
    with pytest.raises(ConfigError, match="no property 'logq'; did you mean 'logp'"):
        conditions.row({"logq": 1, "tpsa": 2})
    with pytest.raises(ConfigError, match="property logp: expected a finite number, got nan"):
        conditions.row({"logp": float("nan"), "tpsa": 2})


def test_towards_what_a_model_decodes_must_be_said() -> None:
    told = Told(Conditions(("logp", "tpsa"), (0.0, 0.0), (1.0, 1.0)))
    with pytest.raises(
        ConfigError, match=r"given\(logp=\.\.\., tpsa=\.\.\.\), or --given logp=\.\.\. --given tpsa=\.\.\."
    ):
        told.towards(3, None)
    assert Told(Conditions()).towards(3, None) is None
