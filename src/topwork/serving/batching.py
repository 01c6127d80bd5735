"""The thread of the network: whatever waits is run at once, in one of a few shapes that give the same bits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.backbones import Backbone
from topwork.bundle.postprocessing import Prediction
from topwork.features.extract import BATCH
from topwork.inference.class_maps import ClassMap, Mapper
from topwork.inference.predictor import Predictor

SHAPES = (1, 4, BATCH)
ENOUGH = 49  # places of an image in every layer, from which OpenVINO sums in one order for any number of images


@dataclass
class _Job:
    pixels: torch.Tensor
    result: asyncio.Future[Any]
    name: str = ""
    top: int = 0
    neighbours: int = 0
    classes: Sequence[int] = ()


def fewest_places(backbone: Backbone) -> int:
    """The smallest number of places of an image that a layer with sums over channels works on, from one pass."""
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


def possible_shapes(model: Predictor) -> tuple[int, ...]:
    """Numbers of images to run at once; torch's kernels round otherwise for few, in one of some dozen images."""
    if model.engine == "openvino" and fewest_places(model.backbone) >= ENOUGH:
        return SHAPES
    return (BATCH,)


def same_shapes(model: Predictor, shapes: Sequence[int]) -> tuple[int, ...]:
    """The shapes that give the same bits as the largest, rising; found by running them on noise.

    Args:
        model: ``prepare`` was called for them.
        shapes: Numbers of images, each a divisor of the largest.
    """
    rng = np.random.default_rng(0)
    size, largest = model.input_spec.size, max(shapes)
    coarse = rng.integers(0, 256, (largest, 3, size // 8 + 1, size // 8 + 1), dtype=np.uint8)
    smooth = coarse.repeat(8, axis=2).repeat(8, axis=3)[..., :size, :size]
    noise = rng.integers(0, 256, smooth.shape, dtype=np.uint8)
    pixels = torch.from_numpy(np.where(np.arange(largest)[:, None, None, None] % 2, noise, smooth))
    wanted = model.forward(pixels, largest)

    def agrees(shape: int) -> bool:
        parts = [model.forward(part, shape) for part in pixels.split(shape)]
        return all(
            np.array_equal(np.concatenate(found), there)
            for found, there in zip(zip(*parts, strict=True), wanted, strict=True)
        )

    return tuple(shape for shape in sorted(shapes) if shape == largest or agrees(shape))


class Network:
    """Runs the network in a thread of its own.

    Args:
        model: From ``load``; nothing else may use it.
        ran: Told the images and the seconds of each pass.

    Attributes:
        shapes: Numbers of images that are run at once.
        failure: What ended the thread; None while it works.
    """

    def __init__(self, model: Predictor, ran: Callable[[int, float], None] = lambda images, seconds: None) -> None:
        self._model, self._ran = model, ran
        self._mapper = Mapper(model)
        self._images: deque[_Job] = deque()
        self._maps: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="topwork-network", daemon=True)
        self.shapes: tuple[int, ...] = ()
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread and wait until the network is ready.

        Raises:
            Exception: Whatever kept it from being so.
        """
        self._thread.start()
        self._ready.wait()
        if self.failure:
            raise self.failure

    def stop(self) -> None:
        """End the thread after what it is at."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    async def predict(self, name: str, pixels: torch.Tensor, top: int, neighbours: int) -> Prediction:
        """What ``topwork.predict`` says about an image uint8 (1, 3, S, S); the same to the last bit."""
        return await self._add(self._images, _Job(pixels, _future(), name, top, neighbours))

    async def maps(self, pixels: torch.Tensor, classes: Sequence[int]) -> list[ClassMap]:
        """The maps of classes, by their numbers, for one image uint8 (1, 3, S, S)."""
        return await self._add(self._maps, _Job(pixels, _future(), classes=classes))

    async def _add(self, line: deque[_Job], job: _Job) -> Any:
        with self._changed:
            if self.failure:
                raise RuntimeError("the network has failed") from self.failure
            line.append(job)
            self._changed.notify()
        return await job.result

    def _main(self) -> None:
        try:
            torch.set_num_threads(self._model.compute.threads)  # each thread has a number of its own
            shapes = possible_shapes(self._model)
            self._model.prepare(shapes)
            self.shapes = same_shapes(self._model, shapes)
            self._model.prepare(self.shapes)
            self._ready.set()
            while self._wait():
                self._run(self._take(), self._predictions)
                with self._changed:
                    one = [self._maps.popleft()] if self._maps else []
                self._run([job for job in one if not job.result.done()], self._class_maps)
        except BaseException as error:
            self.failure = error
            for job in [*self._images, *self._maps]:
                _tell(job, error=RuntimeError("the network has failed"))
            self._ready.set()

    def _wait(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._images or self._maps or self._stopped)
            return not self._stopped

    def _take(self) -> list[_Job]:
        """As many as fill the largest shape that can be filled; nothing waits for more to come."""
        with self._changed:
            while self._images and self._images[0].result.done():
                self._images.popleft()  # nobody waits for it any more
            count = max((shape for shape in self.shapes if shape <= len(self._images)), default=len(self._images))
            return [self._images.popleft() for _ in range(count)]

    def _run(self, jobs: list[_Job], answer: Callable[[list[_Job]], list[Any]]) -> None:
        if not jobs:
            return
        try:
            for job, result in zip(jobs, answer(jobs), strict=True):
                _tell(job, result)
        except Exception as error:  # one bad pass must not end the server
            for job in jobs:
                _tell(job, error=error)

    def _predictions(self, jobs: list[_Job]) -> list[Prediction]:
        start = time.monotonic()
        scores, features = self._model.forward_all(torch.cat([job.pixels for job in jobs]))
        self._ran(len(jobs), time.monotonic() - start)
        decision = self._model.decision
        found: dict[int, Prediction] = {}
        for top, near in sorted({(job.top, job.neighbours) for job in jobs}):
            rows = [i for i, job in enumerate(jobs) if (job.top, job.neighbours) == (top, near)]
            answers = decision.postprocess(scores[rows], features[rows], near)
            found |= zip(rows, decision.to_predictions([jobs[i].name for i in rows], answers, top, near), strict=True)
        return [found[i] for i in range(len(jobs))]

    def _class_maps(self, jobs: list[_Job]) -> list[list[ClassMap]]:
        return [self._mapper.maps(job.pixels, job.classes) for job in jobs]


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _tell(job: _Job, result: Any = None, error: Exception | None = None) -> None:
    def tell() -> None:
        if job.result.done():
            return
        if error is None:
            job.result.set_result(result)
        else:
            job.result.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
        job.result.get_loop().call_soon_threadsafe(tell)
