"""What all processes of a training but rank 0 do: they get what they need from it, train with it and write nothing."""

from __future__ import annotations

import tempfile
import uuid
from dataclasses import fields
from pathlib import Path
from typing import Any

from topwork.compute import collectives, devices
from topwork.core import config
from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.progress import make_progress
from topwork.core.signals import Signals
from topwork.data.splits import splits_of
from topwork.pipeline import setup as preparing
from topwork.pipeline import strategy_run
from topwork.pipeline.outputs import take_part
from topwork.strategies import STRATEGIES, load

_ROW = [field.name for field in fields(ImageRow)]
_MANIFEST = [field.name for field in fields(Manifest) if field.name not in {"root", "rows"}]


def tell_manifest(asked: config.Config, manifest: Manifest) -> None:
    """Rank 0: say what is trained on what."""
    rows = [[getattr(row, name) for name in _ROW] for row in manifest.rows]
    facts = {name: getattr(manifest, name) for name in _MANIFEST}
    collectives.broadcast(
        {"asked": asked.model_dump(mode="json"), "root": str(manifest.root), "rows": rows, "manifest": facts}
    )


def help_main() -> None:
    """The others: take part in one training until rank 0 has finished it.

    Raises:
        LostProcess: Rank 0, or another, has ended before.
        Interrupted: A signal came to any process.
    """
    with Signals() as signals:
        collectives.init_process_group()
        with collectives.translate_lost_peer(signals):
            told: dict[str, Any] = collectives.receive_broadcast()[0]
            asked = config.validate(config.Config, told["asked"])
            rows = tuple(ImageRow(**dict(zip(_ROW, row, strict=True))) for row in told["rows"])
            manifest = Manifest(Path(told["root"]), rows, **told["manifest"])
            (splits,) = splits_of(asked, manifest)
            device, progress = devices.resolve(asked.compute), make_progress(quiet=True)
            setup = preparing.prepare(asked, manifest, splits, device, progress, signals)
            _help(asked.strategies[0], setup, signals)
            collectives.destroy_process_group()


def _help(name: str, setup: preparing.Setup, signals: Signals) -> None:
    if not STRATEGIES[name].trains_network:
        setup.features.extract_as_worker()
        return
    strategy = load(name)
    settings = collectives.receive_broadcast()[0]
    if settings is None:  # it was done before
        return
    context = strategy_run.context_of(setup, Path(tempfile.gettempdir()) / uuid.uuid4().hex, signals)  # never made
    fitted = strategy.fit(config.validate(strategy.Config, settings, name), context)
    take_part(fitted, setup.splits, setup.config.seed)
