"""Every shipped config is read by the command that it is for, says how to run it, and can be written and read again."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from molvae.core.config import Spec, dump_config, load_config

ROOT = Path(__file__).parents[1]
CONFIGS = sorted((ROOT / "configs").rglob("*.toml"))


def spec_of(path: Path) -> type[Spec]:
    """Which command a config is for shows in its sections."""
    sections = tomllib.loads(path.read_text(encoding="utf-8"))
    if "oracle" in sections:
        from molvae.search.config import OptimiseConfig

        return OptimiseConfig
    if "methods" in sections:
        from pipelines.pmo.study import Study

        return Study
    if "variants" in sections:
        from pipelines.benchmark_variants import Study as Variants

        return Variants
    from molvae.training.config import TrainConfig

    return TrainConfig


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_config_is_read_and_written(path: Path, tmp_path: Path) -> None:
    config = load_config(path, spec_of(path))
    dump_config(config, tmp_path / "again.toml")
    assert load_config(tmp_path / "again.toml", spec_of(path)) == config


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: str(p.relative_to(ROOT)))
def test_config_says_how_to_run_it(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert str(path.relative_to(ROOT)) in head
    assert "--set " in head or "--budget" in head


@pytest.mark.parametrize("path", [p for p in CONFIGS if "[oracle]" in p.read_text()], ids=lambda p: p.stem)
def test_oracle_of_a_config_can_be_built(path: Path) -> None:
    with load_config(path, spec_of(path)).oracle.build() as oracle:  # type: ignore[attr-defined]
        assert oracle.n_objectives >= 1


def test_there_are_configs_for_searching_and_for_training() -> None:
    assert {"quickstart", "zinc250k"} <= {path.stem for path in CONFIGS}


def test_all_configs_are_installed() -> None:
    """`molvae init` finds them beside the sources, or below share/molvae/configs."""
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["data-files"]
    for path in CONFIGS:
        folder = path.parent.relative_to(ROOT).as_posix()
        assert f"{folder}/*.toml" in installed[f"share/molvae/{folder}"]


@pytest.mark.integration
def test_the_program_of_the_example_scores_molecules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from molvae.search.config import OptimiseConfig
    from molvae.search.run import run

    start = ["c1ccncc1", "CCO", "CC(=O)Oc1ccccc1C(=O)O"]
    changes = [f"search.start.smiles={start}", "search.budget=12", "method={kind='evolution'}"]
    config = load_config(ROOT / "configs/program.toml", OptimiseConfig, changes)
    monkeypatch.chdir(tmp_path)
    first = run(config, tmp_path / "one")
    assert dict(zip(first.smiles, first.values, strict=True))["CCO"] == pytest.approx(-(5 + 0.1 * 18))
    assert run(config, tmp_path / "two").smiles == first.smiles
