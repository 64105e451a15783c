"""A device that computes on the CPU and refuses to be mixed with it.

On a machine without a GPU it shows whether everything is brought to the device where a model lies: an operation on a
tensor of the device and one of the CPU is an error, as it is with CUDA, and so is making an array of the former.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

ANY_DEVICE = {"aten::copy_", "aten::_to_copy", "aten::_local_scalar_dense"}  # from one to the other, or to a number
Generator = torch.Generator


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


class OnDevice(Tensor):
    """A tensor of the device: what it holds lies on the CPU."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        made: OnDevice = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=torch.device("pretend", 0),
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(operation, args, kwargs or {})

    def tolist(self) -> list[Any]:
        return self.held.tolist()

    def numpy(self) -> Any:
        raise TypeError("a tensor of a device is no array; bring it to the CPU first")


class _EveryOperation(TorchDispatchMode):
    """Sees also what makes a tensor out of nothing."""

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(operation, args, kwargs or {})


def computed(operation: Any, args: Any, kwargs: Any) -> Any:
    """What an operation gives: a tensor of the device, if it is asked to make one or gets one.

    Raises:
        RuntimeError: it gets tensors of both devices; a single number may come from the CPU.
    """
    given, shape = tree_flatten((args, kwargs))
    name, mine = operation._schema.name, [each for each in given if isinstance(each, OnDevice)]
    others = [each for each in given if isinstance(each, Tensor) and not isinstance(each, OnDevice) and each.dim() > 0]
    if mine and others and name not in ANY_DEVICE:
        raise RuntimeError(f"{name}: tensors of {mine[0].device} and of the CPU")
    asked = [each for each in given if isinstance(each, torch.device)]
    here = asked[-1].type == "pretend" if asked else bool(mine)
    args, kwargs = tree_unflatten([_on_the_cpu(each) for each in given], shape)
    found = operation(*args, **kwargs)
    if name == "aten::copy_":  # which gives the tensor that it has written to
        return given[0]
    known = {id(each.held): each for each in mine}  # an operation in place gives a tensor that it got
    return tree_map(lambda each: known.get(id(each), _placed(each)) if here else each, found)


def _placed(each: Any) -> Any:
    return OnDevice(each) if isinstance(each, Tensor) else each


def _on_the_cpu(each: Any) -> Any:
    if isinstance(each, OnDevice):
        return each.held
    return torch.device("cpu") if isinstance(each, torch.device) else each


class _OnTheCPU(Generator):
    """`torch.Generator`, but one of the CPU for any device: beneath, it is there that numbers are drawn."""

    def __new__(cls, device: Any = "cpu") -> _OnTheCPU:
        return Generator("cpu")  # type: ignore[return-value]


def pretend() -> torch.device:
    """The device, which molvae finds under the name "cuda" from here on, as long as this process lives.

    In a process of its own, then: autograd starts its threads, one for each device, once, and torch is changed.
    """
    _setup_privateuseone_for_python_backend("pretend", _Backend())
    import_module("torch.distributed.tensor")  # which the optimisers import, and which wants the true `Generator`
    torch.Generator = _OnTheCPU  # type: ignore[misc]
    torch.inference_mode = torch.no_grad  # type: ignore[misc,assignment]  # which knows no tensors made in Python
    device = torch.device("pretend", 0)
    for name in ("molvae.generation", "molvae.training.hardware"):
        import_module(name).pick_device = lambda name: device  # type: ignore[attr-defined]
    _EveryOperation().__enter__()
    return device
