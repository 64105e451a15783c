"""Named data sets: where they are, what they should be, and `fetch`, which turns each into one `NAME.csv.gz`.

Nothing of these sets comes with molvae. Whatever the publisher's layout, the result has the columns `smiles` and
`split`, so `molvae prepare NAME.csv.gz` works on it. Where the publisher gives no SHA-256, the table says None: such a
file is checked by what is known (MD5, number of molecules, digest of the molecules), and its SHA-256 is recorded on the
first download and compared on later ones.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import logging
import shutil
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from molvae.core.config import did_you_mean
from molvae.core.errors import ConfigError, DataError, DownloadError
from molvae.core.files import atomic_path, read_json, sha256_file, write_json
from molvae.core.tables import read_rows
from molvae.data.download import download

log = logging.getLogger("molvae")

Rows = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class SourceFile:
    """One file of a publisher; `sha256` and `md5` are None where none is published."""

    name: str
    url: str
    sha256: str | None = None
    md5: str | None = None

    @property
    def checksums(self) -> dict[str, str]:
        """The digests that are known."""
        return {name: value for name in ("sha256", "md5") if (value := getattr(self, name))}


@dataclass(frozen=True)
class Dataset:
    """A named set.

    Attributes:
        name: what to call it.
        description: one line.
        licence: of the data, as known to us; check it before you redistribute.
        source: where it is described.
        files: what is downloaded.
        splits: molecules by split, as published.
        rows: (SMILES, split) pairs from the folder of downloaded files.
        molecules_sha256: SHA-256 of the sorted lines "SMILES,split\\n", where known.
        columns: of the result.
    """

    name: str
    description: str
    licence: str
    source: str
    files: tuple[SourceFile, ...]
    splits: dict[str, int]
    rows: Callable[[Path], Rows] = field(repr=False)
    molecules_sha256: str | None = None
    columns: tuple[str, ...] = ("smiles", "split")


def listing() -> list[Dataset]:
    """All named sets."""
    return list(DATASETS.values())


def fetch(name: str | Dataset, out: str | Path, mirror: str | None = None) -> Path:
    """Download a set; a broken transfer is resumed, by itself or by the next call.

    Args:
        name: "zinc250k", "moses" or "guacamol".
        out: the folder for `NAME.csv.gz` and `NAME.json` (where it came from, checksums, licence).
        mirror: address of a folder that holds the publisher's files under the same names, used instead of theirs.

    Returns:
        The path of `NAME.csv.gz`.

    Raises:
        ConfigError: there is no set of that name.
        DownloadError: a file is not to be had, is not what it should be, or cannot be written.
    """
    dataset = name if isinstance(name, Dataset) else _named(name)
    path, notes_path = Path(out) / f"{dataset.name}.csv.gz", Path(out) / f"{dataset.name}.json"
    notes = _read_notes(notes_path)
    if path.exists() and notes.get("sha256") == sha256_file(path):
        log.info("%s is already there", path)
        return path
    folder = Path(out) / f".{dataset.name}"
    recorded = notes.get("files", {})
    digests = {}
    for file in dataset.files:
        url = file.url if mirror is None else f"{mirror.rstrip('/')}/{file.name}"
        digests[file.name] = _fetch_file(file, url, folder, recorded.get(file.name))
    try:
        _write_csv(dataset, folder, path)
    except (ValueError, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        shutil.rmtree(folder)  # or the next call would take them for good
        raise DownloadError(f"{dataset.name}: the downloaded files cannot be used ({error}); try again") from error
    except OSError as error:  # a full disk: nothing is wrong with them
        raise DownloadError(f"{path}: cannot be written ({error.strerror}); what was downloaded is kept") from error
    about = {key: value for key, value in asdict(dataset).items() if key not in ("rows", "files")}
    urls = {file.name: file.url for file in dataset.files}
    write_json(notes_path, about | {"urls": urls, "files": digests, "sha256": sha256_file(path)})
    shutil.rmtree(folder)
    return path


def _read_notes(path: Path) -> dict[str, Any]:
    """What `fetch` recorded earlier; nothing where the file is missing or damaged."""
    try:
        return dict(read_json(path))
    except (OSError, ValueError, TypeError):
        return {}


def _named(name: str) -> Dataset:
    if name not in DATASETS:
        known = ", ".join(DATASETS)
        raise ConfigError(f"unknown data set {name!r} (known: {known}){did_you_mean(name, list(DATASETS))}")
    return DATASETS[name]


def _fetch_file(file: SourceFile, url: str, folder: Path, recorded: str | None) -> str:
    """Download one file and return its SHA-256, which has to be the one recorded earlier if there is one."""
    checksums = file.checksums
    if recorded and "sha256" not in checksums:
        checksums["sha256"] = recorded
    if "sha256" not in checksums:
        log.warning("%s: its SHA-256 is not published; it is recorded on this first download", file.name)
    return sha256_file(download(url, folder / file.name, checksums))


def _write_csv(dataset: Dataset, folder: Path, path: Path) -> None:
    """Write `NAME.csv.gz` (the same bytes each time) and check what is in it."""
    counts: Counter[str] = Counter()
    with atomic_path(path) as temporary:
        with (
            open(temporary, "wb") as raw,
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as zipped,
            io.TextIOWrapper(zipped, encoding="utf-8", newline="") as text,
        ):
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(dataset.columns)
            for smiles, split in dataset.rows(folder):
                writer.writerow([smiles, split])
                counts[split] += 1
        if counts != dataset.splits:
            raise DataError(f"expected molecules {dataset.splits}, found {dict(counts)}")
        if dataset.molecules_sha256 and _molecules_digest(temporary) != dataset.molecules_sha256:
            raise DataError("these are not the molecules, or not the splits, that they should be")


def _molecules_digest(path: Path) -> str:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as handle:
        next(handle)
        return hashlib.sha256("".join(sorted(handle)).encode()).hexdigest()


# --- the publishers' layouts ----------------------------------------------------------------------------------------


def _zinc250k_rows(folder: Path) -> Rows:
    """All molecules from the tar; JT-VAE's lists say which are valid and test, the rest is train."""
    lists = {split: set(_lines((folder / f"{split}.txt").open("rb"))) for split in ("valid", "test")}
    with tarfile.open(folder / "zinc.txt.gz", "r:gz") as archive:
        for member in archive:
            hidden = Path(member.name).name.startswith(".")  # what macOS packs beside each file
            handle = archive.extractfile(member) if member.isfile() and not hidden else None
            for smiles in _lines(handle) if handle else ():
                yield smiles, next((split for split, molecules in lists.items() if smiles in molecules), "train")


