"""The layers of a network and what comes out of them, by forward hooks that are always released.

A layer is a module that the forward pass calls and that gives a tensor. Three arrangements occur and all become maps
(B, C, H, W): channels first (convolutions), channels last (Swin, inside ConvNeXt blocks) and tokens (B, N, C), whose
class and register tokens are left out and whose rest is a square grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from topwork.core.errors import UsageError

REPEATERS = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten)  # they say nothing new in evaluation
Watch = Callable[[str, nn.Module, torch.Tensor, bool], None]


@dataclass(frozen=True)
class Layer:
    """A named module whose output can be looked at.

    Attributes:
        name: Dotted path in the backbone.
        kind: Class name of the module.
        shape: Of the output for one image, without the batch.
        arrangement: ``"map"`` (C, H, W), ``"map, channels last"`` (H, W, C), ``"tokens"`` (N, C), ``"vector"`` (C,), or
            ``"other"`` (windows and the like, which have no place in the image).
        calls: How often a forward pass calls it; the last call is what is looked at.
        alone: Whether the output is one tensor; of several the first is looked at.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    arrangement: str
    calls: int
    alone: bool

    @property
    def note(self) -> str:
        """What a reader should know; mostly empty."""
        notes = [f"called {self.calls} times, the last is shown"] if self.calls > 1 else []
        notes += [] if self.alone else ["gives several outputs, the first tensor is shown"]
        return "; ".join(notes)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[0] if self.arrangement == "map" else self.shape[-1]

    @property
    def has_place(self) -> bool:
        """Whether its values belong to more than one place in the image."""
        sides = {"map": self.shape[1:], "map, channels last": self.shape[:2], "tokens": self.shape[:1]}
        return math.prod(sides.get(self.arrangement, ())) > 2


def plain(module: nn.Module) -> nn.Module:
    """The network inside a compiled one.

    Raises:
        UsageError: It is a scripted or traced network, which has no hooks.
    """
    module = getattr(module, "_orig_mod", module)
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError("A scripted network cannot be looked into: its layers have no hooks. Pass the Python network.")
    return module


def first_tensor(output: Any) -> torch.Tensor | None:
    """The tensor in an output: itself, or the first in a tuple, list or dict; None if there is none."""
    if isinstance(output, torch.Tensor):
        return output
    items = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    return next((found for found in map(first_tensor, items) if found is not None), None)


@contextmanager
def watching(module: nn.Module, names: Sequence[str] | None, watch: Watch) -> Iterator[None]:
    """Have ``watch(name, layer, tensor, alone)`` called at every output of some layers, or of all; hooks always go.

    It is the network's own tensor, which later layers may overwrite in place: keep copies only.
    """
    chosen = {name: layer for name, layer in module.named_modules() if name}
    if names is not None:
        chosen = {name: chosen[name] for name in names}
    with ExitStack() as stack:
        for name, layer in chosen.items():

            def hook(layer: nn.Module, _: Any, output: Any, name: str = name) -> None:
                tensor = first_tensor(output)
                if tensor is not None:
                    watch(name, layer, tensor, tensor is output)

            stack.callback(layer.register_forward_hook(hook).remove)
        yield


def list_layers(module: nn.Module, x: torch.Tensor) -> list[Layer]:
    """Every layer that has an output, in the order of its (last) call.

    Args:
        module: A backbone.
        x: Normalised images (B, 3, S, S); one is enough.
    """
    module = plain(module)
    found: dict[str, Layer] = {}
    calls: dict[str, int] = {}

    def watch(name: str, layer: nn.Module, output: torch.Tensor, alone: bool) -> None:
        if isinstance(layer, REPEATERS) or type(layer).__name__ == "DropPath":
            return
        calls[name] = calls.get(name, 0) + 1
        found.pop(name, None)  # the order is that of the last calls
        arrangement = _arrangement(layer, output, len(x))
        found[name] = Layer(name, type(layer).__name__, tuple(output.shape[1:]), arrangement, calls[name], alone)

    with torch.inference_mode(), watching(module, None, watch):
        module.eval()(x)
    return [layer for layer in found.values() if layer.shape]


def _arrangement(layer: nn.Module, output: torch.Tensor, batch: int) -> str:
    shape = output.shape
    if len(shape) < 2 or shape[0] != batch:  # windows of an image lie along the batch
        return "other"
    if len(shape) == 2:
        return "vector"
    if len(shape) == 3:
        return "tokens" if _prefix(shape[1]) is not None else "other"
    if len(shape) != 4:
        return "other"
    first, last = shape[2] == shape[3], shape[1] == shape[2]  # the images are square
    if first and last:
        return "map, channels last" if isinstance(layer, nn.Linear) else "map"
    return "map" if first else "map, channels last" if last else "other"


def _prefix(tokens: int) -> int | None:
    """How many tokens stand before a square grid (class token, distillation token, registers); None if no grid."""
    prefix = tokens - math.isqrt(tokens) ** 2
    return prefix if prefix <= 8 else None


def as_map(output: torch.Tensor, layer: Layer) -> torch.Tensor:
    """An output as (B, C, H, W); a vector has H = W = 1.

    Raises:
        UsageError: Its values have no place in the image.
    """
    if layer.arrangement == "map":
        return output
    if layer.arrangement == "map, channels last":
        return output.permute(0, 3, 1, 2)
    if layer.arrangement == "vector":
        return output[:, :, None, None]
    if layer.arrangement == "tokens":
        side = math.isqrt(output.shape[1])
        grid = output[:, output.shape[1] - side * side :]
        return grid.transpose(1, 2).unflatten(2, (side, side))
    raise UsageError(
        f"The values of layer {layer.name} {layer.shape} have no place in the image; choose another --layer."
    )


def map_stages(module: nn.Module, layers: Sequence[Layer], most: int = 12) -> list[Layer]:
    """The layers that stand for the depth of a network: where timm says stages end, else its outermost blocks.

    Args:
        module: A backbone.
        layers: From ``list_layers``.
        most: If there are more, they are thinned evenly; the last stays.
    """
    info = getattr(plain(module), "feature_info", None)
    entries = getattr(info, "info", info) or []
    names = [entry["module"] for entry in entries if isinstance(entry, dict) and entry.get("module")]
    stages = [layer for layer in layers if layer.name in names and layer.has_place]
    if len(stages) < 2:
        stages = [layer for layer in layers if layer.has_place and "." not in layer.name]
    last = [layer for layer in layers if layer.has_place][-1:]
    if last and last[0] not in stages:
        stages += last  # what is pooled
    if len(stages) > most:
        keep = {round(i * (len(stages) - 1) / (most - 1)) for i in range(most)}
        stages = [layer for i, layer in enumerate(stages) if i in keep]
    return stages
