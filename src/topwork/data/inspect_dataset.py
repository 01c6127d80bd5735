"""The first stage of every command: look at the images of a configuration, with a bar for people."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from topwork.core import run_folders
from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.progress import Progress, Tracker
from topwork.data.manifest import manifest_of
from topwork.data.sources import Listing


def look_at_images(
    data: DataConfig, progress: Progress, found: Callable[[Listing], None] | None = None, trainable: bool = True
) -> Manifest:
    """The manifest of the images; ``found`` is called with their list before any is decoded."""
    with _Bar(progress, "shards listed", "shards") as listed, _Bar(progress, "images looked at", "images") as looked:
        cache = run_folders.cache_folder()
        return manifest_of(data, cache, found=found, progress=looked.tell, trainable=trainable, listed=listed.tell)


class _Bar(ExitStack):
    """A bar that opens when there is something to tell, and is closed when all is told."""

    def __init__(self, progress: Progress, title: str, unit: str) -> None:
        super().__init__()
        self._progress, self._title, self._unit = progress, title, unit
        self._step: Tracker | None = None
        self._done = 0

    def tell(self, done: int, total: int) -> None:
        """How many are done."""
        if self._step is None:
            self._step = self.enter_context(self._progress.track(self._title, total, self._unit))
        self._step.advance(done - self._done)
        self._done = done
        if done == total:
            self.close()
