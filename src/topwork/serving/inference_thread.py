"""The thread that runs the network: images that wait together form a batch, of a size that gives the same bits."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.backbones.build import Backbone
from topwork.bundle.postprocessing import Prediction
from topwork.explain.attribution import ClassActivationMaps
from topwork.features.extract import BATCH
from topwork.inference.class_activation_maps import ClassActivationMapper
from topwork.inference.predictor import Predictor

BATCH_SIZES = (1, 4, BATCH)
MIN_POSITIONS = 49  # in every layer; from here on OpenVINO adds in the same order for any batch size


@dataclass(frozen=True)
class _Request:
    name: str
    pixels: torch.Tensor
    top: int
    neighbours: int
    result: Future[Prediction] = field(default_factory=Future)


def min_spatial_positions(backbone: Backbone) -> int:
    """The smallest number of spatial positions in the output of a convolutional or linear layer, from one pass."""
    found: list[int] = []

    def note(layer: nn.Module, _: Any, y: torch.Tensor) -> None:
        found.append((y[:, 0] if isinstance(layer, nn.Conv2d) else y[..., 0]).numel())

    with ExitStack() as hooks, torch.inference_mode():
        for layer in backbone.module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                hooks.enter_context(layer.register_forward_hook(note))
        backbone.module.eval()(torch.zeros(1, 3, backbone.spec.size, backbone.spec.size))
    return min(found, default=0)


def candidate_batch_sizes(model: Predictor) -> tuple[int, ...]:
    """Batch sizes to test; with torch's kernels the last bits of about one image in some dozen depend on the size."""
    if model.engine == "openvino" and min_spatial_positions(model.backbone) >= MIN_POSITIONS:
        return BATCH_SIZES
    return (BATCH,)


def bit_exact_batch_sizes(model: Predictor, shapes: Sequence[int]) -> tuple[int, ...]:
    """The batch sizes that give the same bits as the largest on noise, in ascending order.

    Args:
        model: ``prepare`` was called for them.
        shapes: Batch sizes, each a divisor of the largest.
    """
    rng = np.random.default_rng(0)
    size, largest = model.input_spec.size, max(shapes)
    coarse = rng.integers(0, 256, (largest, 3, size // 8 + 1, size // 8 + 1), dtype=np.uint8)
    smooth = coarse.repeat(8, axis=2).repeat(8, axis=3)[..., :size, :size]
    noise = rng.integers(0, 256, smooth.shape, dtype=np.uint8)
    pixels = torch.from_numpy(np.where(np.arange(largest)[:, None, None, None] % 2, noise, smooth))
    expected = model.forward(pixels, largest)

    def agrees(shape: int) -> bool:
        outputs = zip(*(model.forward(batch, shape) for batch in pixels.split(shape)), strict=True)
        return all(np.array_equal(np.concatenate(a), b) for a, b in zip(outputs, expected, strict=True))

    return tuple(shape for shape in sorted(shapes) if shape == largest or agrees(shape))


class InferenceThread:
    """Runs the network in one thread.

    Args:
        model: From ``load``; nothing else may use it.
        on_batch: Called with the number of images and the seconds of each forward pass.

    Attributes:
        shapes: Batch sizes in use.
    """

    def __init__(self, model: Predictor, on_batch: Callable[[int, float], None] = lambda images, seconds: None) -> None:
        self._model, self._on_batch = model, on_batch
        self._mapper = ClassActivationMapper(model)
        self._waiting: deque[_Request] = deque()
        self._executor = ThreadPoolExecutor(1, "topwork-inference")
        self.shapes: tuple[int, ...] = ()

    def start(self) -> None:
        """Start the thread and wait until the network is ready; what the preparation raises is raised here."""
        self._executor.submit(self._prepare).result()

    def stop(self) -> None:
        """End the thread after the current batch."""
        self._executor.shutdown(cancel_futures=True)

    async def predict(self, name: str, pixels: torch.Tensor, top: int, neighbours: int) -> Prediction:
        """The prediction for an image uint8 (1, 3, S, S), the same bits as ``topwork.predict`` gives."""
        request = _Request(name, pixels, top, neighbours)
        self._waiting.append(request)
        self._executor.submit(self._run_batch)  # does nothing if an earlier batch has taken the image
        return await asyncio.wrap_future(request.result)

    async def maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> ClassActivationMaps | None:
        """Class activation maps of classes, by index, for an image uint8 (1, 3, S, S); None if there are none."""
        return await asyncio.wrap_future(self._executor.submit(self._maps, pixels, classes))

    def _prepare(self) -> None:
        torch.set_num_threads(self._model.compute.threads)  # a setting of each thread
        shapes = candidate_batch_sizes(self._model)
        self._model.prepare(shapes)
        self.shapes = bit_exact_batch_sizes(self._model, shapes)
        self._model.prepare(self.shapes)

    def _maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> ClassActivationMaps | None:
        self._run_batch()  # predictions do not wait for more than one map
        return self._mapper.maps(pixels, classes)

    def _run_batch(self) -> None:
        """Predict the waiting images that fill the largest batch size possible; never waits for more to arrive."""
        waiting = len(self._waiting)
        count = max((shape for shape in self.shapes if shape <= waiting), default=waiting)
        taken = [self._waiting.popleft() for _ in range(count)]
        requests = [request for request in taken if request.result.set_running_or_notify_cancel()]
        try:
            for request, prediction in zip(requests, self._predictions(requests), strict=True):
                request.result.set_result(prediction)
        except Exception as error:  # one failed batch must not end the server
            for request in requests:
                request.result.set_exception(error)

    def _predictions(self, requests: list[_Request]) -> list[Prediction]:
        if not requests:
            return []
        start = time.monotonic()
        scores, features = self._model.forward_all(torch.cat([request.pixels for request in requests]))
        self._on_batch(len(requests), time.monotonic() - start)
        decision = self._model.decision
        found: dict[int, Prediction] = {}
        for top, near in sorted({(request.top, request.neighbours) for request in requests}):
            rows = [i for i, request in enumerate(requests) if (request.top, request.neighbours) == (top, near)]
            outputs = decision.postprocess(scores[rows], features[rows], near)
            names = [requests[i].name for i in rows]
            found |= zip(rows, decision.to_predictions(names, outputs, top, near), strict=True)
        return [found[i] for i in range(len(requests))]
