"""A trained model that predicts batches of decoded images, with the arithmetic of the evaluation after training."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import torch

from topwork.bundle.format import read_bundle
from topwork.bundle.network import build_network
from topwork.bundle.postprocessing import BatchOutputs, DecisionRule
from topwork.compute import devices
from topwork.core import config
from topwork.core.errors import DataError
from topwork.data.transforms import normalize
from topwork.features import engines
from topwork.features.extract import BATCH
from topwork.inference import InferenceOptions
from topwork.inference.locate import ModelLocation, locate_bundle
from topwork.strategies import STRATEGIES
from topwork.strategies.base import head_scores
from topwork.training.image_task import Classifier

AUTO = "auto"


class Predictor:
    """A trained model, as returned by ``topwork.load``.

    Args:
        location: Of its bundle.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.
        precision: ``"float32"``, ``"bfloat16"``, ``"float16"``, or ``"auto"``: as in the evaluation where the hardware
            supports it.
        engine: ``"auto"``: as in the evaluation where it is installed; ``"torch"`` (not compiled), ``"openvino"``, or
            ``"plain"``, the network without any change for speed.
        workers: Number of decoding processes; ``"auto"`` chooses by the number of cores.
        log: Gets a message if results may differ from those of the evaluation.

    Attributes:
        location, bundle: Where the model is from.
        classes, input_spec: As in the bundle.
        compute, engine: Device, precision and engine in use.
        backbone: Normalized images (B, 3, S, S) to features (B, D).
        head: Features float32 (B, D) to scores (B, K), on the CPU.
        decision: Calibration and thresholds.
        batch_sizes: Numbers of images that the network is run on, ascending; smaller batches are padded.
        lock: Held while the network runs, so that threads can share a model.

    Raises:
        DataError, CorruptFile: As for ``read_bundle``.
        UsageError: The device or the engine is not available.
    """

    def __init__(
        self,
        location: ModelLocation,
        *,
        device: str = AUTO,
        precision: str = AUTO,
        engine: str = AUTO,
        workers: int | str = AUTO,
        log: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.location, self.bundle = location, read_bundle(location.bundle)
        self.classes, self.input_spec = self.bundle.classes, self.bundle.input_spec
        self.decision = DecisionRule(self.bundle)
        recorded: dict[str, Any] = self.bundle.metadata.get("inference", {})
        self.compute = _resolve_compute(recorded, device, precision, engine, workers)
        self.backbone, self.head = build_network(self.bundle)
        end_to_end = STRATEGIES[self.bundle.strategy].trains_network
        self.engine = _choose_engine(engine, recorded, self.compute, end_to_end)
        self._log_differences(recorded, log, device=device, precision=precision, engine=engine)
        self._network: Classifier | None = None
        if end_to_end and self.engine == "plain":
            network = Classifier(self.backbone.module, self.head)
            self.compute.to_channels_last(network)
            devices.keep_depthwise_in_float32(network, self.compute)  # evaluation ran the network in this form
            self._network = network.eval()
        self._forwards: dict[int, engines.Forward] = {}
        self.batch_sizes: tuple[int, ...] = (BATCH,)
        self.lock = threading.RLock()

    def _log_differences(self, recorded: dict[str, Any], log: Callable[[str], None], **requested: str) -> None:
        """Log what differs from the evaluation without having been requested."""
        compute, engine = self.compute, engines.version(self.engine)
        now = {"device": compute.device.type, "precision": compute.precision, "engine": engine}
        then = {**recorded, "engine": recorded.get("engine_version")}
        changed = [
            f"{key} {now[key]} instead of {then[key]}"
            for key, value in requested.items()
            if value == AUTO and then.get(key) not in (None, now[key])
        ]
        if changed:
            text = "; ".join(changed)
            log(f"Differs from the evaluation after training: {text}. Results may differ in the last digits.")
        if self.engine == "compiled":
            log("Compiling the network, about 15 s; --engine torch starts immediately.")

    def prepare(self, batch_sizes: Sequence[int] = (BATCH,)) -> None:
        """Make the network ready for these batch sizes; the largest is always ready."""
        self.batch_sizes = tuple(sorted({*batch_sizes}))
        missing = [size for size in self.batch_sizes if size not in self._forwards]
        if missing and self._network is not None:
            self._forwards |= dict.fromkeys(missing, self._network.backbone)
        elif missing:
            self._forwards |= engines.build_engines(self.engine, self.backbone, self.compute, missing)

    def forward_all(self, pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Scores float64 (N, K) and features float32 (N, D) of images uint8 (N, 3, S, S).

        Raises:
            DataError: They are not finite.
        """
        scores = [np.zeros((0, len(self.classes)))]
        features = [np.zeros((0, self.backbone.feature_dim), np.float32)]
        start = 0
        while start < len(pixels):
            left = len(pixels) - start
            size = next((s for s in self.batch_sizes if s >= left), self.batch_sizes[-1])
            batch_scores, batch_features = self.forward(pixels[start : start + size], size)
            scores.append(batch_scores)
            features.append(batch_features)
            start += size
        found = np.concatenate(scores), np.concatenate(features)
        if not all(np.isfinite(array).all() for array in found):
            raise DataError(
                f"The network of {self.location.bundle} gives values that are no finite numbers. Try --precision "
                "float32; if that does not help, the model is damaged."
            )
        return found

    def forward(self, pixels: torch.Tensor, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
        """``forward_all`` of up to ``batch_size`` images in one pass; see ``prepare``."""
        count = len(pixels)
        if count < batch_size:  # with one fixed shape an image's scores do not depend on the number of other images
            pixels = torch.cat([pixels, pixels[-1:].expand(batch_size - count, -1, -1, -1)])
        if batch_size not in self._forwards:
            self.prepare(self.batch_sizes)
        forward = self._forwards[batch_size]
        with self.lock, torch.inference_mode(), self.compute.autocast():
            x = normalize(pixels, self.input_spec, self.compute.device)
            y = forward(x)
            if self.bundle.mirrored:
                y = (y.float() + forward(x.flip(3)).float()) * 0.5
            features = y[:count].float().cpu().numpy()
            if self._network is not None:
                return self._network.head(y)[:count].float().cpu().numpy().astype(np.float64), features
        return head_scores(self.head, features), features

    def predict_batch(self, pixels: torch.Tensor, neighbours: int = 0) -> BatchOutputs:
        """Outputs for images uint8 (N, 3, S, S), with at least ``neighbours`` nearest training images."""
        return self.decision.postprocess(*self.forward_all(pixels), neighbours)


def load(
    run: str | os.PathLike[str],
    *,
    log: Callable[[str], None] = lambda line: None,
    **options: Unpack[InferenceOptions],
) -> Predictor:
    """Load the model of a run, of a comparison (its recommended strategy), or of a bundle.

    Args:
        run: Its folder.
        log: Gets messages, for instance which model of a comparison was chosen.
        **options: ``device``, ``precision``, ``engine``, ``workers``; see ``Predictor``.

    >>> model = load(run, device="cpu")
    >>> len(model.classes)
    3
    """
    location = locate_bundle(run)
    if location.note:
        log(f"Model     {location.note}")
    return Predictor(location, log=log, **options)


def _resolve_compute(
    recorded: dict[str, Any], device: str, precision: str, engine: str, workers: int | str
) -> devices.DeviceContext:
    """Device and precision of the evaluation, as far as this machine has them."""
    engine = AUTO if engine == "plain" else engine
    requested = {"device": device, "precision": precision, "engine": engine, "workers": workers}
    compute, _ = devices.resolve(config.validate(config.ComputeConfig, requested, "compute"))
    if precision == AUTO and recorded.get("precision") == "float32":  # available everywhere
        return replace(compute, precision="float32")
    return compute


def _choose_engine(requested: str, recorded: dict[str, Any], compute: devices.DeviceContext, end_to_end: bool) -> str:
    """The requested engine, or that of the evaluation where it is installed, or the fastest without compilation."""
    available = [*engines.available(compute), "plain"]
    if requested == "plain" or (requested == AUTO and "engine" not in recorded and end_to_end):
        return "plain"
    if requested == AUTO and recorded.get("engine") in available:
        return recorded["engine"]
    return next(name for name in available if name != "compiled")
