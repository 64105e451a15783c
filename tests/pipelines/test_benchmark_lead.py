"""The lead benchmark: what a row holds, what the table says, and that a finished search is not run again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import AllChem, Crippen

from molvae.chem.descriptors import sa_score
from molvae.chem.molecules import canonical
from molvae.core.config import dump_config
from molvae.core.errors import DataError
from molvae.oracles.config import NamedSpec
from molvae.search.bayesian import InnerSpec
from molvae.search.config import OptimiseConfig, SearchSpec
from molvae.search.methods import BayesianSpec
from molvae.search.specs import GraphMutationSpec
from pipelines.benchmark_lead import Job, Row, main, published, read_leads, run_job, summary
from pipelines.rows import finished

LEADS = ("CC(=O)Nc1ccc(O)cc1", "CN1CCCC1c1cccnc1")


@pytest.fixture
def method(tmp_path: Path) -> str:
    """A quick structural search."""
    method = BayesianSpec(inner=InnerSpec(generations=2, candidates=8), proposers=(GraphMutationSpec(),))
    config = OptimiseConfig(oracle=NamedSpec(name="qed"), search=SearchSpec(batch_size=4), method=method)
    dump_config(config, tmp_path / "method.toml")
    return str(tmp_path / "method.toml")


def score(smiles: str) -> float:
    mol = Chem.MolFromSmiles(smiles)
    return float(Crippen.MolLogP(mol)) - sa_score(mol)


@pytest.mark.parametrize("kind", ["bits", "counts"])
def test_a_search_improves_its_lead_and_stays_near(method: str, kind: str) -> None:
    row = run_job(Job(method, "search.batch_size=5; search.largest=20", LEADS[0], 0.4, kind, 16, 0))
    assert row.calls == 16
    assert row.score == pytest.approx(score(LEADS[0]))
    assert row.best_score == pytest.approx(score(row.best))
    assert row.improvement > 0
    make = AllChem.GetMorganFingerprint if kind == "counts" else AllChem.GetMorganFingerprintAsBitVect
    lead, best = (make(Chem.MolFromSmiles(s), 2) for s in (LEADS[0], row.best))
    assert row.similarity == pytest.approx(DataStructs.TanimotoSimilarity(lead, best))
    assert row.similarity >= 0.4
    assert Chem.MolFromSmiles(row.best).GetNumHeavyAtoms() <= 20


def test_the_table_counts_failures_as_no_improvement() -> None:
    job = Job("configs/lead.toml", "", "C", 0.4, "bits", 20, 0)
    rows = [
        Row(
            **vars(replace(job, smiles=smiles)),
            score=1.0,
            best_score=best,
            best="CC",
            similarity=s,
            calls=20,
            seconds=2.0,
        )
        for smiles, best, s in (("C", 3.0, 0.5), ("CC", 1.0, 1.0), ("CCC", 5.0, 0.7), ("CCCC", 1.0, 1.0))
    ]
    (line,) = summary(rows).to_dict("records")
    gains = np.array([2.0, 0.0, 4.0, 0.0])
    assert line["improvement"] == f"{gains.mean():.2f} +- {gains.std():.2f}"
    assert line["of successes"] == "3.00 +- 1.00"
    assert line["similarity"] == "0.60 +- 0.10"
    assert (line["success"], line["molecules"], line["method"]) == (0.5, 4, "lead")
    assert len(published()) == 4


def test_a_part_of_a_file_is_read_where_it_has_parts(tmp_path: Path) -> None:
    (tmp_path / "parted.csv").write_text("smiles,part\nCC,valid\nCCC,test\n")
    (tmp_path / "whole.csv").write_text("smiles\nCC\nCCC\n")
    assert list(read_leads(tmp_path / "parted.csv", "smiles", "test")) == ["CCC"]
    assert list(read_leads(tmp_path / "whole.csv", "smiles", "test")) == ["CC", "CCC"]


@pytest.mark.integration
def test_the_command_goes_on_where_it_stopped(method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "leads.smi").write_text("\n".join(LEADS))
    options = ["--budget", "6", "--delta", "0.4", "--method", method, "--processes", "1", "--out", str(tmp_path)]
    tables = []
    for n in ("1", "2"):
        assert main([str(tmp_path / "leads.smi"), "--n", n, *options]) == 0
        tables.append(finished(tmp_path / "results.csv", Job, Row))
    assert [len(table) for table in tables] == [1, 2]
    assert tables[0].items() <= tables[1].items()  # with its seconds: it was not run again
    assert {canonical(job.smiles) for job in tables[1]} == {canonical(s) for s in LEADS}
    assert "JT-VAE" in capsys.readouterr().out


def test_a_file_without_leads_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "leads.csv").write_text("smiles,part\nCC,valid\n")
    with pytest.raises(DataError, match="no molecules to improve"):
        main([str(tmp_path / "leads.csv"), "--out", str(tmp_path)])
