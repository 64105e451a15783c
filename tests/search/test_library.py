"""Molecules that are there already, as candidates of a search."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from search_molecules import MOLECULES

from molvae.core.config import parse_config
from molvae.core.errors import ConfigError, DataError
from molvae.generation import MoleculeVAE
from molvae.search.bayesian import BayesianSearch, InnerSpec
from molvae.search.config import OptimiseConfig
from molvae.search.features import CountFingerprint
from molvae.search.library import Library, LibrarySpec
from molvae.search.methods import BayesianSpec, Setting
from molvae.search.run import run
from molvae.search.specs import GraphMutationSpec, UCBSpec

INNER = InnerSpec(generations=1, candidates=1, reserve=0, immigrants=12)  # few are invented
GREEDY = UCBSpec(log10_weight=(-3.0, -2.0))


def search(library: list[str]) -> BayesianSearch:
    spec = BayesianSpec(inner=INNER, acquisition=GREEDY, proposers=(GraphMutationSpec(),))
    made = spec.build(Setting(start=MOLECULES[:4]))
    assert isinstance(made, BayesianSearch)
    made.library = Library(library, made.fingerprint, made.accept)
    return made


def score(smiles: str) -> float:
    """Number of oxygen, sulphur and fluorine atoms: what the surrogate can learn from a few molecules."""
    return float(sum(atom.GetSymbol() in "OSF" for atom in Chem.MolFromSmiles(smiles).GetAtoms()))


def test_molecules_of_the_library_are_asked_for_once() -> None:
    made = search(MOLECULES)
    origins: dict[str, str] = {}
    for _ in range(10):
        batch = made.ask(2)
        made.tell([c.smiles for c in batch], [score(c.smiles) for c in batch])
        assert not origins.keys() & {c.smiles for c in batch}
        origins |= {c.smiles: c.origin for c in batch}
    from_library = {s for s, origin in origins.items() if origin == "library"}
    assert from_library
    assert from_library <= set(MOLECULES[4:])


def test_the_library_is_sifted_once_and_known_molecules_are_not_drawn() -> None:
    small = lambda mol: mol.GetNumHeavyAtoms() < 10  # noqa: E731
    library = Library(["OCC", "CCO", "nonsense", "CCN", "c1ccccc1CCCCCCCC", "C[CH2]"], CountFingerprint(), small)
    assert [c.smiles for c in library.candidates] == ["CCO", "CCN"]
    drawn, fingerprints = library.draw(5, np.random.default_rng(0), lambda s: s == "CCO")
    assert [c.smiles for c in drawn] == ["CCN"]
    assert (fingerprints != CountFingerprint()([Chem.MolFromSmiles("CCN")])).nnz == 0


def test_a_search_that_is_loaded_goes_on_as_the_one_that_was_not() -> None:
    first, again = search(MOLECULES), search(MOLECULES)
    for made, batches in ((first, 6), (again, 3)):
        for _ in range(batches):
            batch = [c.smiles for c in made.ask(2)]
            made.tell(batch, [score(s) for s in batch])
    resumed = search(MOLECULES)
    resumed.load_state_dict(json.loads(json.dumps(again.state_dict())))
    for _ in range(3):
        batch = [c.smiles for c in resumed.ask(2)]
        resumed.tell(batch, [score(s) for s in batch])
    assert resumed.values == first.values


def test_comes_from_a_file_or_from_the_model(tmp_path: Path, model: MoleculeVAE) -> None:
    file = tmp_path / "some.csv"
    file.write_text("smiles\n" + "\n".join([*MOLECULES, "not one"]) + "\n", encoding="utf-8")
    assert sorted(LibrarySpec(file=file).molecules(None, 0)) == sorted(MOLECULES)
    few = LibrarySpec(file=file, n=5)
    assert len(few.molecules(None, 0)) == 5
    assert few.molecules(None, 0) == few.molecules(None, 0) != few.molecules(None, 1)
    assert len(LibrarySpec(n=7).molecules(model, 0)) == 7
    with pytest.raises(DataError, match="no such file"):
        LibrarySpec(file=tmp_path / "other.csv").molecules(None, 0)


def config(tmp_path: Path, **search: Any) -> OptimiseConfig:
    data = {
        "oracle": {"kind": "named", "name": "qed"},
        "search": {"budget": 8, "start": {"smiles": MOLECULES[:4]}, **search},
        "method": {"kind": "bayesian", "inner": INNER.model_dump(), "proposers": [{"kind": "graph_mutation"}]},
    }
    return parse_config(data, OptimiseConfig, str(tmp_path))


def test_a_run_says_where_its_library_came_from(tmp_path: Path) -> None:
    file = tmp_path / "catalogue.smi"
    file.write_text("\n".join(MOLECULES) + "\n", encoding="utf-8")
    result = run(config(tmp_path, library={"file": str(file)}), tmp_path / "run")
    assert len(result.records) == 8
    manifest = json.loads((tmp_path / "run/manifest.json").read_text(encoding="utf-8"))
    assert manifest["inputs"]["library"]["sha256"]


def test_other_methods_have_none(tmp_path: Path) -> None:
    made = config(tmp_path, library={"n": 3})
    wrong = parse_config(
        made.model_dump(mode="json", exclude_none=True) | {"method": {"kind": "evolution"}}, OptimiseConfig, "c"
    )
    with pytest.raises(ConfigError, match=r"search\.library need"):
        run(wrong, tmp_path / "run")
