"""Metrics of the server in the Prometheus text format."""

from __future__ import annotations

from typing import Any

from topwork.serving.capacity import Capacity

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The metrics of one server, in a registry of their own.

    Args:
        capacity: Source of the images and bytes in progress.
        model: Facts about the model, as labels.

    Attributes:
        decoded: Records the seconds that the decoding of an image took.
        decoder_crashed: Counts a decoder process that crashed.
    """

    def __init__(self, capacity: Capacity, model: dict[str, str]) -> None:
        import prometheus_client as prometheus

        prometheus.disable_created_metrics()
        self._text = prometheus.generate_latest
        self._registry = prometheus.CollectorRegistry()
        own: Any = {"registry": self._registry}
        timed: Any = {**own, "buckets": LATENCY_BUCKETS}
        prometheus.ProcessCollector(**own)
        self._requests = prometheus.Counter(
            "topwork_requests", "Requests by path and status.", ["path", "status"], **own
        )
        self._seconds = prometheus.Histogram("topwork_request_duration_seconds", "Request duration.", ["path"], **timed)
        self._images = prometheus.Counter("topwork_images", "Images by result.", ["result"], **own)
        decoding = prometheus.Histogram("topwork_decode_duration_seconds", "Decoding time per image.", **timed)
        self.decoded = decoding.observe
        self._network = prometheus.Histogram(
            "topwork_inference_duration_seconds", "Duration of a forward pass.", **timed
        )
        sizes = (1, 2, 4, 8, 16, 32)
        self._batch = prometheus.Histogram("topwork_batch_size", "Images per forward pass.", buckets=sizes, **own)
        crashes = "Decoder processes that crashed or exceeded a limit."
        self.decoder_crashed = prometheus.Counter("topwork_decoder_crashes", crashes, **own).inc
        waiting = prometheus.Gauge("topwork_images_in_progress", "Images in progress.", **own)
        waiting.set_function(lambda: capacity.images)
        held = prometheus.Gauge("topwork_request_bytes_in_progress", "Bytes of requests in progress.", **own)
        held.set_function(lambda: capacity.memory)
        prometheus.Gauge("topwork_model_info", "The model.", list(model), **own).labels(**model).set(1)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def images(self, ok: int, errors: int) -> None:
        """Count predicted images and images that cannot be used."""
        self._images.labels("ok").inc(ok)
        self._images.labels("error").inc(errors)

    def on_batch(self, images: int, seconds: float) -> None:
        """Record a forward pass."""
        self._network.observe(seconds)
        self._batch.observe(images)

    def text(self) -> bytes:
        """All metrics."""
        return self._text(self._registry)
