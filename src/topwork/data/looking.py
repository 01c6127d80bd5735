"""The first stage of every command: look at the images of a configuration, with a bar for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from topwork import folders
from topwork.artifacts import Manifest
from topwork.config import DataConfig
from topwork.data.manifest import manifest_of
from topwork.data.sources import Listing
from topwork.progress import Progress


def look_at_images(
    data: DataConfig, progress: Progress, found: Callable[[Listing], None] | None = None, trainable: bool = True
) -> Manifest:
    """The manifest of the images; ``found`` is called with their list before any is decoded."""
    state: dict[str, Any] = {"done": 0}
    opened = None

    def advance(done: int, total: int) -> None:
        nonlocal opened
        if opened is None:
            opened = progress.step("images looked at", total)
            state["bar"] = opened.__enter__()
        state["bar"].advance(done - state["done"])
        state["done"] = done

    try:
        return manifest_of(data, folders.cache_folder(), found=found, progress=advance, trainable=trainable)
    finally:
        if opened is not None:
            opened.__exit__(None, None, None)
