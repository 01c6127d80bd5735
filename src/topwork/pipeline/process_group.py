"""Several processes that train together: joining and leaving them, and the images that rank 0 sends to the others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Any

from topwork.compute.ranks import world
from topwork.core.artifacts import ImageRow, Manifest, PixelRules
from topwork.core.config import Config, validate
from topwork.core.image_ref import ImageRef
from topwork.core.signals import Signals

_PLAIN = [field.name for field in fields(Manifest) if field.name not in {"root", "rows", "pixel_rules"}]


@contextlib.contextmanager
def process_group(signals: Signals) -> Iterator[None]:
    """Join the other processes if there are any, and leave them at the end."""
    if world().size == 1:
        yield
        return
    from topwork.compute import collectives

    collectives.init_process_group()
    with collectives.translate_lost_peer(signals):
        yield
        collectives.destroy_process_group()


def broadcast_manifest(config: Config, manifest: Manifest, precision: str) -> None:
    """Rank 0: send the configuration, with the precision of all processes, and the images to the other processes."""
    from topwork.compute import collectives

    config = config.model_copy(update={"compute": config.compute.model_copy(update={"precision": precision})})
    rows = [astuple(row) for row in manifest.rows]
    rules = asdict(manifest.pixel_rules)
    message = {"config": config.model_dump(mode="json"), "root": str(manifest.root), "rows": rows, "rules": rules}
    collectives.broadcast({**message, "manifest": {name: getattr(manifest, name) for name in _PLAIN}})


def receive_manifest() -> tuple[Config, Manifest]:
    """The other processes: what ``broadcast_manifest`` sends."""
    from topwork.compute import collectives

    message: dict[str, Any] = collectives.receive_broadcast()[0]
    rows = tuple(ImageRow(*row, ref=ImageRef.from_list(ref)) for *row, ref in message["rows"])
    rules = PixelRules(**message["rules"])
    manifest = Manifest(Path(message["root"]), rows, **message["manifest"], pixel_rules=rules)
    return validate(Config, message["config"]), manifest
