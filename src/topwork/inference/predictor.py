"""A model bundle at work: pixels in, scores out, by the same arithmetic as the evaluation of its training."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from topwork.backbones import Backbone
from topwork.bundle.format import read_bundle
from topwork.bundle.network import build
from topwork.bundle.postprocessing import Answers, Decision
from topwork.compute import devices
from topwork.core import config
from topwork.core.artifacts import InputSpec
from topwork.data.transforms import normalise
from topwork.features import engines
from topwork.features.extract import BATCH
from topwork.inference.locate import ModelLocation, locate_bundle
from topwork.strategies import STRATEGIES
from topwork.strategies.base import head_scores
from topwork.training.image_task import Classifier

AUTO = "auto"


class Predictor:
    """What ``topwork.load`` gives: a trained model that answers.

    Args:
        place: Where its bundle lies.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
        precision: ``"auto"`` for that of the evaluation where the hardware has it, or ``"float32"``, ``"bfloat16"``,
            ``"float16"``.
        engine: ``"auto"`` for that of the evaluation where it is installed, or a name in ``compute.engine``.
        workers: Processes that decode; ``"auto"`` by the number of cores.
        log: Where it is told what differs from the evaluation.

    Attributes:
        bundle, place, compute, engine: What works.
        decision: Calibration and thresholds.
        shapes: Numbers of images that are run at once, rising; fewer are filled up.
        busy: Held while the network runs, so that threads can share a model.

    Raises:
        DataError, DamagedFile: There is no such bundle.
        UsageError: No such device or engine.
    """

    def __init__(
        self,
        place: ModelLocation,
        device: str = AUTO,
        precision: str = AUTO,
        engine: str = AUTO,
        workers: int | str = AUTO,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.place, self.bundle = place, read_bundle(place.bundle)
        self.decision = Decision(self.bundle)
        self._say = log
        recorded: dict[str, Any] = self.bundle.details.get("arithmetic", {})
        self.compute = _compute(recorded, device, precision, workers)
        self._whole = STRATEGIES[self.bundle.strategy].trains_network
        self._backbone, self._head = build(self.bundle)
        self.engine = self._choose(engine, recorded)
        self._tell(recorded, asked=(device, precision, engine))
        self._network: Classifier | None = self._trained_network() if self._whole else None
        self._forwards: dict[int, engines.Forward] = {}
        self.shapes: tuple[int, ...] = (BATCH,)
        self.busy = threading.RLock()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the scores."""
        return self.bundle.classes

    @property
    def spec(self) -> InputSpec:
        """What the network is fed."""
        return self.bundle.spec

    def _choose(self, asked: str, recorded: dict[str, Any]) -> str:
        there = [*engines.available(self.compute), "plain"]
        if asked != AUTO:
            wanted = there[0] if asked == "best" else asked
            return config.validate(config.ComputeConfig, {"engine": wanted}, "compute").engine
        if "engine" not in recorded:
            return "plain" if self._whole else next(name for name in there if name != "compiled")
        if recorded["engine"] in there:
            return recorded["engine"]
        return next(name for name in there if name != "compiled")

    def _tell(self, recorded: dict[str, Any], asked: tuple[str, str, str]) -> None:
        """Say what is not as it was in evaluation, where nobody asked for that."""
        now = {
            "device": self.compute.device.type,
            "precision": self.compute.precision,
            "engine": engines.version(self.engine),
        }
        then = {"engine": recorded.get("engine_version"), **{k: recorded.get(k) for k in ("device", "precision")}}
        changed = [
            f"{key} {now[key]} instead of {then[key]}"
            for key, wish in zip(now, asked, strict=True)
            if wish == AUTO and then[key] not in (None, now[key])
        ]
        if changed:
            self._say(f"Not as in the evaluation of training: {'; '.join(changed)}. The last bits may differ.")
        if self.engine == "compiled":
            self._say("The network is compiled first, which takes some 15 s; --engine folded starts at once.")

    def _trained_network(self) -> Classifier | None:
        if self.engine != "plain":
            return None
        network = Classifier(self._backbone.module, self._head)
        self.compute.to_channels_last(network)
        devices.keep_depthwise_in_float32(network, self.compute)  # evaluation ran the network so
        return network.eval()

    def prepare(self, shapes: Sequence[int] = (BATCH,)) -> None:
        """Make the network ready for some numbers of images at once; the largest is always ready."""
        self.shapes = tuple(sorted({*shapes}))
        missing = [shape for shape in self.shapes if shape not in self._forwards]
        if not missing:
            return
        if self._network is not None:
            self._forwards |= dict.fromkeys(missing, self._network.backbone)
        else:
            self._forwards |= engines.build_engines(self.engine, self._backbone, self.compute, missing)

    def outputs(self, pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Scores float64 (N, K) and features float32 (N, D) of images uint8 (N, 3, S, S)."""
        scores, features = [], []
        start = 0
        while start < len(pixels):
            left = len(pixels) - start
            shape = next((s for s in self.shapes if s >= left), self.shapes[-1])
            s, f = self.run(pixels[start : start + shape], shape)
            scores.append(s)
            features.append(f)
            start += shape
        if not scores:
            return np.zeros((0, len(self.classes))), np.zeros((0, self._backbone.feature_dim), np.float32)
        return np.concatenate(scores), np.concatenate(features)

    def run(self, pixels: torch.Tensor, shape: int) -> tuple[np.ndarray, np.ndarray]:
        """``outputs`` of at most ``shape`` images, filled up to so many; ``shape`` was prepared."""
        count = len(pixels)
        if count < shape:  # with one fixed shape an image's scores do not depend on how many others there are
            pixels = torch.cat([pixels, pixels[-1:].expand(shape - count, -1, -1, -1)])
        if shape not in self._forwards:
            self.prepare(self.shapes)
        forward = self._forwards[shape]
        with self.busy, torch.inference_mode(), self.compute.autocast():
            y = forward(normalise(pixels, self.spec, self.compute.device))
            features = y[:count].float().cpu().numpy()
            if self._network is not None:
                return self._network.head(y)[:count].float().cpu().numpy().astype(np.float64), features
        return head_scores(self._head, features), features

    def answers(self, pixels: torch.Tensor, neighbours: int = 0) -> Answers:
        """What it says about images uint8 (N, 3, S, S), with so many nearest training images at least."""
        return self.decision.answers(*self.outputs(pixels), neighbours)

    @property
    def head(self) -> nn.Module:
        """Features float32 (B, D) to scores (B, K), on the CPU."""
        return self._head

    @property
    def backbone(self) -> Backbone:
        """The network without its head."""
        return self._backbone


def load(
    run: str | os.PathLike[str],
    *,
    device: str = AUTO,
    precision: str = AUTO,
    engine: str = AUTO,
    workers: int | str = AUTO,
    log: Callable[[str], None] = lambda line: None,
) -> Predictor:
    """Open a run, a comparison (the best on val) or a bundle for use; see ``Predictor``."""
    place = locate_bundle(run)
    if place.note:
        log(f"Model     {place.note}")
    return Predictor(place, device, precision, engine, workers, log)


def _compute(recorded: dict[str, Any], device: str, precision: str, workers: int | str) -> devices.DeviceContext:
    """That of the evaluation, as far as this machine has it."""
    wish = config.validate(
        config.ComputeConfig, {"device": device, "precision": precision, "workers": workers}, "compute"
    )
    compute, _ = devices.resolve(wish)
    if precision == AUTO and recorded.get("precision") == "float32":  # possible everywhere
        return replace(compute, precision="float32")
    return compute
