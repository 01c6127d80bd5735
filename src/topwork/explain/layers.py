"""List the layers of a network and read their outputs with forward hooks that are always removed.

A layer is a module that the forward pass calls and that returns a tensor. Outputs with spatial positions become feature
maps (B, C, H, W): channels first (convolutions), channels last (Swin, inside ConvNeXt blocks) or tokens (B, N, C), of
which class and register tokens are dropped and the rest is a square grid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from topwork.backbones.joined import JoinedNetwork
from topwork.core.errors import UsageError

PASSTHROUGH_MODULES = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten)  # no new values in eval mode
MAX_PREFIX_TOKENS = 8  # class, distillation and register tokens before the grid
HookCallback = Callable[[str, nn.Module, torch.Tensor, bool], None]


@dataclass(frozen=True)
class Layer:
    """A named module and the form of its output.

    Attributes:
        name: Dotted path in the backbone.
        kind: Class name of the module.
        shape: Of the output for one image, without the batch dimension.
        layout: ``"channels_first"`` (C, H, W), ``"channels_last"`` (H, W, C), ``"tokens"`` (N, C), ``"vector"`` (C,),
            or ``"other"`` (no spatial positions, e.g. windows).
        calls: Calls per forward pass; the output of the last call is used.
        single_output: Whether the output is one tensor; otherwise its first tensor is used.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    layout: str
    calls: int
    single_output: bool

    @property
    def note(self) -> str:
        """Which call and which tensor are used, if there are several; else empty."""
        notes = [f"called {self.calls} times, the last is shown"] if self.calls > 1 else []
        notes += [] if self.single_output else ["several outputs, the first tensor is shown"]
        return "; ".join(notes)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.shape[0] if self.layout == "channels_first" else self.shape[-1]

    @property
    def is_spatial(self) -> bool:
        """Whether the output has more than two spatial positions."""
        sides = {"channels_first": self.shape[1:], "channels_last": self.shape[:2], "tokens": self.shape[:1]}
        return math.prod(sides.get(self.layout, ())) > 2


def not_spatial(layer: Layer) -> UsageError:
    """The error for a layer that cannot be shown as maps."""
    return UsageError(
        f"The output of layer {layer.name} {layer.shape} has no spatial positions; choose another --layer."
    )


def unwrap(module: nn.Module) -> nn.Module:
    """The module inside a compiled one.

    Raises:
        UsageError: The module is scripted or traced and has no hooks.
    """
    module = getattr(module, "_orig_mod", module)
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError("The layers of a scripted network have no hooks. Pass the Python module.")
    return module


def first_tensor(output: Any) -> torch.Tensor | None:
    """The output itself if it is a tensor, else the first tensor in a tuple, list or dict; None without any."""
    if isinstance(output, torch.Tensor):
        return output
    items = output.values() if isinstance(output, dict) else output if isinstance(output, tuple | list) else ()
    return next((found for found in map(first_tensor, items) if found is not None), None)


@contextmanager
def forward_hooks(module: nn.Module, names: Sequence[str] | None, callback: HookCallback) -> Iterator[None]:
    """Call ``callback(name, layer, tensor, single_output)`` at every output of the named layers, or of all layers.

    The tensor is the network's own, which later layers may overwrite in place: keep copies only.
    """
    chosen = {name: layer for name, layer in module.named_modules() if name}
    if names is not None:
        chosen = {name: chosen[name] for name in names}
    with ExitStack() as stack:
        for name, layer in chosen.items():

            def hook(layer: nn.Module, _: Any, output: Any, name: str = name) -> None:
                tensor = first_tensor(output)
                if tensor is not None:
                    callback(name, layer, tensor, tensor is output)

            stack.callback(layer.register_forward_hook(hook).remove)
        yield


@contextmanager
def hook_last_calls(
    module: nn.Module, layers: Sequence[Layer], callback: Callable[[Layer, torch.Tensor], None]
) -> Iterator[None]:
    """Call ``callback(layer, output)`` once per forward pass for each layer, at the last of its calls.

    Args:
        module: A backbone; every pass must call a layer ``Layer.calls`` times.
        layers: From ``list_layers`` of this backbone.
        callback: Gets the network's own tensor.
    """
    known = {layer.name: layer for layer in layers}
    calls = dict.fromkeys(known, 0)

    def count(name: str, _: nn.Module, output: torch.Tensor, __: bool) -> None:
        calls[name] += 1
        if calls[name] % known[name].calls == 0:
            callback(known[name], output)

    with forward_hooks(module, list(known), count):
        yield


