"""Training and use of a model on a device that is not the CPU: nothing is mixed, and the numbers are the same.

Seen on a device that pretends to be one; what only a GPU can show (cuDNN, TF32, page-locked memory, NCCL) is not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from device_cases import CASES, results
from small_model import prepare_with_sizes

from molvae.core.files import read_json

HERE = Path(__file__).parent


def on_the_device(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A process of its own, as `pretend` wants it."""
    path = os.pathsep.join([str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 molecules to train on and 21 to validate, each with its number of heavy atoms."""
    return prepare_with_sizes(tmp_path_factory.mktemp("prepared"), 85)


def test_the_device_gives_what_the_cpu_gives(prepared: Path, tmp_path: Path) -> None:
    expected = {case: results(case, prepared, tmp_path, "cpu") for case in CASES}
    done = on_the_device(HERE / "device_cases.py", prepared, tmp_path)
    assert done.returncode == 0, done.stderr
    found = read_json(tmp_path / "found.json")
    assert found.keys() == expected.keys()
    for case in CASES:
        assert_close(found[case], expected[case], case)


def assert_close(found: Any, expected: Any, what: str) -> None:
    """Equal, and numbers up to rounding, in lists and dictionaries too."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), what
        for name, value in expected.items():
            assert_close(found[name], value, f"{what}: {name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), what
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, what)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5), what
    else:
        assert found == expected, what


def test_the_device_is_not_mixed_with_the_cpu() -> None:
    code = """
import torch
from pretend_device import pretend
there = torch.ones(3, device=pretend())
assert (there + 1).cpu().tolist() == [2, 2, 2]
for mixed in (lambda: torch.ones(3) + there, lambda: there[torch.tensor([0, 2])], there.numpy):
    try:
        mixed()
    except (RuntimeError, TypeError) as error:
        print(error)
"""
    done = on_the_device("-c", code)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "aten::add: tensors of pretend:0 and of the CPU",
        "aten::index: tensors of pretend:0 and of the CPU",
        "a tensor of a device is no array; bring it to the CPU first",
    ]
