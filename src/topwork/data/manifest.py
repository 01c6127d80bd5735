"""From a data argument to a manifest: list the images, inspect each once, find the duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from topwork.core import run_folders
from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.core.progress import Progress, Tracker
from topwork.data.fingerprints import find_pairs
from topwork.data.images import SUFFIXES
from topwork.data.inspect_dataset import inspect_images
from topwork.data.inspection_cache import InspectionCache, cache_file
from topwork.data.sources import list_images
from topwork.data.sources.base import OnProgress
from topwork.data.split_units import assign_duplicate_groups

OnListing = Callable[[Manifest], None] | None


def build_manifest(
    config: DataConfig,
    cache: Path,
    *,
    workers: int = 0,
    trainable: bool = True,
    on_listing: OnListing = None,
    on_shard: OnProgress = None,
    on_progress: OnProgress = None,
) -> Manifest:
    """List all images and inspect each by decoding it to its end; an unusable one is excluded with its reason.

    Args:
        config: The data.
        cache: Folder for the inspections; a second call on the same files decodes nothing.
        workers: Processes; 0 means one per core. Their number does not change the result.
        trainable: Whether to refuse images that no model can be trained on.
        on_listing: Called with the listed images before any is decoded, which can take long.
        on_shard: Called with (shards listed, total).
        on_progress: Called in this thread with (images done, total), a few hundred times at most.

    Returns:
        The rows are in order of id.

    Raises:
        UsageError: No such source, or no such folder.
        DataError: No image; or, if it must be trainable, no usable image or only one class.
    """
    listing = list_images(config, on_shard)
    _check_listing(listing)
    if on_listing:
        on_listing(listing)
    options = config.model_dump(exclude={"near_duplicates", "val_fraction", "test_fraction"})
    known = InspectionCache(cache_file(cache, listing.root, str(options)))
    known.load()
    rows, new = inspect_images(sorted(listing.rows, key=lambda row: row.id), known, workers, on_progress)
    if config.near_duplicates:
        used = [row for row in rows if row.status == "used"]
        fingerprints = {row.sha256: new.inspections[row.sha256 + row.ref.suffix].fingerprint for row in used}
        new.pairs = find_pairs(fingerprints, known.pairs)
    if new != known:
        new.save()
    pairs = new.pairs[1] if config.near_duplicates else []
    manifest = replace(listing, rows=assign_duplicate_groups(rows, pairs))
    if trainable:
        _check_trainable(manifest)
    return manifest


def load_manifest(
    config: DataConfig, progress: Progress, on_listing: OnListing = None, trainable: bool = True
) -> Manifest:
    """``build_manifest`` of a configuration, with progress bars: the first stage of every command."""
    with (
        _LazyBar(progress, "shards listed", "shards") as shards,
        _LazyBar(progress, "images inspected", "images") as bar,
    ):
        return build_manifest(
            config,
            run_folders.cache_folder(),
            trainable=trainable,
            on_listing=on_listing,
            on_shard=shards.update,
            on_progress=bar.update,
        )


class _LazyBar(ExitStack):
    """A progress bar that opens at the first update and closes at the last."""

    def __init__(self, progress: Progress, title: str, unit: str) -> None:
        super().__init__()
        self._progress, self._title, self._unit = progress, title, unit
        self._step: Tracker | None = None
        self._done = 0

    def update(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` units are done."""
        if self._step is None:
            self._step = self.enter_context(self._progress.track(self._title, total, self._unit))
        self._step.advance(done - self._done)
        self._done = done
        if done == total:
            self.close()


def _check_listing(listing: Manifest) -> None:
    if not listing.rows:
        reasons = Counter(listing.ignored.values()).most_common(1)
        ignored = f" ({len(listing.ignored)} entries ignored, most of them: {reasons[0][0]})" if reasons else ""
        suffixes = " ".join(sorted(SUFFIXES))
        raise DataError(
            f"No image in {listing.root}{ignored}. Put the images of each class ({suffixes}) into one folder per class."
        )
    repeated = [name for name, count in Counter(row.id for row in listing.rows).items() if count > 1]
    if repeated:
        raise DataError(f"{listing.root} lists {repeated[0]!r} more than once. Keep one row per image.")


def _check_trainable(manifest: Manifest) -> None:
    if not manifest.used:
        first = manifest.excluded[0]
        raise DataError(
            f"None of the {len(manifest.rows)} images in {manifest.root} can be used; the first, {first.id}: "
            f"{first.reason}. Replace the files."
        )
    if len(manifest.classes) == 1:
        raise DataError(
            f"{manifest.root} has usable images of one class only, {manifest.classes[0]!r}. "
            "Add a folder with images of another class."
        )
