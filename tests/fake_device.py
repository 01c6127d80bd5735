"""A GPU that is not there: tensors on the CPU that say they are on ``cuda`` or ``mps`` and are held to it.

A tensor carries the device that it would be on. An operation on tensors of two devices, float64 on ``mps`` and a NumPy
view of a tensor that is not on the CPU are errors, as they are there; what makes the CPU wait for a GPU is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from topwork.compute import devices
from topwork.features import extract
from topwork.inference import predict
from topwork.inference.export import exporter

WAITING = {"item", "tolist", "cpu", "__float__", "__int__", "__bool__"}
MOVING = {"to", "cpu", "cuda", "copy_", "backward", "load_state_dict", "set_", "_has_compatible_shallow_copy_type"}


class FakeDevice(TorchFunctionMode):
    """Makes a device of one kind while it is entered.

    Args:
        kind: ``"cuda"`` or ``"mps"``.

    Attributes:
        waits: How often the CPU waited for a result or for the device.
        operations: How many operations ran on the device.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.device = kind, torch.device(kind, 0)
        self.waits = self.operations = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        if name == "__get__":
            return self._attribute(owner, func, args, kwargs)
        if name == "__set__":
            func(*args, **kwargs)
            if owner in ("data", "grad") and isinstance(args[1], torch.Tensor):
                _mark(args[0], _place(args[1]) if owner == "data" else _place(args[0]))
            return None
        if func is torch.device or name in ("device", "_parse_to", "_set_grad_enabled", "__repr__", "get_device"):
            return func(*args, **kwargs)
        if name == "__deepcopy__":  # its memory has tensors of everywhere
            copied = func(*args, **kwargs)
            _mark(copied, _place(args[0]))
            return copied
        requested, args, kwargs = self._requested(name, args, kwargs)
        tensors = [t for t in pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        places = {_place(t) for t in tensors if t.dim() or _place(t)}
        if name == "numpy" and places - {None}:
            raise TypeError(f"can't convert {self.kind} device type tensor to numpy")
        if name in MOVING:
            places = set()
        if len(places) > 1:
            raise RuntimeError(f"Expected all tensors to be on the same device, but found cpu and {self.kind} ({name})")
        own = next((_place(t) for t in tensors if _place(t)), None)
        if name in WAITING and own:
            self.waits += 1
        made = func(*args, **kwargs)
        where = requested if requested is not _SAME else own
        where = None if name == "cpu" else where
        self.operations += where is not None
        for tensor in pytree.tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._check(tensor, where, name)
                if where is None and _place(tensor) and tensor in _identical(tensors, tensor):
                    tensor = made = tensor.view_as(tensor) if tensor.dim() else tensor.clone()
                _mark(tensor, where)
        return made

    def _attribute(self, owner: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = _place(args[0])
        if owner == "device":
            return self.device if place else func(*args, **kwargs)
        if owner in ("is_cuda", "is_mps") and place:
            return owner == f"is_{self.kind}"
        found = func(*args, **kwargs)
        if isinstance(found, torch.Tensor):
            _mark(found, place)
        return found

    def _requested(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The device that a call names, and the call on the CPU."""
        place: Any = _SAME

        def plain(value: Any) -> Any:
            nonlocal place
            text = str(value) if isinstance(value, str | torch.device) else ""
            if text.split(":")[0] in ("cuda", "mps"):
                if text.split(":")[0] != self.kind:
                    raise RuntimeError(f"there is no device {text}")
                place = self.kind
                return torch.device("cpu")
            if text == "cpu" and (name == "to" or "device" in kwargs):
                place = None
            return value

        args = tuple(plain(value) for value in args)
        kwargs = {key: plain(value) if key == "device" else value for key, value in kwargs.items()}
        if name == "to" and place is _SAME and len(args) > 1 and isinstance(args[1], torch.Tensor):
            place = _place(args[1])
        if name == "cuda":
            place = self.kind
        kwargs.pop("non_blocking", None) if name == "to" and place is None else None
        return place, args, kwargs

    def _check(self, tensor: torch.Tensor, where: Any, name: str) -> None:
        if where == "mps" and tensor.dtype == torch.float64:
            raise TypeError(
                f"Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support it ({name})"
            )


_SAME = object()


def _identical(tensors: list[torch.Tensor], one: torch.Tensor) -> Any:
    return _Identity([t for t in tensors if t is one])


class _Identity(list[torch.Tensor]):
    def __contains__(self, item: object) -> bool:
        return any(one is item for one in self)


def _place(tensor: torch.Tensor) -> str | None:
    return tensor.__dict__.get("_fake_place")


def _mark(tensor: torch.Tensor, where: Any) -> None:
    tensor.__dict__["_fake_place"] = None if where is _SAME else where


@contextlib.contextmanager
def fake_device(kind: str) -> Iterator[FakeDevice]:
    """A ``FakeDevice`` that topwork takes for the machine's GPU; all in one thread, in float32."""
    fake = FakeDevice(kind)

    def at_once(work: Callable[[Any], Any], items: Any, threads: int) -> Iterator[tuple[Any, Any]]:
        for item in items:
            yield item, work(item)

    def wait(*_: object) -> None:
        fake.waits += 1

    def subclass(cls: Any, data: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        """A parameter is where its data are."""
        made = make_subclass(cls, data, *rest, **named)
        _mark(made, _place(data))
        return made

    def export(target: Any, module: torch.nn.Module, *rest: Any) -> Any:
        """The compiler of torch cannot work in this mode; what it is given must be on the CPU."""
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if _place(tensor):
                raise RuntimeError(f"Expected all tensors to be on the same device, but found cpu and {kind} ({name})")
        with contextlib.ExitStack() as real:
            for owner, name, value in of_torch:
                real.enter_context(mock.patch.object(owner, name, value))
            with torch._C.DisableTorchFunction():
                return export_float32(target, module, *rest)

    export_float32, make_subclass = exporter._export_float32, torch.Tensor._make_subclass
    of_torch: list[tuple[Any, str, Any]] = [
        (torch.cuda, "synchronize", torch.cuda.synchronize), (torch.mps, "synchronize", torch.mps.synchronize),
        (torch.cuda, "set_device", torch.cuda.set_device),
        (torch.Tensor, "_make_subclass", staticmethod(make_subclass)),
    ]  # fmt: skip
    deterministic = torch.are_deterministic_algorithms_enabled()
    with contextlib.ExitStack() as stack:
        for target, name, value in (
            (devices, "_best_precision", lambda device: "float32"),
            (devices, "_name", lambda device: f"fake {device}"),
            (devices, "total_memory", lambda compute: None),
            (devices, "reset_peak_memory", lambda compute: None),
            (devices, "peak_memory", lambda compute: {}),
            (torch.cuda, "synchronize", wait),
            (torch.mps, "synchronize", wait),
            (torch.cuda, "set_device", lambda device: None),
            (torch.Tensor, "_make_subclass", staticmethod(subclass)),
            (extract, "prefetch", at_once),
            (predict, "prefetch", at_once),
            (exporter, "_export_float32", export),
        ):
            stack.enter_context(mock.patch.object(target, name, value))
        stack.enter_context(fake)
        yield fake
    torch.use_deterministic_algorithms(deterministic)
