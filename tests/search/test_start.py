"""What a search begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rdkit import Chem
from search_molecules import METHOD, MOLECULES, Counting

from molvae.chem.filters import PropertyWindow
from molvae.core.errors import ConfigError, DataError
from molvae.search import optimise
from molvae.search.constraints import Constraints
from molvae.search.ledger import Ledger
from molvae.search.loop import run_search
from molvae.search.methods import Setting
from molvae.search.start import StartSpec, start_molecules


def test_constraints_mark_start_molecules_and_keep_others_out() -> None:
    small = PropertyWindow("mw", high=160)
    search = METHOD.build(Setting(start=MOLECULES[:8], accept=small))
    result = run_search(
        search, Counting(len), Ledger(), budget=25, batch_size=5, constraints=Constraints({"mw": small})
    )
    assert {r.feasible for r in result.records[:8]} == {True, False}
    assert all(r.feasible for r in result.records[8:])
    assert all(r.feasible for r in result.best_records(25))


def test_start_molecules_come_from_the_file_or_the_model(
    tmp_path: Path, model: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "start.csv"
    file.write_text("name,smiles\na,OCC\nb,CCO\nc,broken(\nd,CCN\ne,CCN.Cl\n")
    assert set(start_molecules(StartSpec(file=file, n=9), None, 0)) == {"CCO", "CCN"}
    assert "start.csv: of the rows drawn, 2 are no valid molecule of one fragment and are left out: '" in caplog.text
    assert len(start_molecules(StartSpec(file=file, n=1), None, 0)) == 1
    assert start_molecules(StartSpec(n=4), model, 0) == start_molecules(StartSpec(n=4), model, 0)
    with pytest.raises(ConfigError, match=r"search.start.smiles.1: 'CCO.Cl' has several fragments"):
        start_molecules(StartSpec(smiles=("CCO", "CCO.Cl")), None, 0)
    with pytest.raises(ConfigError, match="'broken' is not a valid SMILES"):
        optimise("qed", 5, start=["CCO", "broken"], method=METHOD)
    with pytest.raises(ConfigError, match="search.start.file"):
        start_molecules(StartSpec(), None, 0)
    file.write_text("smiles\nbroken(\n")
    with pytest.raises(DataError, match="no valid molecule"):
        start_molecules(StartSpec(file=file), None, 0)


def test_sampled_start_molecules_meet_the_constraints(model: Any) -> None:
    window = PropertyWindow("mw", high=120)
    found = start_molecules(StartSpec(n=4), model, 0, window)
    assert found
    assert all(window(Chem.MolFromSmiles(smiles)) for smiles in found)
    asked: list[str] = []
    bound = {"kind": "window", "name": "mw", "high": 120}
    optimise(Counting(lambda s: asked.append(s) or 1.0), 8, weights=model, constraints=[bound])  # type: ignore[func-returns-value]
    assert asked
    assert all(window(Chem.MolFromSmiles(smiles)) for smiles in asked)
    with pytest.raises(ConfigError, match="no sample of the model meets the constraints"):
        optimise("qed", 8, weights=model, constraints=[{"kind": "window", "name": "mw", "high": 1}])


def test_no_start_molecules_are_those_of_the_model(model: Any) -> None:
    assert optimise("qed", 4, start=[], weights=model, method=METHOD).smiles
    assert optimise("qed", 4.0, start=MOLECULES, method=METHOD).reason == "budget"  # type: ignore[arg-type]
