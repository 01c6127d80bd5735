"""Feature visualization: images that are optimized to activate a channel.

Activation maximization as in Olah, Mordvintsev & Schubert 2017, "Feature Visualization" (doi 10.23915/distill.00007)
and Mordvintsev et al. 2018, "Differentiable Image Parameterizations" (doi 10.23915/distill.00012): the image is
parameterized by its Fourier coefficients with the 1/f amplitudes of natural images and in decorrelated colors, and is
randomly shifted, scaled and rotated before every step. Otherwise the result is high-frequency noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core.artifacts import InputSpec
from topwork.core.seeds import derive_seed
from topwork.explain.layers import Layer, forward_hooks, to_feature_map, unwrap

SIDE = 128  # pixels, where a network takes any size: a quarter of the time of 224
LEARNING_RATE = 0.05  # of Adam
JITTER = 1 / 16  # of the side, each way
SCALES = (0.9, 1.1)
DEGREES = 6.0  # each way
LOGIT_CONTRAST = 1.5  # of the initial pixels
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish)  # where they are 0 they have no gradient
# Brightness, red against blue, green against both: nearly the principal axes of colors in natural images (Ohta, Kanade
# & Sakai 1980, doi 10.1016/0146-664X(80)90047-7), with about their standard deviations relative to brightness.
COLOR_AXES = (((1, 1, 1), 1.0), ((1, 0, -1), 0.35), ((-1, 2, -1), 0.18))


class _StopForward(Exception):
    """The output of the layer is known; the rest of the network need not be computed."""


def visualize_channels(
    module: nn.Module, layer: Layer, channels: Sequence[int], spec: InputSpec, *, steps: int = 128
) -> np.ndarray:
    """Images that activate channels of a layer, equal for equal arguments on the same machine and number of threads.

    Their side is 128 pixels, or ``spec.size`` where that is smaller or the only size that the network accepts.

    Args:
        module: A backbone; in eval mode afterwards, with unchanged parameters and gradients.
        layer: From ``list_layers``; the mean activation of a channel over its positions is maximized.
        channels: Of the layer; all start from the same image.
        spec: Input of the network.
        steps: Of the optimizer.

    Returns:
        uint8 (channels, side, side, 3).

    Raises:
        UsageError: The layer has no spatial positions.
    """
    module = unwrap(module).eval()
    size = _side(module, layer, spec)
    generator = torch.Generator().manual_seed(derive_seed(0, "dream"))
    with torch.inference_mode(False), torch.enable_grad():
        image = _FourierImage(size, len(channels), generator, next(module.parameters()).device)
        optimizer = torch.optim.Adam([image.coefficients], lr=LEARNING_RATE)
        for _ in range(steps):
            objective = _objective(module, layer, channels, spec, _jitter(image.pixels(), generator))
            image.coefficients.grad = torch.autograd.grad(-objective, image.coefficients)[0]
            optimizer.step()
        pixels = image.pixels().detach().mul(255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


class _FourierImage:
    """Images as Fourier coefficients, in colors that are decorrelated in natural images."""

    def __init__(self, size: int, count: int, generator: torch.Generator, device: torch.device) -> None:
        rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
        amplitude = 1 / (rows.square() + columns.square()).sqrt().clamp(min=1 / size)
        self._size = size
        self._amplitude = (amplitude / amplitude.square().mean().sqrt()).to(device)
        colors = [torch.tensor(axis) / math.hypot(*axis) * deviation for axis, deviation in COLOR_AXES]
        self._colors = (torch.stack(colors, dim=1) * math.sqrt(3)).to(device)  # columns are axes
        start = torch.randn(1, 3, size, size // 2 + 1, 2, generator=generator) * 0.1
        self.coefficients = start.repeat(count, 1, 1, 1, 1).to(device).requires_grad_()

    def pixels(self) -> torch.Tensor:
        """RGB in [0, 1], (count, 3, size, size)."""
        spectrum = torch.view_as_complex(self.coefficients) * self._amplitude
        planes = torch.fft.irfft2(spectrum, s=(self._size, self._size), norm="ortho")
        return torch.einsum("rc,nchw->nrhw", self._colors, planes).mul(LOGIT_CONTRAST).sigmoid()


def _jitter(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """All images with one random shift, scale and rotation, reflected at the edges."""
    draws = torch.rand(4, generator=generator).tolist()
    low, high = SCALES
    scale = 1 / (low + (high - low) * draws[0])
    angle = math.radians(DEGREES * (2 * draws[1] - 1))
    x, y = (2 * JITTER * (2 * draw - 1) for draw in draws[2:])  # in grid coordinates the side is 2
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    theta = torch.tensor([[cosine, -sine, x], [sine, cosine, y]], device=pixels.device)
    grid = functional.affine_grid(theta.expand(len(pixels), 2, 3), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _objective(
    module: nn.Module, layer: Layer, channels: Sequence[int], spec: InputSpec, pixels: torch.Tensor
) -> torch.Tensor:
    """The sum over images of the mean activation of their own channel."""
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    activations, rectifier_inputs = _forward_to_layer(module, layer, (pixels - mean) / std)
    own = range(len(channels)), list(channels)
    chosen = activations[own]
    if rectifier_inputs is not None:  # an inactive rectifier has no gradient to climb
        chosen = torch.where(chosen == 0, rectifier_inputs[own], chosen)
    return chosen.mean(dim=(1, 2)).sum()


def _forward_to_layer(module: nn.Module, layer: Layer, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The layer's (last) output as (B, C, H, W), and the input of a final rectifier if it has one."""
    outputs: list[torch.Tensor] = []
    rectified: list[tuple[nn.Module, torch.Tensor]] = []

    def keep(_: str, __: nn.Module, output: torch.Tensor, ___: bool) -> None:
        outputs.append(output)
        if len(outputs) == layer.calls:
            raise _StopForward

    def keep_input(rectifier: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        rectified[:] = [(rectifier, inputs[0].clone())]  # most work in place

    with ExitStack() as stack:
        for child in module.get_submodule(layer.name).modules():
            if isinstance(child, RECTIFIERS):
                stack.callback(child.register_forward_pre_hook(keep_input).remove)
        stack.enter_context(forward_hooks(module, [layer.name], keep))
        with suppress(_StopForward):
            module(x)
    output = outputs[-1]
    for rectifier, value in rectified:
        if value.shape == output.shape and torch.equal(rectifier(value.detach().clone()), output):
            return to_feature_map(output, layer), to_feature_map(value, layer)
    return to_feature_map(output, layer), None


def _side(module: nn.Module, layer: Layer, spec: InputSpec) -> int:
    """The smaller of 128 and the network's own side, if the network accepts it."""
    x = torch.zeros(1, 3, min(SIDE, spec.size), min(SIDE, spec.size), device=next(module.parameters()).device)
    with torch.inference_mode(), suppress(RuntimeError, AssertionError, ValueError):
        _forward_to_layer(module, layer, x)
        return x.shape[3]
    return spec.size
