"""A network split after its frozen first stages, so that their output for an image can be cached.

Stages are timm's: the stem, then each stage of a convolutional network or each block of a transformer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from topwork.core.errors import UsageError


class _EarlyExit(Exception):
    """Ends a forward pass at the split; carries the activations there."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


def stage_parameters(module: nn.Module) -> list[list[str]]:
    """Names of the parameters of the stem and of each stage, in the order of the network; [] if timm knows none."""
    matcher = getattr(module, "group_matcher", None)
    if matcher is None:
        return []
    groups: dict[Any, Any] = group_parameters(module, matcher(coarse=True))
    return [list(groups[number]) for number in sorted(groups)]


class StageSplit:
    """A network whose stem and first stages are frozen and need not be run again.

    Args:
        module: A backbone made by ``create``, on the CPU; its frozen parameters no longer require gradients.
        stages: How many stages are frozen beside the stem, at least 1.
        size: Side of its input in pixels.

    Attributes:
        frozen: The outermost modules before the split.
        shape: Of the activations at the split, without the batch.

    Raises:
        UsageError: The network has fewer stages, or a skip connection bypasses the split.
    """

    def __init__(self, module: nn.Module, stages: int, size: int) -> None:
        groups = stage_parameters(module)
        max_stages = len(groups) - 2  # beside the stem; at least one is left to train
        if not 1 <= stages <= max_stages:
            allowed = f"1 to {max_stages}" if max_stages > 0 else "none: its stages are not known"
            raise UsageError(f"--freeze-stages {stages} is not supported by this network; allowed are {allowed}.")
        self._module = module
        frozen = {name for names in groups[: stages + 1] for name in names}
        x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        module.eval()
        with torch.no_grad():
            spans, shapes = _trace(module, x[:1])
            inner = [n for n, p in spans if _all_frozen(module.get_submodule(n), n, frozen)]
            outer = [n for n in inner if not any(n.startswith(f"{other}.") for other in inner)]
            ends = {n: span[1] for n, span in spans}
            self._end = max(outer, key=lambda n: ends[n], default="")
            start = dict(spans)[self._end][0] if outer else 0
            before = [n for n, span in spans if span[1] < start]
            self._stubs = {n: shapes[n] for n in before if not any(n.startswith(f"{other}.") for other in before)}
            self.frozen = [module.get_submodule(n) for n in outer]
            self.shape = self._check(x, stages)
        for name, parameter in module.named_parameters():
            if name in frozen:
                parameter.requires_grad_(False)

    def _check(self, x: torch.Tensor, stages: int) -> tuple[int, ...]:
        expected = self._module(x)
        try:
            z = self.forward_frozen(self._module, x)
            if (self.forward_rest(z) - expected).abs().max() <= 1e-4 * expected.abs().max():
                return tuple(z.shape[1:])
        except (RuntimeError, TypeError, KeyError, IndexError, AssertionError):
            pass
        raise UsageError(
            f"--freeze-stages {stages}: this network cannot be split there, a skip connection bypasses the split. "
            "Choose another number, or leave --freeze-stages out."
        )

    def forward_frozen(self, module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """The activations (B, ...) at the split for normalized images (B, 3, S, S).

        Args:
            module: The network itself or a faster copy with the same modules.
            x: The images.
        """

        def stop(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            raise _EarlyExit(output)

        with module.get_submodule(self._end).register_forward_hook(stop):
            try:
                module(x)
            except _EarlyExit as reached:
                return reached.value
        raise AssertionError("the split was not reached")

    def forward_rest(self, z: torch.Tensor) -> torch.Tensor:
        """Features (B, D) from the activations at the split; nothing before it is computed."""
        x = z.new_zeros(()).expand(len(z), 3, 8, 8)
        with self._skip_frozen(z):
            return self._module(x)

    @contextmanager
    def _skip_frozen(self, z: torch.Tensor) -> Iterator[None]:
        """The modules before the split return zeros without memory, the last of them returns ``z``."""
        forwards: dict[str, Callable[..., torch.Tensor]] = {self._end: lambda *_, **__: z}
        for name, shape in self._stubs.items():
            forwards[name] = lambda *_, shape=shape, **__: z.new_zeros(()).expand(len(z), *shape)
        changed = [self._module.get_submodule(name) for name in forwards]
        for module, forward in zip(changed, forwards.values(), strict=True):
            module.forward = forward
        try:
            yield
        finally:
            for module in changed:
                del module.forward


def _trace(module: nn.Module, x: torch.Tensor) -> tuple[list[tuple[str, tuple[int, int]]], dict[str, tuple[int, ...]]]:
    """When each inner module began and ended in a pass, in the order of their ends, and what shape came out."""
    names = {layer: name for name, layer in module.named_modules() if name}
    clock, began = itertools.count(), {}
    spans: list[tuple[str, tuple[int, int]]] = []
    shapes: dict[str, tuple[int, ...]] = {}

    def begin(layer: nn.Module, _: Any) -> None:
        began[layer] = next(clock)

    def end(layer: nn.Module, _: Any, output: Any) -> None:
        now = next(clock)
        if isinstance(output, torch.Tensor):
            spans.append((names[layer], (began[layer], now)))
            shapes[names[layer]] = tuple(output.shape[1:])

    with ExitStack() as hooks:
        for layer in names:
            hooks.enter_context(layer.register_forward_pre_hook(begin))
            hooks.enter_context(layer.register_forward_hook(end))
        module(x)
    return spans, shapes


def _all_frozen(layer: nn.Module, name: str, frozen: set[str]) -> bool:
    inside = [f"{name}.{inner}" for inner, _ in layer.named_parameters()]
    return bool(inside) and all(parameter in frozen for parameter in inside)
