"""Scoring files: same rows, same order, whatever is in them."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pandas as pd
import pytest

from molvae.core.errors import ConfigError, DataError, OracleError
from molvae.oracles import Stacked, oracle
from molvae.oracles.table import score_file


def rows(path: Path) -> list[list[str]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return list(csv.reader(text.splitlines()))


def test_csv_keeps_rows_columns_and_order(tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(
        'id,SMILES,"a, note"\n7,CCO,"x, y"\n7,,z\n3,nonsense,\n1,c1ccccc1,w\n\n'
    )  # blank lines are no rows
    summary = score_file(oracle("qed"), source, tmp_path / "out.csv")
    table = rows(tmp_path / "out.csv")
    assert table[0] == ["id", "SMILES", "a, note", "qed"]
    assert [row[:3] for row in table[1:]] == [
        ["7", "CCO", "x, y"],
        ["7", "", "z"],
        ["3", "nonsense", ""],
        ["1", "c1ccccc1", "w"],
    ]
    scores = [row[3] for row in table[1:]]
    assert scores[1] == scores[2] == ""
    assert [float(scores[0]), float(scores[3])] == oracle("qed")(["CCO", "c1ccccc1"]).tolist()  # to the last digit
    assert (summary.n_rows, summary.n_scored, summary.n_failed) == (4, 2, 2)
    assert str(summary) == f"{tmp_path / 'out.csv'}: 2 of 4 molecules scored by qed, 2 could not be"


def test_smi_gzip_and_two_objectives(tmp_path: Path) -> None:
    source = tmp_path / "in.smi.gz"
    source.write_bytes(gzip.compress(b"CCO ethanol\nCC\tethane two\nC\n"))
    both = Stacked([oracle("logp"), oracle("mw")], name="both")
    score_file(both, source, tmp_path / "out.csv.gz")
    table = rows(tmp_path / "out.csv.gz")
    assert table[0] == ["smiles", "name", "logp", "mw"]
    assert [row[:2] for row in table[1:]] == [["CCO", "ethanol"], ["CC", "ethane two"], ["C", ""]]


def test_more_rows_than_are_held_at_once(tmp_path: Path) -> None:
    source = tmp_path / "in.tsv"
    source.write_text("structure\tqed\n" + "".join(f"{'C' * (1 + n % 7)}\t{n}\n" for n in range(1234)))
    summary = score_file(oracle("heavy_atoms"), source, tmp_path / "out.csv", column="structure")
    table = rows(tmp_path / "out.csv")[1:]
    assert [float(row[2]) for row in table] == [1 + n % 7 for n in range(1234)]
    assert summary.n_rows == 1234


def test_a_column_of_the_oracle_s_name_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles,qed\nC,old\n")
    score_file(oracle("qed"), tmp_path / "in.csv", tmp_path / "out.csv")
    assert rows(tmp_path / "out.csv")[0] == ["smiles", "qed", "qed_score"]


def test_the_input_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("smiles\nC\n")
    with pytest.raises(ConfigError, match="is the file that is read"):
        score_file(oracle("qed"), tmp_path / "in.csv", tmp_path / "in.csv")
    assert (tmp_path / "in.csv").read_text() == "smiles\nC\n"


def test_scoring_again_finds_a_free_name(tmp_path: Path) -> None:
    (tmp_path / "0.csv").write_text("smiles,mw\nC,old\n")
    for i in range(3):
        score_file(oracle("mw"), tmp_path / f"{i}.csv", tmp_path / f"{i + 1}.csv")
    assert rows(tmp_path / "3.csv")[0] == ["smiles", "mw", "mw_score", "mw_score_2", "mw_score_3"]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("in.csv", b"smiles,id,id\nC,1,2\n", "smiles", "in.csv: has two columns 'id'"),
        ("in.csv", b"id,smils\n1,C\n", "smiles", "columns are: id, smils.*did you mean 'smils'"),
        ("in.csv", b"a,b\n1,C\n", "smiles", "say which column holds the SMILES"),
        ("in.csv", b"", "smiles", "is empty"),
        ("in.csv", b"CCO\nCC\n", "smiles", "expected a header line.*got the molecule 'CCO'.*name the file .smi"),
        ("in.csv", b"smiles,id\nC,1\n\nCC,2, 3\n", "smiles", "row 2 has 3 cells, and the header 2"),
        ("in.csv", b"smiles,id\n1,C\n2,CC\n", "smiles", "none of the 2 cells of the column 'smiles'.*are they SMILES"),
        ("in.csv", b"smiles|id\nC|1\n", "smiles", "none of the 1 cells.*separated as its name says"),
        ("in.csv.gz", b"no gzip", "smiles", "is not gzip"),
        ("in.csv.gz", gzip.compress(b"smiles\n" + b"CCO\n" * 700, mtime=0)[:-12], "smiles", "cut short"),
        ("in.xlsx", b"", "smiles", "expected a name ending in"),
    ],
)
def test_unusable_input(tmp_path: Path, name: str, content: bytes, column: str, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        score_file(oracle("qed"), tmp_path / name, tmp_path / "out.csv", column=column)
    assert not (tmp_path / "out.csv").exists()  # nothing half-written is left


def test_a_lone_column_may_have_any_name(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("C\nCCO\n")
    assert score_file(oracle("mw"), tmp_path / "in.csv", tmp_path / "out.csv", column="C").n_scored == 1
    (tmp_path / "in.csv").write_text("molecule\nCCO\n")
    assert score_file(oracle("mw"), tmp_path / "in.csv", tmp_path / "out.csv").n_scored == 1


def test_the_name_of_the_output_says_its_format(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('id,smiles\n07,C\n"a\tb",bad\n')
    for name in ("out.csv", "out.tsv", "out.parquet"):
        score_file(oracle("heavy_atoms"), tmp_path / "in.csv", tmp_path / name)
    tables = [
        pd.read_csv(tmp_path / "out.csv"),
        pd.read_csv(tmp_path / "out.tsv", sep="\t"),
        pd.read_parquet(tmp_path / "out.parquet"),
    ]
    for table in tables:
        assert table["id"].tolist() == ["07", "a\tb"]
        assert table["heavy_atoms"].isna().tolist() == [False, True]
        assert table["heavy_atoms"][0] == 1
    for name in ("out.xlsx", "out", "out.smi", "out.parquet.gz"):
        with pytest.raises(ConfigError, match=f"{name}: expected a name ending in .csv, .tsv or .parquet"):
            score_file(oracle("qed"), tmp_path / "in.csv", tmp_path / name)
        assert not (tmp_path / name).exists()


def test_an_oracle_that_scores_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in.smi").write_text("bad\nC\nCC\n")
    with pytest.raises(OracleError, match="not one molecule of .*in.smi could be scored"):
        score_file(oracle("command", command="false"), tmp_path / "in.smi", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_missing_input_and_unwritable_output(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        score_file(oracle("qed"), tmp_path / "none.csv", tmp_path / "out.csv")
    (tmp_path / "in.smi").write_text("C\n")
    with pytest.raises(DataError, match="cannot be written"):
        score_file(oracle("qed"), tmp_path / "in.smi", tmp_path / "in.smi" / "out.csv")
