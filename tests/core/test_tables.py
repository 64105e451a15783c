"""The same rows come out of every format; damaged files say what is wrong."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from molvae.core.errors import DataError
from molvae.core.tables import batches_of, column_names, count_rows, find_columns, read_rows

ROWS = [("CCO", "ethanol", "1.5"), ("c1ccccc1", "", "2"), ("C/C=C/C", "but, 2-ene", "")]


def as_delimited(path: Path, delimiter: str) -> None:
    with open(path, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter=delimiter)
        writer.writerow(["smiles", "name", "value"])
        writer.writerows(ROWS)


def as_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(zip(*ROWS, strict=True))
    values = [None if v == "" else float(v) for v in columns[2]]
    pq.write_table(pa.table({"smiles": columns[0], "name": columns[1], "value": values}), path)


WRITERS: dict[str, Callable[[Path], None]] = {
    ".csv": lambda path: as_delimited(path, ","),
    ".tsv": lambda path: as_delimited(path, "\t"),
    ".parquet": as_parquet,
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("suffix", list(WRITERS))
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str, zipped: bool) -> None:
    path = tmp_path / f"mols{suffix}"
    WRITERS[suffix](path)
    if zipped:
        path = tmp_path / f"mols{suffix}.gz"
        path.write_bytes(gzip.compress((tmp_path / f"mols{suffix}").read_bytes()))
    rows = list(read_rows(path, ["name", "smiles", "value"]))
    assert [row.number for row in rows] == [1, 2, 3]
    assert [row.cells[:2] for row in rows] == [(name, smiles) for smiles, name, _ in ROWS]
    assert [float(row.cells[2] or "nan") for row in rows[:2]] == [1.5, 2.0]
    assert rows[2].cells[2] == ""
    assert count_rows(path) == 3
    assert column_names(path) == ["smiles", "name", "value"]


@pytest.mark.parametrize("name", ["mols.smi", "mols.smiles", "mols.txt", "MOLS.SMI"])
def test_smi_has_no_header(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("CCO ethyl alcohol\n\nCCN\tamine\n  CCC")
    assert [tuple(row) for row in read_rows(path, ["smiles", "name"])] == [
        (1, ("CCO", "ethyl alcohol")),
        (3, ("CCN", "amine")),
        (4, ("CCC", "")),
    ]
    assert count_rows(path) == 4


def test_a_column_may_be_asked_for_twice(tmp_path: Path) -> None:
    as_parquet(tmp_path / "mols.parquet")
    assert next(read_rows(tmp_path / "mols.parquet", ["smiles", "smiles"])).cells == ("CCO", "CCO")


def test_gzip_is_told_by_content(tmp_path: Path) -> None:
    (tmp_path / "mols.smi").write_bytes(gzip.compress(b"CCO\n"))
    assert next(read_rows(tmp_path / "mols.smi", ["smiles"])).cells == ("CCO",)


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    (tmp_path / "mols.csv").write_bytes(b"\xef\xbb\xbfsmiles,split\r\nCCO,train\r\n")
    assert next(read_rows(tmp_path / "mols.csv", ["smiles", "split"])).cells == ("CCO", "train")


def test_line_ends_inside_quotes(tmp_path: Path) -> None:
    (tmp_path / "mols.csv").write_text('smiles,logP\n"CCO\n",1\n"CCN\n",2\n')
    assert [row.cells for row in read_rows(tmp_path / "mols.csv", ["smiles", "logP"])] == [("CCO", "1"), ("CCN", "2")]


def test_quotes_inside_cells_are_kept(tmp_path: Path) -> None:
    cells = ['"a ""b"" c"', '5" pipe', '"5-HT" agonist', '"a" ']
    (tmp_path / "mols.csv").write_text("name,smiles\n" + "".join(f"{cell},C\n" for cell in cells))
    names = [row.cells[0] for row in read_rows(tmp_path / "mols.csv", ["name"])]
    assert names == ['a "b" c', '5" pipe', "5-HT agonist", "a"]


@pytest.mark.parametrize("rest", ["", 'CCC,"ok"\n'], ids=["to the end", "to the next quote"])
def test_an_unclosed_quote_does_not_swallow_rows(tmp_path: Path, rest: str) -> None:
    (tmp_path / "mols.csv").write_text('smiles,name\nC,x\nCCO,"5 inch\nCCN,y\n' + rest)
    with pytest.raises(DataError, match=r"mols.csv: line 3: is not valid CSV .*an unclosed quote.*after row 1"):
        list(read_rows(tmp_path / "mols.csv", ["smiles"]))


@pytest.mark.parametrize("before", ["\n  \r\n", "sep=;\n", "\ufeffSEP=;\r\n\n"])
def test_what_stands_before_the_header_is_skipped(tmp_path: Path, before: str) -> None:
    (tmp_path / "mols.csv").write_text(before + 'smiles;x\nCCO;"1,5"\n\nCC;\n', newline="")
    assert column_names(tmp_path / "mols.csv") == ["smiles", "x"]
    assert [row.cells for row in read_rows(tmp_path / "mols.csv", ["x", "smiles"])] == [("1,5", "CCO"), ("", "CC")]


def test_decimal_commas_become_points_only_where_semicolons_separate(tmp_path: Path) -> None:
    for separator, expected in ((";", "3.14"), (",", "3,14")):
        (tmp_path / "mols.csv").write_text(f'smiles{separator}x\nCCO{separator}"3,14"\n')
        assert next(read_rows(tmp_path / "mols.csv", ["smiles", "X"], numeric=["X"])).cells == ("CCO", expected)


def test_two_columns_of_one_name_are_refused_where_they_are_wanted(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "mols.csv").write_text("smiles,x,x\nCCO,1,2\n")
    pq.write_table(pa.table([["CCO"], ["1"], ["2"]], names=["smiles", "x", "x"]), tmp_path / "mols.parquet")
    for path in (tmp_path / "mols.csv", tmp_path / "mols.parquet"):
        with pytest.raises(DataError, match="has two columns 'x'; give each its own name"):
            find_columns(path, ["smiles", "x"])
        assert next(read_rows(path, ["smiles"])).cells == ("CCO",)


def test_bytes_in_parquet_are_text(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"smiles": [b"CCO", None, b"CC\xff"]}), tmp_path / "mols.parquet")
    assert [row.cells[0] for row in read_rows(tmp_path / "mols.parquet", ["smiles"])] == ["CCO", "", "CC\ufffd"]
    text = pa.array([b"CCO", b"CC\xff"]).view(pa.string())  # as writers do that do not look
    pq.write_table(pa.table({"smiles": text}), tmp_path / "mols.parquet")
    with pytest.raises(DataError, match="mols.parquet: is a damaged parquet file .*utf-8"):
        list(read_rows(tmp_path / "mols.parquet", ["smiles"]))


def test_a_byte_that_is_no_text_spoils_only_its_row(tmp_path: Path) -> None:
    (tmp_path / "mols.csv").write_bytes(b"smiles\nCC\xff\nCCO\n")
    assert [row.cells[0] for row in read_rows(tmp_path / "mols.csv", ["smiles"])] == ["CC\ufffd", "CCO"]


def test_short_rows_have_empty_cells(tmp_path: Path) -> None:
    (tmp_path / "mols.csv").write_text("smiles,split\nCCO\n")
    assert next(read_rows(tmp_path / "mols.csv", ["smiles", "split"])).cells == ("CCO", "")


def test_surplus_cells_are_refused_unless_they_are_empty(tmp_path: Path) -> None:
    (tmp_path / "mols.csv").write_text("smiles,name\nCCO,ethanol,, \nCCN,amine,ethyl\n")
    rows = read_rows(tmp_path / "mols.csv", ["smiles", "name"])
    assert next(rows).cells == ("CCO", "ethanol")
    with pytest.raises(DataError, match="mols.csv: row 2 has 3 cells, and the header 2; put quotes around"):
        next(rows)


def test_semicolons_separate_as_well(tmp_path: Path) -> None:
    chembl = '"ChEMBL ID";"Name, as given";"Smiles"\n"CHEMBL25";"aspirin; an acid";"CC(=O)Oc1ccccc1C(=O)O"\n'
    (tmp_path / "chembl.csv.gz").write_bytes(gzip.compress(chembl.encode()))
    assert column_names(tmp_path / "chembl.csv.gz") == ["ChEMBL ID", "Name, as given", "Smiles"]
    rows = read_rows(tmp_path / "chembl.csv.gz", ["Smiles", "Name, as given"])
    assert [row.cells for row in rows] == [("CC(=O)Oc1ccccc1C(=O)O", "aspirin; an acid")]
    (tmp_path / "commas.csv").write_text('"IC50 (nM; 25 C; pH 7)",smiles\n1.5,CCO\n')
    assert [row.cells for row in read_rows(tmp_path / "commas.csv", ["smiles"])] == [("CCO",)]


def test_missing_column_lists_those_there_are(tmp_path: Path) -> None:
    as_delimited(tmp_path / "mols.csv", ",")
    with pytest.raises(DataError, match="no column 'smile'; its columns are: smiles, name, value; did you mean"):
        find_columns(tmp_path / "mols.csv", ["smile"])
    (tmp_path / "mols.smi").write_text("CCO\n")
    with pytest.raises(DataError, match="no header"):
        find_columns(tmp_path / "mols.smi", ["split"])


@pytest.mark.parametrize(
    "header", ["id,Canonical SMILES", "id,canonical_smiles", "Structure,structure,canonical_smiles"]
)
def test_smiles_may_be_called_as_others_call_them(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\n" + ",".join(["1"] * header.count(",") + ["CCO"]) + "\n")
    assert find_columns(tmp_path / "a.csv", ["smiles"]) == [header.split(",")[-1]]
    assert [row.cells for row in read_rows(tmp_path / "a.csv", ["smiles"])] == [("CCO",)]


def test_columns_are_found_in_any_case(tmp_path: Path) -> None:
    (tmp_path / "mols.csv").write_text("Smiles,pIC50,logP,logp\nCCO,6.5,1,2\n")
    assert find_columns(tmp_path / "mols.csv", ["smiles", "pic50", "logp"]) == ["Smiles", "pIC50", "logp"]
    assert next(read_rows(tmp_path / "mols.csv", ["smiles", "PIC50", "logP"])).cells == ("CCO", "6.5", "1")
    with pytest.raises(DataError, match="no column 'LOGP'; its columns are: Smiles, pIC50, logP, logp; did you mean"):
        find_columns(tmp_path / "mols.csv", ["LOGP"])


def gz_cut_short(path: Path) -> None:
    path.write_bytes(gzip.compress(b"smiles\n" + b"".join(b"%040d\n" % (i**7) for i in range(5000)))[:-2000])


def gz_with_a_flipped_byte(path: Path) -> None:
    content = bytearray(gzip.compress(b"smiles\n" + b"".join(b"%040d\n" % (i**7) for i in range(5000))))
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [gz_cut_short, gz_with_a_flipped_byte])
def test_damaged_gzip_is_named_with_the_row(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(tmp_path / "mols.csv.gz")
    with pytest.raises(DataError, match=r"mols.csv.gz: its gzip data are damaged or cut short .*after row [\d,]+"):
        list(read_rows(tmp_path / "mols.csv.gz", ["smiles"]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mols.csv", b"", "is empty"),
        ("mols.smi", b"", "is empty"),
        ("mols.csv", b"smiles\n", "holds no rows"),
        ("mols.smi", b"\n\n", "holds no rows"),
        ("mols.csv.gz", b"<!doctype html>", "is named .gz but is not gzip"),
        ("mols.parquet", b"PAR1 and nothing else", "mols.parquet: is not a readable parquet file"),
        (
            "mols.parquet.gz",
            gzip.compress(b"PAR1 and no more", mtime=0),
            "mols.parquet.gz: is not a readable parquet file",
        ),
        ("mols.csv", "smiles\nCCO\n".encode("utf-16"), "mols.csv: is UTF-16 text; save it as UTF-8"),
        ("mols.smi", b"\xfe\xff\x00C", "mols.smi: is UTF-16 text"),
        ("mols.csv.gz", gzip.compress("smiles\nCCO\n".encode("utf-16"), mtime=0), "mols.csv.gz: is UTF-16 text"),
        ("mols.sdf", b"", "unknown kind of file; expected a name ending in .smi"),
        ("mols.csv", b'smiles\n"CCO' + b"C" * 1_100_000, "mols.csv: line 2: is not valid CSV .*an unclosed quote"),
    ],
)
def test_unusable_files_say_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(tmp_path / name, ["smiles"]))


def test_absent_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        column_names(tmp_path / "mols.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        column_names(tmp_path / "folder.csv")


def test_batches_run_over_file_ends(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("C\nCC\nCCC\n")
    (tmp_path / "b.smi").write_text("O\nOO\n")
    batches = list(batches_of([tmp_path / "a.smi", tmp_path / "b.smi"], ["smiles"], 2))
    assert [[(source, row.number, row.cells[0]) for source, row in batch] for batch in batches] == [
        [(0, 1, "C"), (0, 2, "CC")],
        [(0, 3, "CCC"), (1, 1, "O")],
        [(1, 2, "OO")],
    ]
