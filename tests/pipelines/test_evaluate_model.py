"""The evaluation of a model from a file, start to end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from small_model import small_molecules

from molvae.core.files import read_json
from pipelines import evaluate_model

PIPELINES = sorted(Path(evaluate_model.__file__).parent.glob("*.py"))


def test_the_whole(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    molecules = small_molecules()[:60]
    split = ["test" if i % 3 == 0 else "train" for i in range(60)]
    pd.DataFrame({"smiles": molecules, "split": split}).to_csv(tmp_path / "in.csv.gz", index=False)
    out = tmp_path / "out.json"
    arguments = ["--weights", str(tiny_model), "--data", str(tmp_path / "in.csv.gz"), "--split", "test", "--n", "15"]
    evaluate_model.main([*arguments, "--samples", "40", "--out", str(out)])
    value = read_json(out)
    assert value["n_molecules"] == value["n_encoded"] == 15
    assert value["prior_greedy"]["n_generated"] == value["prior_sampled"]["n_generated"] == 40
    assert (value["prior_greedy"]["temperature"], value["prior_sampled"]["temperature"]) == (None, 1.0)
    assert f"reconstruction           {value['reconstruction']:.4f}" in capsys.readouterr().out


def test_a_prepared_directory(tmp_path: Path, tiny_model: Path, tiny_prepared: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["--weights", str(tiny_model), "--data", str(tiny_prepared), "--split", "test", "--samples", "20"]
    evaluate_model.main([*arguments, "--out", str(out)])
    value = read_json(out)
    assert value["n_molecules"] == 16
    assert value["prior_sampled"]["novelty"] is not None


def test_mistakes_are_one_message_and_an_exit_code(root: Path, tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles\nCCO\n")
    command = [sys.executable, "-m", "pipelines.evaluate_model", "--weights", str(tiny_model), "--split", "test"]
    done = subprocess.run(
        [*command, "--data", str(tmp_path / "in.csv")], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 3
    assert done.stderr.startswith(f"error: {tmp_path / 'in.csv'}: has no column 'split'")


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_every_pipeline_ends_so(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert ("__main__" in text) == text.endswith('if __name__ == "__main__":\n    sys.exit(run_script(main))\n')
