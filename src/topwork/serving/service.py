"""What the endpoints do, without HTTP: images in, plain JSON out."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from topwork.bundle.postprocessing import Prediction
from topwork.core import config
from topwork.core.errors import TopworkError
from topwork.data.decoder import NETWORK_INPUT, DecoderLimits, Request
from topwork.data.decoder_pool import DecoderPool
from topwork.data.images import UnreadableImage
from topwork.features import engines
from topwork.inference.class_maps import ClassMap, overlay
from topwork.inference.locate import ModelLocation
from topwork.inference.prediction_writer import as_dict
from topwork.inference.predictor import Predictor
from topwork.inference.training_data import origin_of
from topwork.report.results import Run
from topwork.serving.batching import Network
from topwork.serving.bodies import Upload
from topwork.serving.metrics import Metrics
from topwork.serving.originals import Originals
from topwork.serving.places import Places
from topwork.serving.refusals import Refused
from topwork.serving.settings import Limits

AHEAD = 32  # images of a request that are under way at a time, so that one of many does not hold up one of few
MOST_MAPS = 20  # classes that are explained at once


class Service:
    """A model, the processes that decode for it, and the thread that runs it.

    Args:
        model: From ``load``.
        limits: What is allowed.
    """

    def __init__(self, model: Predictor, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.places = Places(limits)
        bundle = model.bundle
        facts = {"strategy": bundle.strategy, "model": bundle.model, "engine": model.engine}
        self.metrics = Metrics(self.places, {**facts, "topwork": version("topwork")})
        number = max(2, model.compute.workers)  # with one, a slow image would hold up all others
        decoder_limits = DecoderLimits(limits.pixels, limits.decode)
        self.decoders = DecoderPool(number, decoder_limits, self.metrics.decoded, self.metrics.lost)
        self.network = Network(model, self.metrics.ran)
        self.originals = Originals(
            model, None if _is_remote(model.location) else origin_of(model.location), self.decoders
        )

    async def predict(self, uploads: Sequence[Upload], top: int, neighbours: int) -> list[dict[str, Any]]:
        """The rows that ``topwork predict`` writes, and where neighbours can be seen.

        Raises:
            Refused: There is no room.
        """
        ahead = asyncio.Semaphore(AHEAD)

        async def one(upload: Upload) -> Prediction:
            async with ahead:
                try:
                    pixels = await self.pixels(upload)
                except UnreadableImage as error:
                    return Prediction(upload.name, error=error.reason)
                return await self.network.predict(upload.name, pixels, top, neighbours)

        with self.places.taken(len(uploads)):
            found = await _all(one(upload) for upload in uploads)
        bad = sum(bool(prediction.error) for prediction in found)
        self.metrics.images(len(found) - bad, bad)
        return [self._row(prediction) for prediction in found]

    def _row(self, prediction: Prediction) -> dict[str, Any]:
        row = as_dict(prediction)
        for neighbour in row.get("neighbours", ()):
            neighbour["photo"] = self.originals.path_of(neighbour["image"])
        return row

    async def pixels(self, upload: Upload) -> torch.Tensor:
        """What the network sees of an image, uint8 (1, 3, S, S).

        Raises:
            UnreadableImage: It cannot be used.
        """
        size = self.model.input_spec.size
        request = Request(NETWORK_INPUT, data=upload.data, spec=self.model.input_spec)
        _, data = await asyncio.wrap_future(self.decoders.submit(request))
        pixels = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        return pixels.view(1, size, size, 3).permute(0, 3, 1, 2)  # channels last in memory, as networks like it

    def numbers(self, labels: Sequence[str]) -> list[int]:
        """The numbers of classes by their names.

        Raises:
            Refused: There is no such class, or they are too many.
        """
        if len(labels) > MOST_MAPS:
            raise Refused(f"At most {MOST_MAPS} classes are explained at once.")
        known = {_plain(name): number for number, name in enumerate(self.model.classes)}
        for label in labels:
            if label not in known:
                raise Refused(f"There is no class {label!r}; GET /model names them all.", HTTPStatus.NOT_FOUND)
        return [known[label] for label in labels]

    async def explain(self, upload: Upload, labels: Sequence[str]) -> tuple[np.ndarray, list[ClassMap]]:
        """Class maps of one image, of the best class if none is named.

        Returns:
            What the network sees, uint8 (S, S, 3), and the maps.

        Raises:
            Refused: There is no room, or no such class.
            UnreadableImage: The image cannot be used.
        """
        numbers = self.numbers(labels)
        with self.places.taken(1):
            pixels = await self.pixels(upload)
            if not numbers:
                best = await self.network.predict(upload.name, pixels, 1, 0)
                numbers = [self.model.classes.index(best.label)]
            maps = await self.network.maps(pixels, numbers)
        return pixels[0].permute(1, 2, 0).numpy(), maps

    @property
    def region(self) -> list[float]:
        """Left, top, width and height of what the network sees, as shares of a photograph."""
        spec = self.model.input_spec
        edge = (spec.resize_size - spec.size) // 2 / spec.resize_size
        return [edge, edge, spec.crop_pct, spec.crop_pct]

    def about(self) -> dict[str, Any]:
        """What ``/model`` says."""
        model, bundle, limits = self.model, self.model.bundle, self.limits
        test = _test_of(model.location)
        return {
            "name": _name_of(model.location),
            "strategy": bundle.strategy,
            "model": bundle.model,
            "classes": list(model.classes),
            "input": {"size": model.input_spec.size, "resize": model.input_spec.resize_size, "view": self.region},
            "decision": {
                "confidence_threshold": model.decision.confidence_threshold,
                "ood_threshold": model.decision.ood_threshold,
                "temperature": model.decision.temperature,
            },
            "test": test,
            "data": bundle.metadata.get("data") or {},
            "licenses": {name: str(bundle.metadata.get(f"{name}_license", "")) for name in ("weights", "data")},
            "inference": {
                "engine": engines.version(model.engine),
                "precision": model.compute.precision,
                "device": model.compute.device.type,
                "shapes": list(self.network.shapes),
            },
            "shows_training": self.originals.any,
            "limits": {
                "body_bytes": limits.body,
                "files": limits.files,
                "pixels": limits.pixels,
                "decode_seconds": limits.decode,
                "queue_images": limits.queue,
            },
            "topwork": version("topwork"),
        }

    def check(self) -> None:
        """Whether it still works.

        Raises:
            Refused: It does not, and must be started again.
        """
        if self.network.failure:
            raise Refused("The network has failed. Start the server again.", HTTPStatus.INTERNAL_SERVER_ERROR)


def picture(pixels: np.ndarray, one: ClassMap) -> bytes:
    """A class map over what the network sees, as a PNG."""
    file = io.BytesIO()
    overlay(pixels, one.values).save(file, "PNG")
    return file.getvalue()


async def _all(work: Any) -> list[Any]:
    """All results in order; if one fails or nobody waits any more, the rest is not begun."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _plain(name: str) -> str:
    """A name as it can be sent: what is no Unicode in it is replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _name_of(place: ModelLocation) -> str:
    """The folder's name; of a run in a comparison, that of both."""
    folder = (place.run or place.bundle).resolve()
    inside = place.run is not None and (folder.parent / "run.json").is_file()
    return _plain(f"{folder.parent.name}/{folder.name}" if inside else folder.name)


def _test_of(place: ModelLocation) -> dict[str, Any] | None:
    try:
        test = Run(place.run).metrics["test"] if place.run else None
        return test and {"images": test["images"], "accuracy": test["accuracy"]}
    except (OSError, KeyError, TypeError, ValueError, TopworkError):
        return None


def _is_remote(place: ModelLocation) -> bool:
    """Whether asking for the run's data set could ask the network."""
    try:
        return place.run is None or config.read(place.run / "config.toml").data.path.startswith("hf:")
    except (OSError, ValueError, TopworkError):
        return True
