"""Names, families, listing, and oracles written in TOML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from molvae.chem.descriptors import DESCRIPTORS
from molvae.core.config import Spec, dump_config, load_config, parse_config
from molvae.core.errors import ConfigError
from molvae.oracles import Minimised, list_oracles, oracle
from molvae.oracles.config import NamedSpec, OracleSpec
from molvae.oracles.oracle import Oracle
from molvae.oracles.properties import ALIASES, PROPERTIES

MOLECULES = ["CCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "not a molecule"]
REQUIRED = {
    "similarity": {"target": "CCN"},
    "smarts": {"pattern": "c1ccccc1"},
    "isomers": {"formula": "C2H6O"},
    "element": {"symbol": "O"},
    "window": {"name": "mw", "high": 100},
    "desirability": {"terms": [{"component": {"kind": "property", "name": "qed"}}]},
    "plogp_fitted": {"training": ["CCO", "c1ccccc1", "CCCCl"]},
}


@pytest.mark.parametrize("info", [info for info in list_oracles() if info.name != "command"], ids=lambda i: i.name)
def test_every_listed_oracle_keeps_the_contract(info) -> None:  # type: ignore[no-untyped-def]
    built = oracle(info.name, **REQUIRED.get(info.name, {}))
    values = built(MOLECULES)
    assert values.dtype == np.float64
    assert values.shape == (4,)
    assert np.isnan(values[3])
    assert np.isfinite(values[:3]).all()
    low, high = (-np.inf if info.low is None else info.low), (np.inf if info.high is None else info.high)
    assert ((values[:3] >= low) & (values[:3] <= high)).all()
    np.testing.assert_array_equal(values, built(MOLECULES))
    assert built([]).shape == (0,)
    assert built.n_objectives == 1
    assert info.source
    assert all(len(part) == 4 for part in built.components(MOLECULES).values())


def test_a_window_does_not_hang_on_the_order_of_atoms() -> None:
    mol = Chem.MolFromSmiles("CCOc1ccc(OCC)c([C@H]2C(C#N)=C(N)N(c3ccccc3C(F)(F)F)C3=C2C(=O)CCC3)c1")
    spelt = list(Chem.MolToRandomSmilesVect(mol, 20, randomSeed=1))
    assert len(set(oracle("tpsa")(spelt))) > 1, "sums end differently"
    assert oracle("window", name="tpsa", low=88.58, high=88.58)(spelt).tolist() == [1.0] * 20


def test_listing_is_complete() -> None:
    infos = list_oracles()
    assert len({info.name for info in infos}) == len(infos)
    assert set(PROPERTIES) == set(DESCRIPTORS)
    assert set(ALIASES.values()) <= set(PROPERTIES)
    assert {info.range for info in infos} >= {"0..1", "any", "0..", "1..10"}


def test_families() -> None:
    assert oracle("similarity", target="CCO")(["OCC"])[0] == 1
    assert oracle("similarity", target="CCO", fingerprint="AP")(["OCC", "CCC"])[1] < 1
    np.testing.assert_array_equal(oracle("smarts", pattern="[OX2H]")(MOLECULES), [1, 1, 1, np.nan])
    np.testing.assert_array_equal(oracle("smarts", pattern="c", present=False)(MOLECULES), [1, 0, 0, np.nan])
    np.testing.assert_array_equal(oracle("element", symbol="H")(MOLECULES), [6, 6, 8, np.nan])
    np.testing.assert_array_equal(oracle("window", name="mw", low=50, high=100)(MOLECULES), [0, 1, 0, np.nan])
    np.testing.assert_array_equal(oracle("catalogue", names=["BRENK"])(["CCN=[N+]=[N-]", "CCO"]), [0, 1])
    required = oracle("substructures", required=["c"], forbidden=["C=O"])
    np.testing.assert_array_equal(required(MOLECULES), [0, 1, 0, np.nan])
    assert oracle("isomers", formula="C2H6O")(["COC"])[0] == pytest.approx(1)


def test_fitted_penalised_logp_has_mean_zero_on_its_training_set() -> None:
    training = ["CCO", "c1ccccc1", "CCCCl", "C1CCCCCCC1", "CC(=O)Nc1ccc(O)cc1"]
    values = oracle("plogp_fitted", training=training)(training)
    assert values.mean() == pytest.approx(0, abs=1e-12)


def test_direction() -> None:
    np.testing.assert_array_equal(oracle("sa", direction="minimise")(MOLECULES), -oracle("sa")(MOLECULES))
    with pytest.raises(ConfigError, match="minimise"):
        oracle("sa", direction="down")  # type: ignore[arg-type]
    built = oracle("qed")
    assert oracle(built) is built
    assert isinstance(oracle(built, direction="minimise"), Minimised)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("QED", {}),
        ("SA_Score", {}),
        ("Osimertinib_MPO", {}),
        ("Similarity", {"target": "CCO"}),
        ("window", {"name": "LogP", "low": 1}),
    ],
)
def test_names_are_known_in_any_case(name: str, parameters: dict) -> None:  # type: ignore[type-arg]
    plain = {**parameters, "name": parameters["name"].lower()} if "name" in parameters else parameters
    assert oracle(name, **parameters).identity == oracle(name.lower(), **plain).identity


def test_a_list_is_several_objectives() -> None:
    several = oracle(["qed", oracle("sa", direction="minimise"), oracle(len, isolate=False)])
    assert several.objectives == ("qed", "sa", "len")
    assert several(["CCO"]).tolist() == [[oracle("qed")(["CCO"])[0], -oracle("sa")(["CCO"])[0], 3]]
    for source, options in (([], {}), (["qed", "sa"], {"direction": "minimise"}), (("qed",), {"workers": 2})):
        with pytest.raises(ConfigError, match="give each its own"):
            oracle(source, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("osimertinb_mpo", {}, "did you mean 'osimertinib_mpo'.*`molvae oracles` lists all"),
        ("penalized_log", {}, "did you mean 'penalized_logp'"),
        ("qed", {"weight": 2}, "takes no 'weight'"),
        ("similarity", {"targt": "CCO"}, "did you mean 'target'"),
        ("similarity", {"target": "C1CC"}, "not a valid SMILES"),
        ("similarity", {"target": "CC", "fingerprint": "ECFP5"}, "did you mean 'ECFP6'"),
        ("smarts", {"pattern": "[C"}, "SMARTS"),
        ("isomers", {"formula": "c7h8"}, "molecular formula"),
        ("catalogue", {"names": ["PAIN"]}, "did you mean 'PAINS'"),
        ("window", {"name": "mw"}, "low, high or both"),
        ("window", {"name": "logPP", "low": 1}, "name: .*did you mean 'logp'"),
        ("element", {"symbol": "CL"}, "symbol: unknown element 'CL'; did you mean 'Cl'"),
        ("isomers", {"formula": "C7H8Xx"}, "formula: unknown element 'Xx'"),
        ("MolWt", {}, "unknown oracle 'MolWt'; did you mean 'mw'"),
        ("tanimoto", {"target": "CCO"}, "did you mean 'similarity'"),
        ("desirability", {"terms": []}, "terms"),
        ("plogp_fitted", {"training": []}, "no molecule"),
        ("plogp_fitted", {"training": "ZINC.smi"}, "expected a list of SMILES, got 'ZINC.smi'"),
        ("plogp_fitted", {"training": 3}, "expected a list of SMILES, got 3"),
    ],
)
def test_mistakes_are_explained(name: str, parameters: dict, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        oracle(name, **parameters)


class Run(Spec):
    oracle: OracleSpec


DESIRABILITY = """
[oracle]
kind = "desirability"
aggregation = "geometric"

