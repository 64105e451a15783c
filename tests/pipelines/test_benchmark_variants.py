"""The variants benchmark: every shipped variant can be built, rows hold what was measured, nothing is done twice."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from small_model import TRAINING, small_molecules, small_tokenizer, write_prepared

from molvae.core.config import load_config
from molvae.core.errors import ConfigError
from molvae.core.files import sha256_file
from molvae.generation import load
from molvae.model.vae import SequenceVAE
from molvae.training.config import TrainConfig
from pipelines.benchmark_variants import Job, Row, Study, jobs, main, table
from pipelines.rows import finished, unpacked

STUDY = """
config = "base.toml"
overrides = ["optimiser.epochs=2"]
[variants]
gaussian = []
ladder = ["model.bottleneck={kind='ladder', widths=[2, 4], hidden_dim=8}"]
"""


def test_every_shipped_variant_can_be_built(root: Path) -> None:
    study = load_config(root / "configs/variants.toml", Study)
    for job in jobs(study, [], [], "", 1, 1):
        config = load_config(root / job.config, TrainConfig, unpacked(job.overrides))
        assert SequenceVAE(config.model, 109).latent_dim == 128, job.variant


def test_an_unknown_variant_is_corrected(root: Path) -> None:
    study = load_config(root / "configs/variants.toml", Study)
    with pytest.raises(ConfigError, match="no variant 'lader'; did you mean 'ladder'"):
        list(jobs(study, ["lader"], [], "", 1, 1))


@pytest.mark.integration
def test_variants_are_trained_measured_and_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    molecules = small_molecules()
    write_prepared(tmp_path / "prepared", {"train": molecules[:64], "valid": molecules[64:80]}, small_tokenizer())
    pd.DataFrame({"smiles": molecules[80:], "split": "test"}).to_csv("in.csv", index=False)
    Path("base.toml").write_text(TRAINING, encoding="utf-8")
    Path("study.toml").write_text(STUDY, encoding="utf-8")
    command = ["study.toml", "--data", "in.csv", "--samples", "20", "--out", "rows.csv"]
    assert main([*command, "--processes", "2"]) == 0
    printed = capsys.readouterr().out
    assert [line.split("|")[1].strip() for line in printed.splitlines()] == ["variant", "-" * 10, "gaussian", "ladder"]
    rows = finished(Path("rows.csv"), Job, Row)
    assert len(rows) == 2
    for job, row in rows.items():
        assert (job.data, job.n_test, job.n_samples) == (f"sha256 {sha256_file('in.csv')[:12]}", 2000, 20)
        (run,) = (tmp_path / "runs/variants").glob(f"{job.variant}-0-*")
        vae = load(run / "model", "cpu")
        assert row.parameters == sum(weight.numel() for weight in vae.network.parameters())
        assert row.elbo <= row.iwae
        assert row.rate == pytest.approx(float(vae.rate(molecules[80:]).sum(1).mean()), rel=0.05)
        assert 0 <= row.reconstruction <= 1
        assert 0 <= row.radicals <= 1
    before = Path("rows.csv").read_text(encoding="utf-8")
    assert main(command) == 0
    assert Path("rows.csv").read_text(encoding="utf-8") == before
    assert capsys.readouterr().out == printed
    assert main([*command, "--only", "gaussian", "--set", "optimiser.epochs=3"]) == 0
    assert len(list((tmp_path / "runs/variants").glob("gaussian-0-*"))) == 2, "it goes on with no other run's weights"
    assert table(list(rows.values())).count("\n") == 3
