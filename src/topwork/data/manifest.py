"""From a data argument to a manifest: list the images, inspect each once, find the duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from topwork.core import run_folders
from topwork.core.artifacts import ImageRow, Manifest, PixelRules
from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.core.progress import Progress
from topwork.data.decoder_pool import load_thumbnails
from topwork.data.images import SUFFIXES
from topwork.data.inspect_dataset import InspectionCache, cache_file, cache_key, inspect_images
from topwork.data.labels import refuse_similar_labels
from topwork.data.near_duplicates import NearDuplicates, Thumbnail, find_near_duplicates
from topwork.data.pixel_rules import decide_rules, is_affected, requested_rules
from topwork.data.sources import list_images
from topwork.data.sources.base import SILENT
from topwork.data.split_units import assign_duplicate_groups, leave_out_rare_classes

_NOT_LISTING = {"near_duplicates", "val_fraction", "test_fraction", "similar_labels", "min_images_per_class"}


def build_manifest(
    config: DataConfig,
    cache: Path | None = None,
    progress: Progress = SILENT,
    *,
    workers: int = 0,
    trainable: bool = True,
    on_listing: Callable[[Manifest], None] | None = None,
) -> Manifest:
    """List all images and inspect each by decoding it to its end; an unusable one is excluded with its reason.

    Args:
        config: The data.
        cache: Folder for the inspections; a second call on the same files decodes nothing. None: that of topwork.
        progress: Progress output.
        workers: Processes; 0 means one per core. Their number does not change the result.
        trainable: Whether to refuse images that no model can be trained on.
        on_listing: Called with the listed images before any is decoded, which can take long.

    Returns:
        The rows are in order of id.

    Raises:
        UsageError: No such source, or no such folder.
        DataError: No image; or, if it must be trainable, no usable image or only one class.
    """
    listing = list_images(config, progress)
    _check_listing(listing)
    if trainable and config.similar_labels == "error":
        refuse_similar_labels(listing)
    if on_listing:
        on_listing(listing)
    options = config.model_dump(exclude=_NOT_LISTING)
    known = InspectionCache(cache_file(cache or run_folders.cache_folder(), listing.root, str(options)))
    known.load()
    rows, new, rules = _inspect(listing, config, known, progress, workers)
    if config.near_duplicates:
        used = {row.sha256: row for row in rows if row.status == "used"}
        fingerprints = {name: new.by_image[row.id].fingerprint for name, row in used.items()}

        def load(names: Sequence[str]) -> Iterator[Thumbnail | None]:
            return load_thumbnails([used[name].ref for name in names], workers, rules)

        new.near = find_near_duplicates(fingerprints, load, known.near)
    if new != known:
        new.save()
    near = new.near if config.near_duplicates else NearDuplicates()
    remarks = (*listing.remarks, *filter(None, [near.remark]), *rules.describe())
    manifest = replace(listing, rows=assign_duplicate_groups(rows, near.pairs), remarks=remarks, pixel_rules=rules)
    manifest = leave_out_rare_classes(manifest, config.min_images_per_class)
    if trainable:
        _check_trainable(manifest)
    return manifest


def _inspect(
    listing: Manifest, config: DataConfig, known: InspectionCache, progress: Progress, workers: int
) -> tuple[tuple[ImageRow, ...], InspectionCache, PixelRules]:
    """Inspect all images, and those again that are decoded in another way because of what all images use."""
    images, rules = sorted(listing.rows, key=lambda row: row.id), requested_rules(config)
    with progress.track("images inspected", len(images)) as step:
        rows, new = inspect_images(images, known, workers, step.advance, rules)
    used = [row for row in rows if row.status == "used"]
    decided = decide_rules(config, [new.by_image[row.id] for row in used])
    affected = [row for row in used if is_affected(new.by_image[row.id], rules, decided)]
    if affected:
        keys = {cache_key(row.sha256, row, decided) for row in affected} & known.inspections.keys()
        new.inspections |= {key: known.inspections[key] for key in keys}
        with progress.track("images inspected again", len(affected)) as step:
            again, other = inspect_images(affected, new, workers, step.advance, decided)
        by_id = {row.id: row for row in again}
        rows = tuple(by_id.get(row.id, row) for row in rows)
        new.inspections |= other.inspections
        new.by_image |= other.by_image
    return rows, new, decided


def _check_listing(listing: Manifest) -> None:
    if not listing.rows:
        reasons = Counter(listing.ignored.values()).most_common(1)
        ignored = (
            f" ({len(listing.ignored)} files or folders ignored, most of them: {reasons[0][0]})" if reasons else ""
        )
        suffixes = " ".join(sorted(SUFFIXES))
        raise DataError(f"No image in {listing.root}{ignored}. Put the images ({suffixes}) into one folder per class.")
    repeated = [name for name, count in Counter(row.id for row in listing.rows).items() if count > 1]
    if repeated:
        raise DataError(f"{listing.root} lists {repeated[0]!r} more than once. Keep one row per image.")


def _check_trainable(manifest: Manifest) -> None:
    if not manifest.rows:
        raise DataError(
            f"No class of {manifest.root} has as many images as --min-images-per-class requires. Pass a lower number."
        )
    if not manifest.used:
        first = manifest.excluded[0]
        raise DataError(
            f"None of the {len(manifest.rows)} images in {manifest.root} can be used. The first is {first.id}: "
            f"{first.reason}. Replace the files."
        )
    if len(manifest.classes) == 1:
        raise DataError(
            f"{manifest.root} has usable images of one class only, {manifest.classes[0]!r}. "
            "Add images of another class, or pass the folder that holds all class folders."
        )
