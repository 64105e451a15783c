"""Devices: those that are there, and those that are not."""

from __future__ import annotations

import os

import pytest
import torch

from molvae.core.devices import pick_device, usable_cpus
from molvae.core.errors import DeviceError


def test_usable_cpus() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


def test_cpu_is_always_there() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_a_missing_gpu_is_an_error_that_says_why(name: str) -> None:
    with pytest.raises(DeviceError, match=rf"device '{name}' asked for, but .*; device 'cpu' or 'auto' works here"):
        pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "xpu", "meta"])
def test_an_unknown_device_is_an_error(name: str) -> None:
    with pytest.raises(DeviceError, match=f"unknown device '{name}': expected auto, cpu, cuda"):
        pick_device(name)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_that_is_not_there_among_others() -> None:
    with pytest.raises(DeviceError, match="there are only"):
        pick_device("cuda:63")
