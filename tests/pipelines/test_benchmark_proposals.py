"""The benchmark of proposals: its figures against a count by hand, and what it says of runs that it cannot use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import QED

from molvae.core.errors import DataError
from molvae.oracles.config import NamedSpec
from molvae.search.bayesian import InnerSpec
from molvae.search.build import load_model
from molvae.search.config import OptimiseConfig, SearchSpec
from molvae.search.graph_moves import MOVES
from molvae.search.latent import LatentSpace
from molvae.search.methods import BayesianSpec
from molvae.search.proposals import Parents
from molvae.search.run import run
from molvae.search.specs import GraphMutationSpec
from molvae.search.start import StartSpec
from molvae.search.structural import GraphMutation
from pipelines.benchmark_proposals import SPECS, known_molecules, main, measure


@pytest.fixture(scope="module")
def finished_run(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short structural search for QED among molecules of at most 30 heavy atoms."""
    method = BayesianSpec(inner=InnerSpec(generations=1, candidates=8), proposers=(GraphMutationSpec(),))
    search = SearchSpec(
        budget=24, batch_size=4, largest=30, hardest=10, start=StartSpec(file=root / "data" / "sample.smi", n=12)
    )
    folder = tmp_path_factory.mktemp("runs") / "qed"
    run(OptimiseConfig(oracle=NamedSpec(name="qed"), search=search, method=method), folder)
    return folder


def test_figures_are_those_of_a_count_by_hand(finished_run: Path, tiny_model: Path) -> None:
    rows = measure(finished_run, 20, 40, 3, LatentSpace(load_model(tiny_model, "cpu"))).set_index("proposal")
    known = known_molecules(finished_run, 20)
    ranked = known.sort_values("value", ascending=False, kind="stable")
    children = GraphMutation().propose(Parents(tuple(ranked["smiles"])), 40, np.random.default_rng(3))
    mols = {Chem.CanonSmiles(c.smiles): Chem.MolFromSmiles(c.smiles) for c in children}
    new = [m for s, m in mols.items() if s not in set(known["smiles"]) and m.GetNumHeavyAtoms() <= 30]
    new = [m for m in new if not any(a.GetNumRadicalElectrons() for a in m.GetAtoms())]
    better = [m for m in new if QED.qed(m) > ranked["value"].iloc[9]]
    assert rows.loc["graph_mutation", "new"] == len(new) / 40
    assert rows.loc["graph_mutation", "better"] == 1000 * len(better) / 40
    assert (rows["ms"] > 0).all()
    assert list(rows.index) == [spec.kind for spec in SPECS] + [f"move: {move.__name__}" for move in MOVES]


def test_prints_a_table_and_writes_its_rows(
    finished_run: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.csv"
    main([str(finished_run), "--calls", "20", "--n", "12", "--weights", str(tiny_model), "--out", str(out)])
    printed = capsys.readouterr().out
    assert printed.startswith("1 runs; the model reconstructs ")
    assert all(spec.kind in printed for spec in SPECS)
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1 + len(SPECS) + len(MOVES)


def test_says_what_is_wrong_with_a_run(finished_run: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="finished search"):
        known_molecules(tmp_path, 20)
    with pytest.raises(DataError, match="expected 99 calls"):
        known_molecules(finished_run, 99)
