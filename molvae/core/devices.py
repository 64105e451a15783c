"""What computes: CPUs and GPUs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from molvae.core.errors import DeviceError

if TYPE_CHECKING:
    import torch


def usable_cpus() -> int:
    """Number of CPUs that this process may use (not how many the machine has)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def known_device(name: str) -> str:
    """The name of a device, checked without loading torch; whether it is there turns out where it is used.

    Raises:
        ValueError: there are no devices of that name.
    """
    if not re.fullmatch(r"auto|(cpu|cuda|mps)(:\d+)?", name):
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N")
    return name


def pick_device(name: str = "auto") -> torch.device:
    """The device to compute on.

    Args:
        name: "auto" (CUDA where it works, else the CPU), or a torch name such as "cpu", "cuda", "cuda:1".

    Raises:
        DeviceError: the device asked for is not there; the message says why.
    """
    import torch

    try:
        known_device(name)  # torch knows more names, such as xpu and meta
    except ValueError as error:
        raise DeviceError(str(error)) from None
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise DeviceError(f"device {name!r} asked for, but {why_no_cuda()}; device 'cpu' or 'auto' works here")
        if device.index is not None and device.index >= torch.cuda.device_count():
            raise DeviceError(f"device {name!r} asked for, but there are only {torch.cuda.device_count()} CUDA devices")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("device 'mps' asked for, but this machine has none; use 'cpu' or 'auto'")
    return device


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has matrix instructions for bfloat16, so that it pays."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    checks = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return device.type == "cpu" and any(check is not None and check() for check in checks)


def why_no_cuda() -> str:
    """Why CUDA cannot be used, in words."""
    import torch

    if torch.version.cuda is None:
        return f"the installed torch {torch.__version__} is a build without CUDA (see https://pytorch.org/get-started)"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return f"torch {torch.__version__} (CUDA {torch.version.cuda}) says: {str(error).splitlines()[0]}"
    return "no CUDA device is visible (see nvidia-smi and CUDA_VISIBLE_DEVICES)"
