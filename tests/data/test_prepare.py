"""The whole of prepare on molecules of our own: what is kept, what is dropped, and that only the input decides."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from molvae.core.config import load_config, parse_config
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import read_json
from molvae.core.manifest import fingerprint
from molvae.data.prepare import PrepareConfig, prepare
from molvae.data.prepared import prepared_smiles, read_report
from molvae.data.shards import TokenShards
from molvae.data.splits import ColumnSplit, RandomSplit, ScaffoldSplit, SingleSplit
from molvae.tokens.tokenizer import Tokenizer
from tests.data.molecules import another_order, made_molecules
from tests.data.preparing import contents, dropped, molecules, run, write_csv


@pytest.mark.usefixtures("small_chunks")
def test_molecules_come_back_in_order(tmp_path: Path) -> None:
    smiles = made_molecules(120)
    path = write_csv(tmp_path / "in.csv", [(s, "test" if i % 4 == 0 else "train") for i, s in enumerate(smiles)])
    report = run(path, tmp_path / "out", split=ColumnSplit())
    kept_in_test = [s for s in smiles[::4] if (str(tmp_path), s)]
    reasons = {row[3] for row in dropped(tmp_path / "out")}
    assert all(reason.startswith("unknown token: ") for reason in reasons)
    lost = {row[2] for row in dropped(tmp_path / "out")}
    assert molecules(tmp_path / "out", "train") == [s for i, s in enumerate(smiles) if i % 4]
    assert molecules(tmp_path / "out", "test") == [s for s in kept_in_test if s not in lost]
    assert report.n_rows == 120 == sum(report.splits.values()) + sum(report.dropped.values())
    assert report == read_report(tmp_path / "out")
    assert not (tmp_path / "out" / ".prepare").exists()


def test_every_reason_is_counted_and_listed(tmp_path: Path) -> None:
    good = [("CCO", "train"), ("NCC=O", "train"), ("CCN", "valid")]
    bad = [
        ("C(C", "train", "not a valid SMILES"),
        ("", "train", "no SMILES in the row"),
        ("OCC", "train", "duplicate"),
        ("C(O)C", "test", "duplicate of a molecule in another split"),
        ("CC.O", "train", "several fragments (fragments = 'largest' keeps the largest)"),
        ("CCCCCCCCCCCC", "train", "longer than 9 tokens"),
        ("*CC", "train", "SELFIES cannot express it"),
        ("CCBr", "test", "unknown token: [Br]"),
        ("CCF", "", "no split given"),
    ]
    path = write_csv(tmp_path / "in.csv", [*good, *((s, split) for s, split, _ in bad)])
    report = run(path, tmp_path / "out", split=ColumnSplit(), max_length=10)
    assert report.splits == {"train": 2, "valid": 1, "test": 0}
    assert dropped(tmp_path / "out") == [("in.csv", str(i), s, reason) for i, (s, _, reason) in enumerate(bad, start=4)]
    assert report.dropped == {reason.split(":")[0]: 1 for *_, reason in bad}
    assert report.unknown_tokens == {"[Br]": 1}
    assert "12 rows" in str(report)


def test_vocabulary_is_that_of_the_train_split(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "in.csv", [("CCO", "train"), ("CCN", "test"), ("CCC", "test")])
    run(path, tmp_path / "out", split=ColumnSplit())
    assert Tokenizer.load(tmp_path / "out" / "vocabulary.json").vocabulary.tokens[3:] == ("[C]", "[O]")
    assert molecules(tmp_path / "out", "test") == ["CCC"]


def test_given_vocabulary_is_kept(tmp_path: Path) -> None:
    first = write_csv(tmp_path / "a.csv", [("CC(C)O", "train"), ("CC[NH3+]", "train")])
    run(first, tmp_path / "a", split=ColumnSplit(), max_length=30, stereo="drop")
    second = write_csv(tmp_path / "b.csv", [("CCS", "x"), ("CCCO", "x"), ("C[C@H](O)CC", "x")])
    report = run(second, tmp_path / "b", split=SingleSplit(name="test"), vocabulary=tmp_path / "a")
    assert (tmp_path / "a" / "vocabulary.json").read_bytes() == (tmp_path / "b" / "vocabulary.json").read_bytes()
    assert molecules(tmp_path / "b", "test") == ["CCCO", "CCC(C)O"]
    assert (report.unknown_tokens, report.max_length) == ({"[S]": 1}, 30)
    with pytest.raises(ConfigError, match="max_length = 80, but .* was made with 30"):
        run(second, tmp_path / "c", split=SingleSplit(), vocabulary=tmp_path / "a", max_length=80)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"charges": "neutralise"}, ["CC(=O)O", "C[C@H](O)F", "C[Si](C)C"]),
        ({"stereo": "drop"}, ["CC(=O)[O-]", "CC(O)F", "C[Si](C)C"]),
        ({"fragments": "largest"}, ["CC(=O)[O-]", "C[C@H](O)F", "CCO", "C[Si](C)C"]),
        ({"elements": ("C", "O", "F")}, ["CC(=O)[O-]", "C[C@H](O)F"]),
        ({"min_heavy_atoms": 4, "max_heavy_atoms": 4, "elements": ("C", "F", "O", "H")}, ["CC(=O)[O-]", "C[C@H](O)F"]),
        ({"max_heavy_atoms": 3}, []),
    ],
)
def test_filters_and_standardisation(tmp_path: Path, options: dict[str, Any], kept: list[str]) -> None:
    (tmp_path / "in.smi").write_text("CC(=O)[O-]\nC[C@H](O)F\nCCO.Cl\nC[SiH](C)C\n")
    if not kept:
        with pytest.raises(DataError, match="no molecule is left of 4 rows .3 more than 3 heavy atoms, 1 several"):
            run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit(), **options)
        return
    run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit(), **options)
    assert [s and s.replace("[SiH]", "[Si]") for s in molecules(tmp_path / "out", "train")] == kept


def test_properties_stay_beside_their_molecules(tmp_path: Path) -> None:
    text = "smiles,split,logP,qed\nCCO,train,1.5,2\nCCC,valid,,3\nCCC,train,high,4\nCC,train,-1,5\nCO,train,1,nan\n"
    path = tmp_path / "in.csv"
    path.write_text(text)
    with pytest.raises(DataError, match="no column 'qde'.*did you mean 'qed'"):
        run(path, tmp_path / "out", split=ColumnSplit(), properties=("qde",))
    report = run(path, tmp_path / "out", split=ColumnSplit(), properties=("logP", "qed"))
    assert report.dropped == {"property logP is not a finite number": 1}
    train, valid = (TokenShards.open(tmp_path / "out", split).properties for split in ("train", "valid"))
    assert train is not None
    assert valid is not None
    np.testing.assert_array_equal(train, np.array([[1.5, 2], [-1, 5], [1, np.nan]], dtype=np.float32))
    np.testing.assert_array_equal(valid, np.array([[np.nan, 3]], dtype=np.float32))
    assert read_json(tmp_path / "out" / "manifest.json")["properties"] == ["logP", "qed"]


def test_descriptors_are_computed_beside_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("smiles,x\nCCO,1.5\nc1ccccc1,2\nOCC,3\n")
    run(path, tmp_path / "out", split=SingleSplit(), properties=("x",), descriptors=("heavy_atoms", "logp"))
    found = TokenShards.open(tmp_path / "out", "train").properties
    logp = [Crippen.MolLogP(Chem.MolFromSmiles(smiles)) for smiles in ("CCO", "c1ccccc1")]
    np.testing.assert_allclose(found, [[1.5, 3, logp[0]], [2, 6, logp[1]]], rtol=1e-6)
    assert read_json(tmp_path / "out" / "manifest.json")["properties"] == ["x", "heavy_atoms", "logp"]
    with pytest.raises(ConfigError, match="unknown property 'logq'; did you mean 'logp'"):
        parse_config({"inputs": [str(path)], "output": "o", "descriptors": ["logq"]}, PrepareConfig)
    with pytest.raises(ConfigError, match="a property is named twice"):
        parse_config({"inputs": [str(path)], "output": "o", "descriptors": ["logp", "logp"]}, PrepareConfig)
    with pytest.raises(ConfigError, match="unknown element 'CL'; did you mean 'Cl'"):
        parse_config({"inputs": [str(path)], "output": "o", "elements": ["C", "CL"]}, PrepareConfig)


def test_properties_may_have_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles;x\nCCO;1,5\nc1ccccc1;-2\n")
    run(tmp_path / "in.csv", tmp_path / "out", split=SingleSplit(), properties=("x",))
    np.testing.assert_array_equal(TokenShards.open(tmp_path / "out", "train").properties, [[1.5], [-2]])


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    "split", [RandomSplit(valid_fraction=0.2, test_fraction=0.2), ScaffoldSplit(test_fraction=0.3)]
)
def test_splits_are_disjoint_and_do_not_depend_on_order(tmp_path: Path, split: RandomSplit) -> None:
    smiles = made_molecules(300)
    (tmp_path / "a.smi").write_text("\n".join(smiles))
    shuffled = [another_order(s, i) for i, s in enumerate(reversed(smiles))]
    (tmp_path / "b.smi").write_text("\n".join([*shuffled, *smiles]))
    first, second = (
        run(tmp_path / "a.smi", tmp_path / "a", split=split),
        run(tmp_path / "b.smi", tmp_path / "b", split=split),
    )
    everywhere: list[str | None] = []
    for name in first.splits:
        assert set(molecules(tmp_path / "a", name)) == set(molecules(tmp_path / "b", name))
        everywhere += molecules(tmp_path / "a", name)
    assert len(everywhere) == len(set(everywhere))
    assert second.dropped["duplicate"] == 300


@pytest.mark.usefixtures("small_chunks")
def test_any_number_of_workers_gives_the_same(tmp_path: Path) -> None:
    smiles = made_molecules(200)
    mixed = [*smiles, "C(C", "CC.C", *(another_order(s, 1) for s in smiles[:50])]
    (tmp_path / "in.smi").write_text("\n".join(mixed))
    for workers in (0, 1, 3):
        run(tmp_path / "in.smi", tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "1") == contents(tmp_path / "3")


def test_several_files_of_several_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"smiles\nCCC\nC(\n"))
    run([tmp_path / "a.smi", tmp_path / "b.csv.gz"], tmp_path / "out", split=SingleSplit())
    assert molecules(tmp_path / "out", "train") == ["CCO", "CCC"]
    assert dropped(tmp_path / "out") == [("b.csv.gz", "2", "C(", "not a valid SMILES")]


def test_files_of_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "in.smi").write_text("CCO\n")
    paths = [tmp_path / folder / "in.smi" for folder in "ab"]
    run(paths, tmp_path / "out", split=SingleSplit())
    assert dropped(tmp_path / "out") == [(str(paths[1]), "1", "CCO", "duplicate")]
    assert set(read_json(tmp_path / "out" / "manifest.json")["inputs"]) == {str(path) for path in paths}


def test_an_input_given_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.smi"
    path.write_text("CCO\n")
    given = {"inputs": [str(path), str(tmp_path / "x" / ".." / "in.smi")], "output": str(tmp_path / "out")}
    with pytest.raises(ConfigError, match="inputs: .*in.smi is given twice"):
        parse_config(given, PrepareConfig)


def test_same_command_again_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("CCO\nCCC\n")
    report = run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit())
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    assert run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit(), workers=1) == report
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times


def test_what_was_asked_for_and_the_counts_lie_beside_the_data(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("CCO\nCCC\nC(\n")
    run(tmp_path / "in.smi", tmp_path / "a", split=SingleSplit(), max_length=30, stereo="drop")
    run(tmp_path / "in.smi", tmp_path / "b", split=SingleSplit(), vocabulary=tmp_path / "a")
    config = load_config(tmp_path / "b" / "config.resolved.toml", PrepareConfig)
    assert (config.max_length, config.stereo) == (30, "drop"), "taken over from the vocabulary"
    assert prepare(config) == read_report(tmp_path / "b"), "the same command again"
    metrics, manifest = (read_json(tmp_path / "b" / name) for name in ("metrics.json", "manifest.json"))
    assert metrics["splits"] == {"train": 2}
    assert metrics["dropped"] == {"not a valid SMILES": 1}
    assert metrics == {name: manifest[name] for name in metrics}


def test_what_an_older_version_prepared_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("CCO\nCCC\n")
    report = run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit())
    for name in ("config.resolved.toml", "metrics.json"):
        (tmp_path / "out" / name).unlink()
    before = fingerprint(tmp_path / "out")
    assert run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit()) == report
    assert fingerprint(tmp_path / "out") == before


def test_other_settings_are_refused_unless_allowed(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("CCO\nCCC\n")
    run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit())
    with pytest.raises(DataError, match="prepared with other settings .max_length differ"):
        run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit(), max_length=20)
    report = run(tmp_path / "in.smi", tmp_path / "out", split=SingleSplit(name="test"), vocabulary=tmp_path / "out",
                 overwrite=True)  # fmt: skip
    assert report.splits == {"test": 2}
    assert not list((tmp_path / "out").glob("train*"))
    assert load_config(tmp_path / "out" / "config.resolved.toml", PrepareConfig).split == SingleSplit(name="test")
    assert read_json(tmp_path / "out" / "metrics.json")["splits"] == {"test": 2}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("CCO", "test")], "no molecule in the split 'train' to make a vocabulary from .splits found: test"),
        ([(f"{'C' * i}O", f"id{i}") for i in range(1, 30)], "more than 20 splits .*does not hold names of splits"),
    ],
)
def test_unusable_inputs_say_why(tmp_path: Path, rows: list[tuple[str, str]], message: str) -> None:
    path = write_csv(tmp_path / "in.csv", rows)
    with pytest.raises(DataError, match=message):
        run(path, tmp_path / "out", split=ColumnSplit())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"smiles_column": "name"},
            r"of 3 rows \(2 not a valid SMILES, 1 no SMILES in the row\); see .*; does the column 'name' hold SMILES",
        ),
        ({"properties": ("name",)}, r"left of 3 rows \(2 property name is not a finite number, 1 not a valid SMILES\)"),
    ],
)
def test_what_every_row_was_dropped_for_is_said_and_listed(tmp_path: Path, options: Any, message: str) -> None:
    path = write_csv(tmp_path / "in.csv", [("CCO", "ethanol"), ("CCN", "amine"), ("?", "")], ("smiles", "name"))
    with pytest.raises(DataError, match=message):
        run(path, tmp_path / "out", split=SingleSplit(), **options)
    assert len(dropped(tmp_path / "out")) == 3
    assert not list((tmp_path / "out").glob("*.json")), "a vocabulary or a manifest"
    assert run(path, tmp_path / "out", split=SingleSplit()).splits == {"train": 2}


def test_nothing_left_with_a_given_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO\n")
    run(tmp_path / "a.smi", tmp_path / "a", split=SingleSplit())
    (tmp_path / "b.smi").write_text("CCS\n")
    with pytest.raises(DataError, match="no molecule is left of 1 rows .1 unknown token"):
        run(tmp_path / "b.smi", tmp_path / "b", split=SingleSplit(), vocabulary=tmp_path / "a")


def test_a_prepared_split_gives_its_molecules_back(tmp_path: Path) -> None:
    write_csv(tmp_path / "in.csv", [(s, "train") for s in made_molecules(120)])
    run(tmp_path / "in.csv", tmp_path / "out", split={"test_fraction": 0.3})  # random, as nothing else is named
    found = {split: list(prepared_smiles(tmp_path / "out", split)) for split in ("train", "valid", "test")}
    assert all(found[split] == molecules(tmp_path / "out", split) for split in found)
    assert 20 < len(found["test"]) < 60
    for wrong in (None, "tset"):
        with pytest.raises(DataError, match=r"expected one of the prepared splits \(.*test.*\), .*--split"):
            list(prepared_smiles(tmp_path / "out", wrong))


def test_what_is_no_prepared_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"kind": "train"}')
    with pytest.raises(
        DataError, match="expected a prepared directory, got that of train; a model is given by --model"
    ):
        list(prepared_smiles(tmp_path, "test"))
    write_csv(tmp_path / "in.csv", [(s, "train") for s in made_molecules(40)])
    run(tmp_path / "in.csv", tmp_path / "out", split={"column": "split"})
    assert len(list(prepared_smiles(tmp_path / "out", "train"))) > 30
    vocabulary = tmp_path / "out" / "vocabulary.json"
    vocabulary.write_text(vocabulary.read_text().replace('"[C]"', '"[Si]"'))
    with pytest.raises(DataError, match="its vocabulary is another"):
        list(prepared_smiles(tmp_path / "out", "train"))
