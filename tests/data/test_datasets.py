"""Named sets: each publisher's layout, served on loopback, becomes one CSV of smiles and split."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from molvae.core.errors import ConfigError, DownloadError
from molvae.core.files import read_json
from molvae.data.datasets import DATASETS, Dataset, SourceFile, fetch, listing
from tests.data.fileserver import FileServer, serving


def tar_gz(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


FILES = {
    "zinc.txt.gz": tar_gz({"./._zinc.txt": b"\0\xff Mac", "./zinc.txt": b"CCO\nCCN\nCCC\nCCF\n"}),
    "valid.txt": b"CCN\n",
    "test.txt": b"CCF\n",
    "dataset_v1.csv": b"SMILES,SPLIT\nCCO,train\nCCN,test\nCCF,test_scaffolds\n",
    "guacamol_v1_train.smiles": b"CCO\nCCC\n",
    "guacamol_v1_valid.smiles": b"CCN\n",
    "guacamol_v1_test.smiles": b"CCF\n",
}
EXPECTED = {
    "zinc250k": [("CCO", "train"), ("CCN", "valid"), ("CCC", "train"), ("CCF", "test")],
    "moses": [("CCO", "train"), ("CCN", "test"), ("CCF", "test_scaffolds")],
    "guacamol": [("CCO", "train"), ("CCC", "train"), ("CCN", "valid"), ("CCF", "test")],
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(FileServer(dict(FILES))) as running:
        yield running


def tiny(name: str) -> Dataset:
    """A named set with the counts of the tiny files, and their checksums unknown."""
    splits = [split for _, split in EXPECTED[name]]
    files = tuple(SourceFile(file.name, file.url) for file in DATASETS[name].files)
    counts = {split: splits.count(split) for split in splits}
    return replace(DATASETS[name], files=files, splits=counts, molecules_sha256=None)


def rows(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path, "rt", newline="") as handle:
        return [(row["smiles"], row["split"]) for row in csv.DictReader(handle)]


@pytest.mark.parametrize("name", list(EXPECTED))
def test_every_layout_becomes_smiles_and_split(server: FileServer, tmp_path: Path, name: str) -> None:
    path = fetch(tiny(name), tmp_path, mirror=server.address)
    assert rows(path) == EXPECTED[name]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{name}.csv.gz", f"{name}.json"]
    notes = read_json(tmp_path / f"{name}.json")
    assert notes["licence"] == DATASETS[name].licence
    assert set(notes["files"]) == set(notes["urls"]) == {file.name for file in DATASETS[name].files}


def test_set_that_is_there_is_not_fetched_again(server: FileServer, tmp_path: Path) -> None:
    first = fetch(tiny("moses"), tmp_path, mirror=server.address)
    content = first.read_bytes()
    assert fetch(tiny("moses"), tmp_path, mirror=server.address).read_bytes() == content
    assert len(server.requests) == 1


def test_damaged_set_is_made_again_byte_for_byte(server: FileServer, tmp_path: Path) -> None:
    path = fetch(tiny("moses"), tmp_path, mirror=server.address)
    content = path.read_bytes()
    path.write_bytes(content[:-3])
    assert fetch(tiny("moses"), tmp_path, mirror=server.address).read_bytes() == content


def test_checksum_recorded_on_the_first_download_holds_later(
    server: FileServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = fetch(tiny("moses"), tmp_path, mirror=server.address)
    assert "its SHA-256 is not published; it is recorded" in caplog.text
    path.unlink()
    server.files["dataset_v1.csv"] = server.files["dataset_v1.csv"].replace(b"CCO", b"CCS")
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch(tiny("moses"), tmp_path, mirror=server.address)


def test_published_checksum_holds(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"expected sha256 {DATASETS['moses'].files[0].sha256}"):
        fetch("moses", tmp_path, mirror=server.address)
    assert not (tmp_path / "moses.csv.gz").exists()


def test_number_of_molecules_is_checked(server: FileServer, tmp_path: Path) -> None:
    server.files["dataset_v1.csv"] += b"CCCC,train\n"
    with pytest.raises(DownloadError, match="moses: the downloaded files cannot be used .expected molecules"):
        fetch(tiny("moses"), tmp_path, mirror=server.address)
    assert not (tmp_path / "moses.csv.gz").exists()


def test_molecules_themselves_are_checked(server: FileServer, tmp_path: Path) -> None:
    dataset = replace(tiny("zinc250k"), molecules_sha256="0" * 64)
    with pytest.raises(DownloadError, match="not the molecules"):
        fetch(dataset, tmp_path, mirror=server.address)


def test_damaged_archive_is_named(server: FileServer, tmp_path: Path) -> None:
    whole = server.files["zinc.txt.gz"]
    server.files["zinc.txt.gz"] = whole[:60]
    with pytest.raises(DownloadError, match="zinc250k: the downloaded files cannot be used"):
        fetch(tiny("zinc250k"), tmp_path, mirror=server.address)
    server.files["zinc.txt.gz"] = whole
    assert rows(fetch(tiny("zinc250k"), tmp_path, mirror=server.address)) == EXPECTED["zinc250k"]


def test_a_full_disk_costs_no_download(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(gzip.GzipFile):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("molvae.data.datasets.gzip.GzipFile", Full)
        with pytest.raises(DownloadError, match="moses.csv.gz: cannot be written .No space left"):
            fetch(tiny("moses"), tmp_path, mirror=server.address)
    asked = len(server.requests)
    assert rows(fetch(tiny("moses"), tmp_path, mirror=server.address)) == EXPECTED["moses"]
    assert len(server.requests) == asked


def test_damaged_record_does_not_matter(server: FileServer, tmp_path: Path) -> None:
    path = fetch(tiny("moses"), tmp_path, mirror=server.address)
    (tmp_path / "moses.json").write_text("{")
    assert rows(fetch(tiny("moses"), tmp_path, mirror=server.address)) == EXPECTED["moses"]
    assert read_json(tmp_path / "moses.json")["name"] == "moses"
    assert path.exists()


def test_set_interrupted_between_files_goes_on(server: FileServer, tmp_path: Path) -> None:
    del server.files["guacamol_v1_test.smiles"]
    with pytest.raises(DownloadError, match="404"):
        fetch(tiny("guacamol"), tmp_path, mirror=server.address)
    server.files["guacamol_v1_test.smiles"] = FILES["guacamol_v1_test.smiles"]
    asked = len(server.requests)
    assert rows(fetch(tiny("guacamol"), tmp_path, mirror=server.address)) == EXPECTED["guacamol"]
    assert [path for path, _ in server.requests[asked:]] == ["/guacamol_v1_test.smiles"]


def test_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"unknown data set 'zinc250' .known: zinc250k, moses, guacamol.*mean 'zinc250k'"
    ):
        fetch("zinc250", tmp_path)


@pytest.mark.parametrize("dataset", listing(), ids=lambda d: d.name)
def test_table_is_complete(dataset: Dataset) -> None:
    assert dataset.licence
    assert dataset.columns == ("smiles", "split")
    assert all(file.url.startswith("https://") for file in dataset.files)
    assert dataset.molecules_sha256 or all(file.checksums for file in dataset.files), "nothing to check it by"


@pytest.mark.integration
def test_digest_of_zinc250k_is_that_of_the_real_set(shared: Path) -> None:
    import hashlib

    with gzip.open(shared / "data" / "zinc250k.csv.gz", "rt", newline="") as handle:
        pairs = [(row["smiles"], row["split"]) for row in csv.DictReader(handle)]
    digest = hashlib.sha256("".join(sorted(f"{s},{split}\n" for s, split in pairs)).encode()).hexdigest()
    assert digest == DATASETS["zinc250k"].molecules_sha256
    found = [split for _, split in pairs]
    assert {split: found.count(split) for split in set(found)} == DATASETS["zinc250k"].splits
