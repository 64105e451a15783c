"""Where a run computes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import small_config

from molvae.core.errors import DeviceError
from molvae.core.runtime import multiplies_bfloat16
from molvae.training.hardware import Hardware, keep_freed_memory, set_up

CPU = torch.device("cpu")


@pytest.mark.parametrize(("precision", "low"), [("float32", False), ("bfloat16", True)])
def test_precision_as_asked_for(precision: str, low: bool) -> None:
    assert set_up(small_config(Path("data"), precision=precision)) == Hardware(CPU, low)


def test_automatic_precision_is_the_hardwares() -> None:
    assert set_up(small_config(Path("data"), precision="auto")).low_precision == multiplies_bfloat16(CPU)


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        set_up(small_config(Path("data"), threads=before + 1))
        assert torch.get_num_threads() == before + 1
        set_up(small_config(Path("data"), threads=None))
        assert torch.get_num_threads() == before + 1, "none leaves what there is"
    finally:
        torch.set_num_threads(before)


def test_one_process_writes() -> None:
    assert Hardware(CPU, False).is_main
    assert not Hardware(CPU, False, rank=1, world_size=2).is_main


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said() -> None:
    with pytest.raises(DeviceError, match="cuda"):
        set_up(small_config(Path("data"), device="cuda"))


def test_asking_for_memory_twice_does_no_harm() -> None:
    keep_freed_memory()
    keep_freed_memory()
