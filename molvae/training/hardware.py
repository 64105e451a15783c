"""Device, precision, threads and processes of a training run."""

from __future__ import annotations

import ctypes
import importlib
import os
from dataclasses import dataclass

import torch
from torch import distributed

from molvae.core.devices import multiplies_bfloat16, pick_device
from molvae.training.config import TrainConfig


@dataclass(frozen=True)
class Hardware:
    """Where a run computes. `low_precision`: matrix products in bfloat16, those of cuDNN's recurrences in TF32."""

    device: torch.device
    low_precision: bool
    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and logs."""
        return self.rank == 0


def set_up(config: TrainConfig) -> Hardware:
    """Threads, device, precision, and the process group when started by torchrun.

    Raises:
        DeviceError: the configured device is not there.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    device = pick_device(config.device)
    if device.type == "cuda":
        index = int(os.environ["LOCAL_RANK"]) if world_size > 1 else device.index or 0
        device = torch.device("cuda", index)  # `set_device` takes none without an index
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before CUDA starts; cuDNN's GRU wants it
        torch.cuda.set_device(device)
    else:
        keep_freed_memory()
        if config.threads is not None:
            torch.set_num_threads(config.threads)
    low = config.precision == "bfloat16" or (config.precision == "auto" and multiplies_bfloat16(device))
    torch.backends.cudnn.allow_tf32 = low  # for backward passes, which run where no recurrence can say so
    if world_size > 1 and not distributed.is_initialized():
        # Its functions have the group of the moment of their import as a default. Optimisers import it: after the group
        # is there, it would live on, and so would its threads (see `leave_the_others`).
        importlib.import_module("torch.distributed.nn.functional")
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Hardware(device, low, rank(), world_size)


def rank() -> int:
    """The number of this process among those that torchrun started, 0 where it is alone."""
    return int(os.environ.get("RANK", 0))


def leave_the_others() -> None:
    """End the process group, if there is one, and with it its threads.

    One that lives on when Python ends may hold the last reference to a tensor, and aborts the process. So nothing but
    this module may refer to the group; see `set_up`.
    """
    if distributed.is_initialized():
        distributed.destroy_process_group()


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for the next step.

    By default large blocks go back to the kernel at once, and each step pays the page faults again: a third of the
    step's time for this model. Elsewhere than on glibc nothing happens.
    """
    m_trim_threshold, m_mmap_max = -1, -4  # from malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)
