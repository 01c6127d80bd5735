"""From a data argument to a manifest: list the images, inspect each once, find the duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from topwork.core import run_folders
from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.core.progress import Progress, Tracker
from topwork.data.duplicates import assign_duplicate_groups, find_pairs
from topwork.data.images import SUFFIXES
from topwork.data.inspect_dataset import inspect_images
from topwork.data.inspection_cache import InspectionCache, cache_file
from topwork.data.sources import ImageListing, ListedImage, SourceOptions, list_images


def build_manifest(
    kind: str,
    data: str,
    cache: Path,
    *,
    options: SourceOptions | None = None,
    near_duplicates: bool = True,
    workers: int = 0,
    trainable: bool = True,
    on_listing: Callable[[ImageListing], None] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """List all images and inspect each by decoding it to its end; an unusable one is excluded with its reason.

    Args:
        kind: A key of ``SOURCES`` or ``"auto"``.
        data: A folder, a table, or the name of a data set that a package contains.
        cache: Folder for the inspections; a second call on the same files decodes nothing.
        options: Options of the source.
        near_duplicates: Whether to find near duplicates, besides images of equal pixels.
        workers: Processes; 0 means one per core. Their number does not change the result.
        trainable: Whether to refuse images that no model can be trained on.
        on_listing: Called with the list before any image is decoded, which can take long.
        on_progress: Called in this thread with (images done, total), a few hundred times at most.

    Returns:
        The rows are in order of id.

    Raises:
        UsageError: No such source, or no such folder.
        DataError: No image; or, if it must be trainable, no usable image or only one class.
    """
    options = options or SourceOptions()
    listing = list_images(kind, data, options)
    images = sorted(listing.images, key=lambda image: image.id)
    _check_listing(listing, images)
    if on_listing:
        on_listing(listing)
    known = InspectionCache(cache_file(cache, listing.root, f"{data} {options}"))
    known.load()
    rows, new = inspect_images(images, known, workers, on_progress)
    refs = {image.id: image.ref for image in images}
    seen = {row.sha256: new.inspections[row.sha256 + refs[row.id].suffix] for row in rows if row.status == "used"}
    if near_duplicates:
        new.pairs = find_pairs(seen, known.pairs)
    if new != known:
        new.save()
    manifest = Manifest(
        listing.root,
        assign_duplicate_groups(rows, new.pairs[1] if near_duplicates else []),
        listing.name,
        refs,
        listing.ignored,
        listing.license,
        listing.note,
        listing.test_fraction,
    )
    if trainable:
        _check_trainable(manifest)
    return manifest


def load_manifest(
    config: DataConfig,
    progress: Progress,
    on_listing: Callable[[ImageListing], None] | None = None,
    trainable: bool = True,
) -> Manifest:
    """``build_manifest`` of a configuration, with progress bars: the first stage of every command."""
    with (
        _LazyBar(progress, "shards listed", "shards") as shards,
        _LazyBar(progress, "images inspected", "images") as bar,
    ):
        return build_manifest(
            config.source,
            config.path,
            run_folders.cache_folder(),
            options=_source_options(config, shards.update),
            near_duplicates=config.near_duplicates,
            trainable=trainable,
            on_listing=on_listing,
            on_progress=bar.update,
        )


def listing_of(config: DataConfig) -> ImageListing:
    """The images of a configuration, before any is opened."""
    return list_images(config.source, config.path, _source_options(config))


def _source_options(config: DataConfig, on_shard: Callable[[int, int], None] | None = None) -> SourceOptions:
    return SourceOptions(
        config.labels_from_path,
        config.crop_to_box,
        config.group_by,
        config.splits,
        config.exclude,
        config.label_key,
        config.class_names,
        on_shard,
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


def _check_listing(listing: ImageListing, images: Sequence[ListedImage]) -> None:
    if not images:
        reasons = Counter(listing.ignored.values()).most_common(1)
        ignored = f" ({len(listing.ignored)} entries ignored, most of them: {reasons[0][0]})" if reasons else ""
        suffixes = " ".join(sorted(SUFFIXES))
        raise DataError(
            f"No image in {listing.root}{ignored}. Put the images of each class ({suffixes}) into one folder per class."
        )
    repeated = [name for name, count in Counter(image.id for image in images).items() if count > 1]
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
