"""Engines that run a frozen backbone over batches: the plain network, with fused BatchNorm, compiled, or OpenVINO.

All take normalized images of one fixed shape and return features that agree up to the rounding of the precision. The
engine is part of the cache key, so an image's features never depend on other images.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from topwork.backbones.batchnorm_fusion import cast_weights, fuse_batchnorm
from topwork.backbones.build import Backbone
from topwork.backbones.joined import join_features
from topwork.compute.devices import DeviceContext, compile_quietly, has_compiler
from topwork.core.artifacts import InputSpec
from topwork.core.errors import MissingDependency
from topwork.data.transforms import renormalize

Forward = Callable[[torch.Tensor], torch.Tensor]  # normalized float32 (B, 3, S, S), channels last, to (B, D)
COMPILE_MIN_FLOPS = 4e13  # floating-point operations from which compiling, some 15 s, pays: it saves a sixth


def version(engine: str) -> str:
    """The name of an engine with what decides its last bits, for the cache key."""
    if engine != "openvino":
        return engine
    from importlib.metadata import version as installed

    return f"openvino {installed('openvino')}"


def available(compute: DeviceContext) -> list[str]:
    """Engines of the requested kind that work here, the fastest first.

    Raises:
        MissingDependency: OpenVINO is requested and not installed.
    """
    installed = importlib.util.find_spec("openvino") is not None
    if compute.engine == "openvino":
        if not installed:
            raise MissingDependency("engine openvino", "openvino")
        return ["openvino"]
    if compute.device.type != "cpu":
        return ["plain"]
    found = ["openvino"] if installed and compute.engine == "auto" else []
    return [*found, *(["compiled"] if has_compiler() else []), "folded", "plain"]


def choose_engine(backbone: Backbone, compute: DeviceContext, images: int) -> str:
    """The engine that extracts a number of images soonest, start-up included; a function of the work alone."""
    found = available(compute)
    best = next(name for name in found if name != "compiled")
    if best != "folded" or "compiled" not in found:
        return best
    x = torch.zeros(1, 3, backbone.spec.size, backbone.spec.size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.module.cpu().eval()(x)
    return "compiled" if images * counter.get_total_flops() > COMPILE_MIN_FLOPS else best


def build_engines(
    engine: str, backbone: Backbone, compute: DeviceContext, batches: Sequence[int]
) -> dict[int, Forward]:
    """Build an engine for several batch sizes; what they can share is built once.

    Each network of a joined one has an engine of its own, as if it was alone, so that its features have the same bits.

    Raises:
        MissingDependency: OpenVINO is not installed.
    """
    if backbone.members:
        built = [build_engines(engine, member, compute, batches) for member in backbone.members]
        specs = [member.spec for member in backbone.members]
        return {n: _side_by_side([forwards[n] for forwards in built], specs) for n in batches}
    if engine == "openvino":
        model = _converted(backbone)
        return {n: _compiled(model.clone(), compute, (n, 3, *[backbone.spec.size] * 2)) for n in batches}
    if engine == "plain":
        return dict.fromkeys(batches, compute.to_channels_last(backbone.module).eval())
    module: nn.Module = fuse_batchnorm(backbone.module, backbone.spec.size)
    if engine == "compiled":
        torch._inductor.config.freezing = True  # weights are constants: laid out once, as the kernels want them
        return dict.fromkeys(batches, compile_quietly(compute.to_channels_last(module)))
    return dict.fromkeys(batches, compute.to_channels_last(cast_weights(module, compute.dtype)))


def _side_by_side(forwards: Sequence[Forward], specs: Sequence[InputSpec]) -> Forward:
    """The features of a joined network, on the CPU, from images as its first network wants them."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        parts = [run(renormalize(x, specs[0], spec)) for run, spec in zip(forwards, specs, strict=True)]
        return torch.from_numpy(join_features([part.float().cpu().numpy() for part in parts]))

    return forward


def import_openvino() -> Any:
    """The package, without its telemetry."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # blocks its import: OpenVINO would send data
    import openvino

    return openvino


def _converted(backbone: Backbone) -> Any:
    """The network as an OpenVINO model."""
    if not importlib.util.find_spec("openvino"):
        raise MissingDependency("engine openvino", "openvino")
    openvino = import_openvino()
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of its tracer
        one = torch.zeros(1, 3, backbone.spec.size, backbone.spec.size)  # a full batch would take a GiB more
        once: dict[str, Any] = {"check_trace": False}  # else it traces twice more and compares: 40 % of the time
        return openvino.convert_model(TorchScriptPythonDecoder(backbone.module.eval(), None, one, trace_kwargs=once))


def _compiled(model: Any, compute: DeviceContext, shape: tuple[int, ...]) -> Forward:
    """A converted network, compiled for batches of one shape; ``model`` is reshaped in place."""
    openvino = import_openvino()
    model.reshape([*shape])
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, all threads on it
        "INFERENCE_NUM_THREADS": compute.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if compute.precision == "bfloat16" else "f32",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    buffer = torch.empty(shape)  # one for all batches: a copy per batch would accumulate
    request.set_input_tensor(openvino.Tensor(buffer.numpy(), shared_memory=True))

    def forward(x: torch.Tensor) -> torch.Tensor:
        buffer.copy_(x)
        request.infer()
        return torch.from_numpy(request.get_output_tensor().data.copy())

    return forward
