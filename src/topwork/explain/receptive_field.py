"""The receptive field of every layer: which pixels a value in its feature map depends on."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from topwork.explain.layers import Layer, hook_last_calls, to_feature_map, unwrap

# They see the mean of the whole image, but only scale channels.
GLOBAL_GATES = (
    "SqueezeExcite", "SEModule", "EffectiveSEModule", "SqueezeExciteCl", "EcaModule", "CbamModule", "GlobalContext",
)  # fmt: skip
STRIP_HEIGHT = 64  # of an image that needs less time: two rows at the usual stride of 32


@dataclass(frozen=True)
class ReceptiveField:
    """The receptive field of a layer, in pixels of the network's input; it is assumed to be square.

    Attributes:
        left, right: First and last column that the middle value of the feature map depends on.
        step: Distance between the fields of neighboring values.
        index: Column (and row) of the middle value.
        covers_image: Whether the field reaches both edges of the image, so that it may be larger than the image.
    """

    left: int
    right: int
    step: float
    index: int
    covers_image: bool

    @property
    def size(self) -> int:
        """Side in pixels."""
        return self.right - self.left + 1

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """Left, upper, right, lower border of the field of a value, as in Pillow; it may extend beyond the image."""
        x = self.left + round((column - self.index) * self.step)
        y = self.left + round((row - self.index) * self.step)
        return x, y, x + self.size, y + self.size

    def __str__(self) -> str:
        return "the whole image" if self.covers_image else f"{self.size} x {self.size} px"


def receptive_fields(module: nn.Module, layers: Sequence[Layer], size: int) -> dict[str, ReceptiveField]:
    """The receptive field of every spatial layer, from the gradient of its middle value with respect to the input.

    This holds for all branches, strides and paddings, where the arithmetic of kernel sizes fails. Global gates (squeeze
    and excitation) are replaced by the identity, max pools by average pools, which depend on the same pixels.

    Args:
        module: A backbone.
        layers: From ``list_layers`` at this size.
        size: Side S of the input.

    Returns:
        Layer name to receptive field.

    >>> from topwork.explain import list_layers
    >>> module = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, stride=2))
    >>> layers = list_layers(module, torch.zeros(1, 3, 32, 32))
    >>> {name: str(field) for name, field in receptive_fields(module, layers, 32).items()}
    {'0': '3 x 3 px', '1': '7 x 7 px'}
    """
    module = _with_active_branches(unwrap(module))
    layers = [layer for layer in layers if layer.is_spatial]
    if not any(layer.layout == "tokens" for layer in layers):  # tokens are known to form a square grid only
        with suppress(RuntimeError, AssertionError, ValueError):  # the network accepts only its own image size
            return _measure(module, layers, STRIP_HEIGHT, size)
    return _measure(module, layers, size, size)


def _with_active_branches(module: nn.Module) -> nn.Module:
    """A copy in which every branch counts: before training, some end in a scale of 0 or nearly 0."""
    module = copy.deepcopy(module).eval().requires_grad_(False)
    for parameter in module.parameters():
        if parameter.abs().max() < 1e-3:
            nn.init.normal_(parameter)
    return module


def _average_pool(pool: nn.MaxPool2d, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(inputs[0], pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)


def _measure(module: nn.Module, layers: Sequence[Layer], height: int, width: int) -> dict[str, ReceptiveField]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, height, width, generator=generator).to(next(module.parameters())).requires_grad_()
    middles: dict[str, tuple[torch.Tensor, int]] = {}

    def keep(layer: Layer, output: torch.Tensor) -> None:
        values = to_feature_map(output, layer)
        middle = values[0, :, values.shape[2] // 2, values.shape[3] // 2]
        weights = torch.randn(len(middle), generator=generator).to(middle)  # after a LayerNorm the sum is constant
        middles[layer.name] = (middle * weights).sum(), values.shape[3]

    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stack:
        for layer in module.modules():
            if type(layer).__name__ in GLOBAL_GATES:
                stack.callback(layer.register_forward_hook(lambda _, inputs, __: inputs[0].clone()).remove)
            if isinstance(layer, nn.MaxPool2d) and layer.dilation in (1, (1, 1)):  # only maxima have a gradient
                stack.callback(layer.register_forward_hook(_average_pool).remove)
        stack.enter_context(hook_last_calls(module, layers, keep))
        module(image)
        fields = {}
        for name, (value, grid) in middles.items():
            (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
            columns = gradient.abs().amax(dim=(0, 1, 2)).nonzero()
            left, right = int(columns.min()), int(columns.max())
            fields[name] = ReceptiveField(left, right, width / grid, grid // 2, left == 0 and right == width - 1)
    return fields
