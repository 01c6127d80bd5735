"""The processes of a training besides rank 0: they train together with it and write nothing."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from topwork.compute import collectives, devices
from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import Config, validate
from topwork.core.image_ref import ImageRef
from topwork.core.progress import make_progress
from topwork.core.signals import Signals
from topwork.data.splits import splits_of
from topwork.features import FeatureStore
from topwork.pipeline.outputs import evaluate_as_worker
from topwork.pipeline.setup import make_context
from topwork.strategies import STRATEGIES, load
from topwork.training.callbacks import Notifier
from topwork.training.context import RunContext

_ROW = [field.name for field in fields(ImageRow)]
_MANIFEST = [field.name for field in fields(Manifest) if field.name not in {"root", "rows", "refs"}]


def broadcast_manifest(config: Config, manifest: Manifest) -> None:
    """Rank 0: send the configuration and the images to the other processes."""
    rows = [[getattr(row, name) for name in _ROW] for row in manifest.rows]
    refs = [astuple(manifest.refs[row.id]) for row in manifest.rows]
    message = {"config": config.model_dump(mode="json"), "root": str(manifest.root), "rows": rows, "refs": refs}
    collectives.broadcast({**message, "manifest": {name: getattr(manifest, name) for name in _MANIFEST}})


def train_with_rank_0() -> None:
    """The other processes: train together with rank 0 until it has finished the run.

    Raises:
        PeerLost: Rank 0, or another process, has died.
        Interrupted: A signal came to any process.
    """
    with Signals() as signals:
        collectives.init_process_group()
        with collectives.translate_lost_peer(signals):
            message: dict[str, Any] = collectives.receive_broadcast()[0]
            config = validate(Config, message["config"])
            rows = tuple(ImageRow(**dict(zip(_ROW, row, strict=True))) for row in message["rows"])
            refs = {row.id: ImageRef.from_list(ref) for row, ref in zip(rows, message["refs"], strict=True)}
            manifest = Manifest(Path(message["root"]), rows, refs=refs, **message["manifest"])
            (splits,) = splits_of(config, manifest)
            device, progress = devices.resolve(config.compute), make_progress(quiet=True)
            folder = Path(tempfile.gettempdir()) / uuid.uuid4().hex  # never created
            context = make_context(config, manifest, splits, device, folder, progress, signals, Notifier())
            _train_strategy(config.strategies[0], context)
            collectives.destroy_process_group()


def _train_strategy(name: str, context: RunContext) -> None:
    if not STRATEGIES[name].trains_network:
        assert isinstance(context.features, FeatureStore)
        context.features.extract_as_worker()
        return
    strategy = load(name)
    settings = collectives.receive_broadcast()[0]
    if settings is None:  # the run is already done
        return
    trained = strategy.fit(validate(strategy.Config, settings, name), context)
    evaluate_as_worker(trained, context.splits, context.seed)