def _lines(handle: IO[bytes]) -> Iterator[str]:
    with handle:
        for line in handle:
            if fields := line.split():
                yield fields[0].decode()


def _moses_rows(folder: Path) -> Rows:
    for row in read_rows(folder / "dataset_v1.csv", ["SMILES", "SPLIT"]):
        yield row.cells[0], row.cells[1]


def _guacamol_rows(folder: Path) -> Rows:
    for split in ("train", "valid", "test"):
        for row in read_rows(folder / f"guacamol_v1_{split}.smiles", ["smiles"]):
            yield row.cells[0], split


_MOL_OPT = "https://raw.githubusercontent.com/wenhao-gao/mol_opt/2da631be85af8d10a2bb43f2de76a03171166190/data/"
_JTVAE = "https://raw.githubusercontent.com/wengong-jin/icml18-jtnn/d4c425a8a28fce7d0e8f5da741d27d3fce4a7ec0/data/zinc/"
_MOSES = "https://media.githubusercontent.com/media/molecularsets/moses/master/data/"
_FIGSHARE = "https://ndownloader.figshare.com/files/"

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="zinc250k",
            description="250k drug-like molecules of ZINC (Gomez-Bombarelli et al. 2018), split as JT-VAE does",
            licence="ZINC: free to use, not to be redistributed in large parts; both repositories MIT",
            source="https://github.com/wenhao-gao/mol_opt, https://github.com/wengong-jin/icml18-jtnn",
            files=(
                # Not data/zinc.csv.gz of the same repository: every SMILES there has lost its last character.
                SourceFile("zinc.txt.gz", _MOL_OPT + "zinc.txt.gz"),
                SourceFile("valid.txt", _JTVAE + "valid.txt"),
                SourceFile("test.txt", _JTVAE + "test.txt"),
            ),
            splits={"train": 220_010, "valid": 24_445, "test": 5_000},
            rows=_zinc250k_rows,
            molecules_sha256="c4948771822ccf5be849586b325baeba621db6d194a49d558e056c7bb61dff36",
        ),
        Dataset(
            name="moses",
            description="MOSES (Polykovskiy et al. 2020), 1.9 M lead-like molecules of ZINC; no valid split",
            licence="MIT",
            source="https://github.com/molecularsets/moses",
            files=(  # the SHA-256 is that of the repository's Git LFS pointer
                SourceFile(
                    "dataset_v1.csv",
                    _MOSES + "dataset_v1.csv",
                    sha256="bb47a94d347afd476d3828b5e26dceeabc42a2d8cf92a791d00349f22fea0d8b",
                ),
            ),
            splits={"train": 1_584_663, "test": 176_074, "test_scaffolds": 176_225},
            rows=_moses_rows,
        ),
        Dataset(
            name="guacamol",
            description="GuacaMol v1 (Brown et al. 2019), 1.6 M molecules of ChEMBL 24",
            licence="ChEMBL: CC BY-SA 3.0",
            source="https://github.com/BenevolentAI/guacamol, https://figshare.com/projects/GuacaMol/56639",
            files=(  # MD5 as in the project's README; no SHA-256 is published
                SourceFile("guacamol_v1_train.smiles", _FIGSHARE + "13612760", md5="05ad85d871958a05c02ab51a4fde8530"),
                SourceFile("guacamol_v1_valid.smiles", _FIGSHARE + "13612766", md5="e53db4bff7dc4784123ae6df72e3b1f0"),
                SourceFile("guacamol_v1_test.smiles", _FIGSHARE + "13612757", md5="677b757ccec4809febd83850b43e1616"),
            ),
            splits={"train": 1_273_104, "valid": 79_568, "test": 238_706},
            rows=_guacamol_rows,
        ),
    )
}
