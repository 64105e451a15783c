"""Where a run computes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from small_runs import small_config

from molvae.core.devices import multiplies_bfloat16
from molvae.core.errors import DeviceError
from molvae.training.hardware import Hardware, keep_freed_memory, rank, set_up

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


@pytest.mark.parametrize(
    ("device", "torchrun", "index"),
    [
        ("auto", {}, 0),
        ("cuda", {}, 0),
        ("cuda:1", {}, 1),
        ("cuda", {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8"}, 1),
    ],
)
def test_a_gpu_is_chosen_by_its_index(
    device: str, torchrun: dict[str, str], index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend: None)
    for name, value in {**torchrun, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}.items():
        monkeypatch.setenv(name, value)
    hardware = set_up(small_config(Path("data"), device=device))
    assert [hardware.device] == chosen == [torch.device("cuda", index)]
    assert hardware.rank == rank() == int(torchrun.get("RANK", 0))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_set_up() -> None:
    assert set_up(small_config(Path("data"), device="auto")).device == torch.device("cuda", 0)


def test_freed_memory_is_asked_for_where_there_is_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        asked: ClassVar[list[tuple[int, int]]] = []

        def mallopt(self, parameter: int, value: int) -> None:
            self.asked.append((parameter, value))

    monkeypatch.setattr("ctypes.CDLL", lambda name: Library())
    keep_freed_memory()
    assert Library.asked == [(-4, 0), (-1, 2**31 - 1)], "M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h"
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    keep_freed_memory()  # another C library has no mallopt
    assert len(Library.asked) == 2
