"""What the endpoints do, without HTTP: from uploads to JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from topwork.bundle.postprocessing import Prediction
from topwork.core.errors import TopworkError
from topwork.data.decoder import NETWORK_INPUT, DecoderLimits, Request
from topwork.data.decoder_pool import DecoderPool
from topwork.data.images import UnreadableImage
from topwork.explain.attribution import ClassActivationMaps
from topwork.features import engines
from topwork.inference.locate import ModelLocation, locate_training_data
from topwork.inference.prediction_writer import as_dict
from topwork.inference.predictor import Predictor
from topwork.report.results import Run
from topwork.serving.capacity import Capacity, RequestRejected
from topwork.serving.inference_thread import InferenceThread
from topwork.serving.metrics import Metrics
from topwork.serving.settings import Limits
from topwork.serving.training_thumbnails import TrainingThumbnails
from topwork.serving.uploads import Upload

MAX_IN_FLIGHT_PER_REQUEST = 32  # so that a request of many images does not delay one of few
MAX_CLASSES_TO_EXPLAIN = 20  # per request
DECISION_FIELDS = ("confidence_threshold", "ood_threshold", "temperature")
PUBLISHED_LIMITS = ("max_body_bytes", "max_files", "max_pixels", "max_decode_seconds", "max_images_in_progress")


class Service:
    """A model from ``load`` with its decoder processes and its inference thread."""

    def __init__(self, model: Predictor, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.capacity = Capacity(limits)
        bundle = model.bundle
        facts = {"strategy": bundle.strategy, "model": bundle.model, "engine": model.engine}
        self.metrics = Metrics(self.capacity, {**facts, "topwork": version("topwork")})
        number = max(2, model.compute.workers)  # with one, a slow image would delay all others
        decoder_limits = DecoderLimits(limits.max_pixels, limits.max_decode_seconds)
        self.decoders = DecoderPool(number, decoder_limits, self.metrics.decoded, self.metrics.decoder_crashed)
        self.network = InferenceThread(model, self.metrics.on_batch)
        origin = locate_training_data(model.location)
        self.thumbnails = TrainingThumbnails(model, origin, self.decoders)

    async def predict(self, uploads: Sequence[Upload], top: int, neighbours: int) -> list[dict[str, Any]]:
        """The rows that ``topwork predict`` writes, with thumbnails of the neighbours.

        Raises:
            RequestRejected: The server is busy.
        """
        ahead = asyncio.Semaphore(MAX_IN_FLIGHT_PER_REQUEST)

        async def one(upload: Upload) -> Prediction:
            async with ahead:
                try:
                    pixels = await self.pixels(upload)
                except UnreadableImage as error:
                    return Prediction(upload.name, error=error.reason)
                return await self.network.predict(upload.name, pixels, top, neighbours)

        with self.capacity.reserve_images(len(uploads)):
            found = await _all(one(upload) for upload in uploads)
        bad = sum(bool(prediction.error) for prediction in found)
        self.metrics.images(len(found) - bad, bad)
        rows = [as_dict(prediction) for prediction in found]
        for neighbour in (neighbour for row in rows for neighbour in row.get("neighbours", ())):
            neighbour["thumbnail_url"] = self.thumbnails.url_path(neighbour["image"])
        return rows

    async def pixels(self, upload: Upload) -> torch.Tensor:
        """The input of the network for an image, uint8 (1, 3, S, S).

        Raises:
            UnreadableImage: It cannot be used.
        """
        size = self.model.input_spec.size
        request = Request(NETWORK_INPUT, data=upload.data, spec=self.model.input_spec)
        _, data = await asyncio.wrap_future(self.decoders.submit(request))
        pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return pixels.view(1, size, size, 3).permute(0, 3, 1, 2)  # channels last in memory

    async def explain(self, upload: Upload, labels: Sequence[str]) -> tuple[np.ndarray, ClassActivationMaps | None]:
        """Class activation maps of one image, of the predicted class if none is named.

        Returns:
            The input of the network, uint8 (S, S, 3), and the maps.

        Raises:
            RequestRejected: The server is busy, a class is unknown, or there are too many.
            UnreadableImage: The image cannot be used.
        """
        if len(labels) > MAX_CLASSES_TO_EXPLAIN:
            raise RequestRejected(f"At most {MAX_CLASSES_TO_EXPLAIN} classes per request.")
        known = {_valid_unicode(name): number for number, name in enumerate(self.model.classes)}
        for label in labels:
            if label not in known:
                raise RequestRejected(f"Unknown class {label!r}. GET /model lists all classes.", HTTPStatus.NOT_FOUND)
        with self.capacity.reserve_images(1):
            pixels = await self.pixels(upload)
            classes = [known[label] for label in labels]
            if not classes:
                best = await self.network.predict(upload.name, pixels, 1, 0)
                classes = [self.model.classes.index(best.label)]
            maps = await self.network.maps(pixels, classes)
        return pixels[0].permute(1, 2, 0).numpy(), maps

    @property
    def region(self) -> list[float]:
        """Left, top, width and height of the area that the network sees, as shares of the image."""
        spec = self.model.input_spec
        edge = (spec.resize_size - spec.size) // 2 / spec.resize_size
        return [edge, edge, spec.crop_pct, spec.crop_pct]

    def model_info(self) -> dict[str, Any]:
        """The response of ``/model``."""
        model, bundle = self.model, self.model.bundle
        return {
            "name": _name_of(model.location),
            "strategy": bundle.strategy,
            "model": bundle.model,
            "classes": list(model.classes),
            "input": {"size": model.input_spec.size, "resize": model.input_spec.resize_size, "region": self.region},
            "decision": {name: getattr(model.decision, name) for name in DECISION_FIELDS},
            "test": _test_of(model.location),
            "data": bundle.metadata.get("data") or {},
            "licenses": {name: str(bundle.metadata.get(f"{name}_license", "")) for name in ("weights", "data")},
            "inference": {
                "engine": engines.version(model.engine),
                "precision": model.compute.precision,
                "device": model.compute.device.type,
                "batch_sizes": list(self.network.shapes),
            },
            "has_training_thumbnails": self.thumbnails.available,
            "limits": {name: getattr(self.limits, name) for name in PUBLISHED_LIMITS},
            "topwork": version("topwork"),
        }


async def _all(work: Any) -> list[Any]:
    """All results in order; if one fails or the request is cancelled, the rest is cancelled."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _valid_unicode(name: str) -> str:
    """A name in which characters that are not valid Unicode are replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _name_of(location: ModelLocation) -> str:
    """The folder's name; of a run in a comparison, that of both."""
    folder = (location.run or location.bundle).resolve()
    inside = location.run is not None and (folder.parent / "run.json").is_file()
    return _valid_unicode(f"{folder.parent.name}/{folder.name}" if inside else folder.name)


def _test_of(location: ModelLocation) -> dict[str, Any] | None:
    try:
        test = Run(location.run).metrics["test"] if location.run else None
        return test and {"images": test["images"], "accuracy": test["accuracy"]}
    except (OSError, KeyError, TypeError, ValueError, TopworkError):
        return None