def list_layers(module: nn.Module, x: torch.Tensor) -> list[Layer]:
    """Every layer that returns a tensor, in the order of its last call.

    Args:
        module: A backbone; in eval mode afterwards.
        x: Normalized images (B, 3, S, S); one is enough.

    >>> module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU())
    >>> [(layer.name, layer.shape, layer.layout) for layer in list_layers(module, torch.zeros(1, 3, 9, 9))]
    [('0', (8, 4, 4), 'channels_first'), ('1', (8, 4, 4), 'channels_first')]
    """
    module = unwrap(module)
    found: dict[str, Layer] = {}
    calls: dict[str, int] = {}

    def add(name: str, layer: nn.Module, output: torch.Tensor, single: bool) -> None:
        if isinstance(layer, PASSTHROUGH_MODULES) or type(layer).__name__ == "DropPath":
            return
        calls[name] = calls.get(name, 0) + 1
        found.pop(name, None)  # so that the order is that of the last calls
        layout = _layout(layer, output, len(x))
        found[name] = Layer(name, type(layer).__name__, tuple(output.shape[1:]), layout, calls[name], single)

    with torch.inference_mode(), forward_hooks(module, None, add):
        module.eval()(x)
    return [layer for layer in found.values() if layer.shape]


def _layout(layer: nn.Module, output: torch.Tensor, batch: int) -> str:
    shape = output.shape
    if len(shape) < 2 or shape[0] != batch:  # windows are stacked along the batch dimension
        return "other"
    if len(shape) == 2:
        return "vector"
    if len(shape) == 3:
        return "tokens" if shape[1] - math.isqrt(shape[1]) ** 2 <= MAX_PREFIX_TOKENS else "other"
    if len(shape) != 4:
        return "other"
    first, last = shape[2] == shape[3], shape[1] == shape[2]  # the images are square
    if first and last:
        return "channels_last" if isinstance(layer, nn.Linear) else "channels_first"
    return "channels_first" if first else "channels_last" if last else "other"


def to_feature_map(output: torch.Tensor, layer: Layer) -> torch.Tensor:
    """The output of a layer as (B, C, H, W), without prefix tokens; a vector has H = W = 1.

    Raises:
        UsageError: The output has no spatial positions.
    """
    if layer.layout == "channels_first":
        return output
    if layer.layout == "channels_last":
        return output.permute(0, 3, 1, 2)
    if layer.layout == "vector":
        return output[:, :, None, None]
    if layer.layout == "tokens":
        side = math.isqrt(output.shape[1])
        grid = output[:, output.shape[1] - side * side :]
        return grid.transpose(1, 2).unflatten(2, (side, side))
    raise not_spatial(layer)


def stages_by_network(module: nn.Module, layers: Sequence[Layer], limit: int = 12) -> list[list[Layer]]:
    """``select_stages`` of each of the joined networks; of one network a list of one item."""
    module = unwrap(module)
    if not isinstance(module, JoinedNetwork):
        return [select_stages(module, layers, limit)]
    found = []
    for name, network in module.networks.items():
        prefix, share = f"{name}.", max(2, limit // len(module.networks))
        own = [replace(one, name=one.name.removeprefix(prefix)) for one in layers if one.name.startswith(prefix)]
        found.append([replace(one, name=prefix + one.name) for one in select_stages(network, own, share)])
    return found


def select_stages(module: nn.Module, layers: Sequence[Layer], limit: int = 12) -> list[Layer]:
    """The spatial layers at which stages end according to timm, else the outermost blocks; the last one always.

    Args:
        module: A backbone.
        layers: From ``list_layers``.
        limit: More stages are thinned out evenly; of joined networks those of each.
    """
    if isinstance(unwrap(module), JoinedNetwork):
        return [stage for stages in stages_by_network(module, layers, limit) for stage in stages]
    info = getattr(unwrap(module), "feature_info", None)
    entries = getattr(info, "info", info) or []
    names = [entry["module"] for entry in entries if isinstance(entry, dict) and entry.get("module")]
    stages = [layer for layer in layers if layer.name in names and layer.is_spatial]
    if len(stages) < 2:
        stages = [layer for layer in layers if layer.is_spatial and "." not in layer.name]
    last = [layer for layer in layers if layer.is_spatial][-1:]
    if last and last[0] not in stages:
        stages += last  # the layer that is pooled
    if len(stages) > limit:
        keep = {round(i * (len(stages) - 1) / (limit - 1)) for i in range(limit)}
        stages = [layer for i, layer in enumerate(stages) if i in keep]
    return stages