[[oracle.terms]]
component = {kind = "property", name = "qed"}

[[oracle.terms]]
component = {kind = "similarity", target = "CC(=O)Oc1ccccc1C(=O)O", fingerprint = "FCFP4"}
modifier = {kind = "clip", upper = 0.8}
weight = 2

[[oracle.constraints]]
kind = "window"
name = "mw"
high = 170

[[oracle.constraints]]
kind = "catalogue"
names = ["PAINS"]
"""


def built(tmp_path: Path, text: str) -> Oracle:
    path = tmp_path / "run.toml"
    path.write_text(text)
    spec = load_config(path, Run)
    dump_config(spec, tmp_path / "again.toml")
    assert load_config(tmp_path / "again.toml", Run) == spec
    return spec.oracle.build()


def test_objective_in_toml(tmp_path: Path) -> None:
    scored = built(tmp_path, DESIRABILITY)
    qed = oracle("qed")(MOLECULES)
    similarity = oracle("similarity", target=MOLECULES[2], fingerprint="FCFP4")(MOLECULES)
    expected = (qed * np.minimum(1, similarity / 0.8) ** 2) ** (1 / 3)
    expected[2] = 0  # aspirin weighs 180
    np.testing.assert_allclose(scored(MOLECULES), expected)
    assert "mw in [None, 170.0]" in scored.components(MOLECULES)


def test_wrappers_in_toml(tmp_path: Path) -> None:
    text = f"""
    [oracle]
    kind = "cached"
    path = "{tmp_path / "scores.sqlite"}"
    [oracle.oracle]
    kind = "parallel"
    workers = 1
    chunk = 10
    [oracle.oracle.oracle]
    kind = "stacked"
    oracles = [{{kind = "named", name = "qed"}}, {{kind = "named", name = "sa", direction = "minimise"}}]
    """
    with built(tmp_path, text) as scored:
        values = scored(MOLECULES)
    np.testing.assert_array_equal(values[:, 0], oracle("qed")(MOLECULES))
    np.testing.assert_array_equal(values[:, 1], -oracle("sa")(MOLECULES))


def test_command_in_toml(tmp_path: Path) -> None:
    text = '[oracle]\nkind = "command"\ncommand = ["dock", "--fast"]\ndirection = "minimise"\nname = "docking"\n'
    assert built(tmp_path, text).name == "docking"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "qed"', 'name = "qde"', "oracle.terms.0.component.name.*did you mean 'qed'"),
        ('"geometric"', '"geometrical"', "oracle.aggregation.*did you mean 'geometric'"),
        ("weight = 2", "weight = 0", "oracle.terms.1.weight"),
        ("upper", "uper", "did you mean 'upper'"),
        ('kind = "clip"', 'kind = "clop"', "clip"),
    ],
)
def test_mistakes_in_toml(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built(tmp_path, DESIRABILITY.replace(old, new, 1))


def test_a_direction_among_the_parameters_is_a_mistake() -> None:
    spec = {"name": "sa", "parameters": {"direction": "minimise"}}
    with pytest.raises(ConfigError, match="direction is no parameter of an oracle; it stands beside name"):
        parse_config(spec, NamedSpec)
