"""The anomaly benchmark: areas against a count of pairs, and a table from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_model import small_molecules

from molvae.core.errors import DataError
from molvae.core.files import read_json
from pipelines.benchmark_anomaly import areas, main


def test_areas_count_pairs_in_the_right_order() -> None:
    def length(smiles: list[str]) -> np.ndarray:
        return np.array([-np.inf if s == "?" else float(len(s)) for s in smiles])

    table = areas({"length": length}, ["CCC", "CCCCC"], {"short": ["C", "CCCC"], "unreadable": ["?"]})
    assert table["length"].to_dict() == {"short": 0.75, "unreadable": 1.0, "mean": 0.875}


@pytest.mark.integration
def test_a_table_from_files(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    molecules = small_molecules()[:60]
    splits = ["valid" if i % 2 else "test" for i in range(60)]
    pd.DataFrame({"smiles": molecules, "split": splits}).to_csv("zinc.csv", index=False)
    strange = ["CCCCCCCCCCCCC(=O)OCCCCC", "OOOOOO", "C[Si](C)(C)C", "no molecule"]
    pd.DataFrame({"smiles": strange, "class": ["chain", "peroxide", "silane", "none"]}).to_csv("ood.csv", index=False)
    arguments = ["--ordinary", "zinc.csv", "--others", "ood.csv", "--weights", str(tiny_model), "--out", "o.json"]
    main(arguments)
    assert "mean" in capsys.readouterr().out
    found = read_json(Path("o.json"))
    assert set(found) == {"chain", "peroxide", "silane", "none", "mean"}
    assert found["silane"]["molvae"] == found["none"]["nearest"] == 1.0
    pd.DataFrame({"smiles": molecules, "split": "train"}).to_csv("zinc.csv", index=False)
    with pytest.raises(DataError, match="no row has 'valid'"):
        main(arguments)
