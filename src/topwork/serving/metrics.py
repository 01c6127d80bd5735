"""What a server measures of itself, in the Prometheus text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topwork.serving.places import Places

TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one server, in a registry of its own.

    Args:
        places: What is under way is read from there.
        model: Facts about the model, as labels.
    """

    def __init__(self, places: Places, model: dict[str, str]) -> None:
        import prometheus_client as prometheus

        prometheus.disable_created_metrics()
        self._text = prometheus.generate_latest
        self._registry = registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        self._requests = prometheus.Counter(
            "topwork_requests", "Requests that were answered.", ["path", "status"], registry=registry
        )
        self._seconds = prometheus.Histogram(
            "topwork_request_seconds", "From the head of a request to the end of its answer.", ["path"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self._images = prometheus.Counter("topwork_images", "Images that were sent.", ["result"], registry=registry)
        self._decoding = prometheus.Histogram(
            "topwork_decode_seconds", "Decoding of an image.", buckets=SECONDS, registry=registry
        )
        self._network = prometheus.Histogram(
            "topwork_network_seconds", "A pass of the network.", buckets=SECONDS, registry=registry
        )
        self._batch = prometheus.Histogram(
            "topwork_batch_images", "Images of a pass.", buckets=(1, 2, 4, 8, 16, 32), registry=registry
        )
        self._lost = prometheus.Counter(
            "topwork_decoders_lost", "Decoding processes that died or took too long.", registry=registry
        )
        waiting = prometheus.Gauge("topwork_images_waiting", "Images that are being answered.", registry=registry)
        waiting.set_function(lambda: places.images)
        held = prometheus.Gauge("topwork_bytes_held", "Bytes of the requests under way.", registry=registry)
        held.set_function(lambda: places.memory)
        info = prometheus.Gauge("topwork_model_info", "The model.", list(model), registry=registry)
        info.labels(**model).set(1)

    def request(self, path: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def images(self, good: int, bad: int) -> None:
        """So many images were answered, and so many could not be used."""
        self._images.labels("good").inc(good)
        self._images.labels("bad").inc(bad)

    def decoded(self, seconds: float) -> None:
        """An image was decoded or refused."""
        self._decoding.observe(seconds)

    def ran(self, images: int, seconds: float) -> None:
        """The network ran."""
        self._network.observe(seconds)
        self._batch.observe(images)

    def lost(self) -> None:
        """A decoding process is gone."""
        self._lost.inc()

    def text(self) -> bytes:
        """All figures."""
        return self._text(self._registry)
