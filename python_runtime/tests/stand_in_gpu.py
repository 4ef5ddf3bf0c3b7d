"""A stand-in for a GPU on a machine without one: it finds operations for which a GPU would wait.

A tensor of the device `standin` holds its values in a CPU tensor. Each operation runs on the CPU. As on a GPU, an
operation on tensors of both devices is refused, and so is a copy that PyTorch makes below its dispatcher (an index that
is a list of numbers, a tensor of a list). `Waits` lists operations for which a GPU finishes all its kernels: values
read into host memory, and copies in either direction that are not asynchronous.

Import it only in a process of its own: the device is registered for the whole process.
"""

import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

PRODUCT = Path(__file__).resolve().parents[1] / "freetumor_runtime"
# results whose sizes depend on values
WAITING = (
    "_local_scalar_dense", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive",
    "equal", "bincount", "histc", "repeat_interleave", "multinomial",
)  # fmt: skip
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")


class _Backend(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


_setup_privateuseone_for_python_backend("standin", backend_module=_Backend())
DEVICE = torch.device("standin", 0)


class OnDevice(Tensor):
    """A tensor of the device; `values` is the CPU tensor."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> "OnDevice":
        facts: dict[str, Any] = {"dtype": values.dtype, "layout": values.layout, "device": DEVICE}
        places = {"strides": values.stride(), "storage_offset": values.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, values.size(), **places, **facts)
        made.values = values
        return made

    def tolist(self) -> list:
        # torch refuses it for subclasses
        return self.to("cpu").tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert a device tensor to numpy: use Tensor.cpu() first")

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class Waits(TorchDispatchMode):
    """Run a block with the device; `found` counts waits by function of the product and operation while `watching`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.watching = True

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        what = _wait(func, args, kwargs) if self.watching else None
        if what is not None:
            self.found[f"{_function_of_product()}: {what}"] += 1
        return _run(func, args, kwargs)


def _run(func, args: Any, kwargs: Any) -> Any:
    """Run an operation on the CPU tensors; results of device tensors are device tensors."""
    device = kwargs.get("device")
    wrapped: dict[int, OnDevice] = {}

    def inside(value: Any) -> Any:
        if isinstance(value, OnDevice):
            wrapped[id(value.values)] = value
            return value.values
        return torch.device("cpu") if _is_device(value) else value

    values, names = _each(inside, args), {name: _each(inside, value) for name, value in kwargs.items()}
    operands = [one for one in (*args, *kwargs.values()) if isinstance(one, Tensor)]
    # as on a GPU, only single numbers may come from the host
    foreign = [one for one in operands if not isinstance(one, OnDevice) and one.dim() > 0]
    if wrapped and foreign and _name(func) not in ("copy_", "_to_copy"):
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    result = func(*values, **names)
    on_device = _is_device(device) or (bool(wrapped) and device is None)
    if _name(func) == "copy_":
        return args[0]

    def outside(value: Any) -> Any:
        if not on_device or not isinstance(value, Tensor) or isinstance(value, OnDevice):
            return value
        # an operation in place returns its argument
        return wrapped[id(value)] if id(value) in wrapped else OnDevice(value)

    return _each(outside, result)


def _each(change: Callable[[Any], Any], value: Any) -> Any:
    """Return `change` of a value, or of each of a list. PyTorch's `tree_map` knows more containers and takes longer."""
    return type(value)(_each(change, one) for one in value) if isinstance(value, (list, tuple)) else change(value)


def _wait(func, args: Any, kwargs: Any) -> str | None:
    """Return why a GPU would wait for the operation; None if it would not."""
    name = _name(func)
    first = args[0] if args else None
    if name in WAITING and isinstance(first, OnDevice):
        # with a known size nothing is read
        return None if kwargs.get("output_size") is not None else name
    if name in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index") and isinstance(
        first, OnDevice
    ):
        by_mask = any(isinstance(one, Tensor) and one.dtype in (torch.bool, torch.uint8) for one in args[1])
        return f"{name} by a mask" if by_mask else None
    if name == "_to_copy" and kwargs.get("device") is not None:
        return _copy(_is_device(kwargs["device"]), isinstance(first, OnDevice), kwargs.get("non_blocking", False))
    if name == "copy_":
        non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        return _copy(isinstance(first, OnDevice), isinstance(args[1], OnDevice), non_blocking)
    return None


def _copy(to_device: bool, from_device: bool, non_blocking: bool) -> str | None:
    if to_device == from_device or (to_device and non_blocking):
        return None
    return "copy to device" if to_device else "copy to host"


def _is_device(value: Any) -> bool:
    return isinstance(value, torch.device) and value.type == DEVICE.type


def _name(func) -> str:
    return func.overloadpacket.__name__


def _function_of_product() -> str:
    """Return `module.function` of the innermost caller in the product."""
    frames = [frame for frame in traceback.extract_stack() if frame.filename.startswith(str(PRODUCT))]
    if not frames:
        return "test"
    return f"{Path(frames[-1].filename).stem}.{frames[-1].name}"
