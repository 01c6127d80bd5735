"""What a channel would like to see: a picture that is changed until the channel answers most.

Activation maximisation as in Olah, Mordvintsev & Schubert 2017, "Feature Visualization" (doi 10.23915/distill.00007)
and Mordvintsev et al. 2018, "Differentiable Image Parameterizations" (doi 10.23915/distill.00012): the picture is held
as its Fourier coefficients with the 1/f amplitudes of natural images and in decorrelated colours, and is shifted,
scaled and turned a little before every step, for otherwise the result is high-frequency noise that fools the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from topwork.core.artifacts import InputSpec
from topwork.core.errors import UsageError
from topwork.core.seeds import derive_seed
from topwork.explain.layers import Layer, as_map, plain, watching

SIDE = 128  # pixels, where a network takes any size: a quarter of the time of 224
RATE = 0.05  # of Adam
JITTER = 1 / 16  # of the side, each way
SCALES = (0.9, 1.1)
DEGREES = 6.0  # each way
CONTRAST = 1.5  # of the logits of the pixels to begin with
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish)  # they can be silent, without a slope
# Brightness, red against blue, green against both: nearly the principal axes of colours in natural images (Ohta, Kanade
# & Sakai 1980, doi 10.1016/0146-664X(80)90047-7), with about their standard deviations relative to brightness.
AXES = (((1, 1, 1), 1.0), ((1, 0, -1), 0.35), ((-1, 2, -1), 0.18))


class _Reached(Exception):
    """The layer has answered; what comes after it need not be computed."""


def dream(
    module: nn.Module,
    layer: Layer,
    channels: Sequence[int],
    spec: InputSpec,
    *,
    size: int | None = None,
    steps: int = 128,
    seed: int = 0,
    advance: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Pictures that excite channels of a layer.

    Args:
        module: A backbone, in eval mode afterwards; its parameters and their gradients stay as they are.
        layer: From ``list_layers``; the mean of a channel over its map is driven up.
        channels: Of the layer; all begin with the same picture.
        spec: Of the network.
        size: Side in pixels; None for 128, or ``spec.size`` where the network takes only that or that is smaller.
        steps: Of the optimiser.
        seed: Equal seeds give equal pictures on the same machine and thread count.
        advance: Told 1 after every step.

    Returns:
        uint8 (channels, size, size, 3).

    Raises:
        UsageError: The layer has no such channel or no place in the image, or the network does not take the size.
    """
    module = plain(module).eval()
    for channel in channels:
        if not 0 <= channel < layer.channels:
            raise UsageError(f"Layer {layer.name} has no channel {channel}; allowed are 0 to {layer.channels - 1}.")
    size = _size(module, layer, spec, size)
    generator = torch.Generator().manual_seed(derive_seed(seed, "dream"))
    with torch.inference_mode(False), torch.enable_grad():
        canvas = _Canvas(size, len(channels), generator, next(module.parameters()).device)
        optimiser = torch.optim.Adam([canvas.waves], lr=RATE)
        for _ in range(steps):
            wanted = _wanted(module, layer, channels, spec, _moved(canvas.pixels(), generator))
            canvas.waves.grad = torch.autograd.grad(-wanted, canvas.waves)[0]
            optimiser.step()
            if advance:
                advance(1)
        pixels = canvas.pixels().detach().mul(255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).cpu().numpy()


class _Canvas:
    """Pictures as Fourier coefficients, in colours that vary independently of one another in natural images."""

    def __init__(self, size: int, count: int, generator: torch.Generator, device: torch.device) -> None:
        rows, columns = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
        amplitude = 1 / (rows.square() + columns.square()).sqrt().clamp(min=1 / size)
        self._size = size
        self._amplitude = (amplitude / amplitude.square().mean().sqrt()).to(device)
        colours = [torch.tensor(axis) / math.hypot(*axis) * deviation for axis, deviation in AXES]
        self._colours = (torch.stack(colours, dim=1) * math.sqrt(3)).to(device)  # columns are axes
        start = torch.randn(1, 3, size, size // 2 + 1, 2, generator=generator) * 0.1
        self.waves = start.repeat(count, 1, 1, 1, 1).to(device).requires_grad_()

    def pixels(self) -> torch.Tensor:
        """RGB in [0, 1], (count, 3, size, size)."""
        spectrum = torch.view_as_complex(self.waves) * self._amplitude
        planes = torch.fft.irfft2(spectrum, s=(self._size, self._size), norm="ortho")
        return torch.einsum("rc,nchw->nrhw", self._colours, planes).mul(CONTRAST).sigmoid()


def _moved(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shifted, scaled and turned at random, all pictures alike; mirrored at the edges."""
    draws = torch.rand(4, generator=generator).tolist()
    low, high = SCALES
    scale = 1 / (low + (high - low) * draws[0])
    angle = math.radians(DEGREES * (2 * draws[1] - 1))
    x, y = (2 * JITTER * (2 * draw - 1) for draw in draws[2:])  # the side is 2 long
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    theta = torch.tensor([[cosine, -sine, x], [sine, cosine, y]], device=pixels.device)
    grid = functional.affine_grid(theta.expand(len(pixels), 2, 3), list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _wanted(
    module: nn.Module, layer: Layer, channels: Sequence[int], spec: InputSpec, pixels: torch.Tensor
) -> torch.Tensor:
    """The sum over pictures of the mean answer of their own channels."""
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
    answers, before = _answers(module, layer, (pixels - mean) / std)
    own = range(len(channels)), list(channels)
    chosen = answers[own]
    if before is not None:  # where the rectifier is silent it has no slope to climb
        chosen = torch.where(chosen == 0, before[own], chosen)
    return chosen.mean(dim=(1, 2)).sum()


def _answers(module: nn.Module, layer: Layer, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The layer's (last) output as (B, C, H, W), and what it was before a final rectifier, if it has one.

    The network is left there.
    """
    kept: list[torch.Tensor] = []
    given: list[tuple[nn.Module, torch.Tensor]] = []

    def watch(_: str, __: nn.Module, output: torch.Tensor, ___: bool) -> None:
        kept.append(output)
        if len(kept) == layer.calls:
            raise _Reached

    def before(rectifier: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        given[:] = [(rectifier, inputs[0].clone())]  # most work in place

    with ExitStack() as stack:
        for part in module.get_submodule(layer.name).modules():
            if isinstance(part, RECTIFIERS):
                stack.callback(part.register_forward_pre_hook(before).remove)
        stack.enter_context(watching(module, [layer.name], watch))
        with suppress(_Reached):
            module(x)
    if len(kept) < layer.calls:
        raise UsageError(f"The network did not reach layer {layer.name} {layer.calls} times; list its layers again.")
    output = kept[-1]
    for rectifier, value in given:
        if value.shape == output.shape and torch.equal(rectifier(value.detach().clone()), output):
            return as_map(output, layer), as_map(value, layer)
    return as_map(output, layer), None


def _size(module: nn.Module, layer: Layer, spec: InputSpec, size: int | None) -> int:
    """The side asked for, or the smaller of the usual one and the network's own, if the network takes it."""
    wanted = min(SIDE, spec.size) if size is None else size
    if wanted == spec.size:
        return wanted
    device = next(module.parameters()).device
    try:
        with torch.inference_mode():
            _answers(module, layer, torch.zeros(1, 3, wanted, wanted, device=device))
    except (RuntimeError, AssertionError, ValueError) as error:
        if size is None:
            return spec.size
        raise UsageError(f"{type(module).__name__} does not take {size} px; leave size out for its own.") from error
    return wanted
