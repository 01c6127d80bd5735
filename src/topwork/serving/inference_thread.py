"""The thread that runs the network: images that wait together form a batch, of a size that gives the same bits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.backbones import Backbone
from topwork.bundle.postprocessing import Prediction
from topwork.features.extract import BATCH
from topwork.inference.class_activation_maps import ClassActivationMap, ClassActivationMapper
from topwork.inference.predictor import Predictor

BATCH_SIZES = (1, 4, BATCH)
MIN_POSITIONS = 49  # in every layer; from here on OpenVINO adds in the same order for any batch size


@dataclass
class _InferenceRequest:
    pixels: torch.Tensor
    name: str = ""
    top: int = 0
    neighbours: int = 0
    classes: Sequence[int] = ()
    result: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


def min_spatial_positions(backbone: Backbone) -> int:
    """The smallest number of spatial positions in the output of a convolutional or linear layer, from one pass."""
    found: list[int] = []

    def note(layer: nn.Module, _: Any, y: torch.Tensor) -> None:
        found.append((y[:, 0] if isinstance(layer, nn.Conv2d) else y[..., 0]).numel())

    layers = [layer for layer in backbone.module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.inference_mode():
            backbone.module.eval()(torch.zeros(1, 3, backbone.spec.size, backbone.spec.size))
    finally:
        for hook in hooks:
            hook.remove()
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
    """Runs the network in a thread.

    Args:
        model: From ``load``; nothing else may use it.
        on_batch: Called with the number of images and the seconds of each forward pass.

    Attributes:
        shapes: Batch sizes in use.
        failure: The error that ended the thread; None while it runs.
    """

    def __init__(self, model: Predictor, on_batch: Callable[[int, float], None] = lambda images, seconds: None) -> None:
        self._model, self._on_batch = model, on_batch
        self._mapper = ClassActivationMapper(model)
        self._images: deque[_InferenceRequest] = deque()
        self._maps: deque[_InferenceRequest] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="topwork-inference", daemon=True)
        self.shapes: tuple[int, ...] = ()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread and wait until the network is ready.

        Raises:
            Exception: The network cannot be prepared.
        """
        self._thread.start()
        self._ready.wait()
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        """End the thread after the current batch."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    async def predict(self, name: str, pixels: torch.Tensor, top: int, neighbours: int) -> Prediction:
        """The prediction for an image uint8 (1, 3, S, S), the same bits as ``topwork.predict`` gives."""
        return await self._add(self._images, _InferenceRequest(pixels, name, top, neighbours))

    async def maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> list[ClassActivationMap]:
        """Class activation maps of classes, by index, for an image uint8 (1, 3, S, S)."""
        return await self._add(self._maps, _InferenceRequest(pixels, classes=classes))

    async def _add(self, queue: deque[_InferenceRequest], job: _InferenceRequest) -> Any:
        with self._changed:
            if self.failure:
                raise RuntimeError("the inference thread has crashed") from self.failure
            queue.append(job)
            self._changed.notify()
        return await job.result

    def _main(self) -> None:
        try:
            torch.set_num_threads(self._model.compute.threads)  # a setting of each thread
            shapes = candidate_batch_sizes(self._model)
            self._model.prepare(shapes)
            self.shapes = bit_exact_batch_sizes(self._model, shapes)
            self._model.prepare(self.shapes)
            self._ready.set()
            while self._wait():
                self._run(self._next_batch(), self._predictions)
                with self._changed:
                    jobs = [self._maps.popleft()] if self._maps else []
                self._run([job for job in jobs if not job.result.done()], self._class_maps)
        except BaseException as error:
            self.failure = error
            for job in [*self._images, *self._maps]:
                _resolve(job, error=RuntimeError("the inference thread has crashed"))
            self._ready.set()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._images or self._maps or self._stopped)
            return not self._stopped

    def _next_batch(self) -> list[_InferenceRequest]:
        """The requests that fill the largest batch size possible; never waits for more to arrive."""
        with self._changed:
            while self._images and self._images[0].result.done():
                self._images.popleft()  # cancelled
            count = max((shape for shape in self.shapes if shape <= len(self._images)), default=len(self._images))
            return [self._images.popleft() for _ in range(count)]

    def _run(self, jobs: list[_InferenceRequest], compute: Callable[[list[_InferenceRequest]], list[Any]]) -> None:
        if not jobs:
            return
        try:
            for job, result in zip(jobs, compute(jobs), strict=True):
                _resolve(job, result)
        except Exception as error:  # one failed batch must not end the server
            for job in jobs:
                _resolve(job, error=error)

    def _predictions(self, jobs: list[_InferenceRequest]) -> list[Prediction]:
        start = time.monotonic()
        scores, features = self._model.forward_all(torch.cat([job.pixels for job in jobs]))
        self._on_batch(len(jobs), time.monotonic() - start)
        decision = self._model.decision
        found: dict[int, Prediction] = {}
        for top, near in sorted({(job.top, job.neighbours) for job in jobs}):
            rows = [i for i, job in enumerate(jobs) if (job.top, job.neighbours) == (top, near)]
            rated = decision.postprocess(scores[rows], features[rows], near)
            found |= zip(rows, decision.to_predictions([jobs[i].name for i in rows], rated, top, near), strict=True)
        return [found[i] for i in range(len(jobs))]

    def _class_maps(self, jobs: list[_InferenceRequest]) -> list[list[ClassActivationMap]]:
        return [self._mapper.maps(job.pixels, job.classes) for job in jobs]


def _resolve(job: _InferenceRequest, result: Any = None, error: Exception | None = None) -> None:
    def set_result() -> None:
        if job.result.done():
            return
        if error is None:
            job.result.set_result(result)
        else:
            job.result.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop is closed
        job.result.get_loop().call_soon_threadsafe(set_result)
