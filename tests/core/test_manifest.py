"""Manifests, fingerprints and versions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from molvae.core import manifest as recorded
from molvae.core.errors import ConfigError, DataError
from molvae.core.files import sha256_file
from molvae.core.manifest import check_kind, fingerprint, versions, write_manifest


def test_versions_are_those_of_the_installed_packages() -> None:
    found = versions()
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["selfies"] >= "2.2"  # its own __version__ says 2.1.1
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


def test_a_missing_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"


def test_manifest_records_what_ran(tmp_path: Path) -> None:
    data = tmp_path / "in.csv"
    data.write_text("smiles\nCCO\n")
    device = torch.device("cpu")
    path = write_manifest(tmp_path, kind="embed", inputs={"molecules": data}, seed=3, device=device, seconds=1.25, n=7)
    manifest = json.loads(path.read_text())
    assert manifest["inputs"]["molecules"] == {"path": str(data), "sha256": sha256_file(data)}
    assert (manifest["kind"], manifest["seed"], manifest["device"], manifest["n"]) == ("embed", 3, "cpu", 7)
    assert manifest["versions"] == versions()


def test_manifest_of_an_absent_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or directory"):
        write_manifest(tmp_path, kind="x", inputs={"a": tmp_path / "absent"}, seed=None, device="cpu", seconds=0)


def test_fingerprint_of_directories(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_text("one")
    before = fingerprint(tmp_path)
    (tmp_path / "a" / "b.txt").write_text("two")
    assert fingerprint(tmp_path) != before
    (tmp_path / "model.json").write_text("{}")
    assert fingerprint(tmp_path) == sha256_file(tmp_path / "model.json")


@pytest.mark.parametrize("mark", ["manifest.json", "resume/state.pt"])
def test_a_directory_of_another_kind_is_refused(tmp_path: Path, mark: str) -> None:
    check_kind(tmp_path, "optimise")
    (tmp_path / mark).parent.mkdir(exist_ok=True)
    (tmp_path / mark).write_text('{"kind": "train"}')
    check_kind(tmp_path, "train")
    for kind, held in (("optimise", "a search"), ("prepare", "prepared data")):
        with pytest.raises(ConfigError, match=f"holds a training run, not {held}; choose another directory"):
            check_kind(tmp_path, kind)
