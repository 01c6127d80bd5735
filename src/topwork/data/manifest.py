"""From a data argument to a manifest: list the images, look at each once, find out which of them are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork.core.artifacts import ImageRow, Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import DataError
from topwork.data.decoder import INSPECT, Request
from topwork.data.decoder_pool import InspectedFile, inspect_files
from topwork.data.duplicates import find_pairs, name_sets
from topwork.data.images import SUFFIXES, file_of
from topwork.data.inspection import Inspection
from topwork.data.inspection_cache import Memory, memory_file
from topwork.data.locations import is_settled, stamp_of
from topwork.data.sources import FoundImage, Listing, Reading, list_images


def build_manifest(
    kind: str,
    data: str,
    cache: Path,
    *,
    reading: Reading | None = None,
    near: bool = True,
    workers: int = 0,
    trainable: bool = True,
    found: Callable[[Listing], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """List all images and check each by decoding it whole; a bad one is set aside with its reason and stops nothing.

    Args:
        kind: A key of ``SOURCES`` or ``"auto"``.
        data: A folder, a table, or the name of a data set that a package carries.
        cache: Folder for the verdicts; a second call on the same files decodes nothing.
        reading: How the source is to be read, beyond its usual way.
        near: Whether images that show the same picture count as duplicates, beside those of equal pixels.
        workers: Processes; 0 means one per core. Their number does not change the result.
        trainable: Whether to refuse images that nothing can be trained on.
        found: Called with the list before any image is decoded, which can take long.
        progress: Called in this thread with (images done, images in all), some hundred times at most.

    Returns:
        The rows are in order of id.

    Raises:
        UsageError: No such source, or no such folder.
        DataError: No image; or, if it must be trainable, no usable image or only one class.
    """
    listing = list_images(kind, data, reading or Reading())
    images = sorted(listing.images, key=lambda image: image.id)
    _refuse_listing(listing, images)
    if found:
        found(listing)
    known = Memory(memory_file(cache, listing.root, f"{data} {reading}"))
    known.load()
    rows, memory = _check_all(images, known, workers, progress)
    seen = {row.sha256: memory.verdicts[_content(row)] for row in rows if row.status == "used"}
    if near:
        memory.pairs = find_pairs(seen, known.pairs)
    if memory != known:
        memory.save()
    rows = name_sets(rows, memory.pairs[1] if near else [])
    manifest = Manifest(
        listing.root, rows, listing.name, listing.ignored, listing.license, listing.note, listing.test_fraction
    )
    if trainable:
        _refuse_manifest(manifest)
    return manifest


def manifest_of(
    data: DataConfig,
    cache: Path,
    found: Callable[[Listing], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    trainable: bool = True,
    listed: Callable[[int, int], None] | None = None,
) -> Manifest:
    """``build_manifest`` of a configuration's images; ``listed`` hears of shards as ``progress`` does of images."""
    reading = _reading(data, listed)
    near = data.near_duplicates
    return build_manifest(
        data.source, data.path, cache, reading=reading, near=near, trainable=trainable, found=found, progress=progress
    )


def listing_of(data: DataConfig) -> Listing:
    """What a configuration names, before anything is opened."""
    return list_images(data.source, data.path, _reading(data))


def _reading(data: DataConfig, tell: Callable[[int, int], None] | None = None) -> Reading:
    return Reading(
        data.labels_from_path,
        data.crop_to_box,
        data.group_by,
        data.splits,
        data.exclude,
        data.label_key,
        data.class_names,
        tell,
    )


class _Progress:
    """Counts images and tells of some hundred of them."""

    def __init__(self, total: int, tell: Callable[[int, int], None] | None) -> None:
        self._total, self._tell, self._done = total, tell, 0
        self._step = max(1, total // 200)

    def advance(self, count: int = 1) -> None:
        before, self._done = self._done, self._done + count
        passed = self._done // self._step > before // self._step
        if self._tell and count and (passed or self._done == self._total):
            self._tell(self._done, self._total)


def _check_all(
    images: Sequence[FoundImage], known: Memory, workers: int, tell: Callable[[int, int], None] | None
) -> tuple[tuple[ImageRow, ...], Memory]:
    """Look at what is not remembered in processes of its own; what is found is kept even if this is interrupted."""
    memory = Memory(known.path, pairs=known.pairs)  # made anew, so that it forgets files that are gone
    rows: dict[str, ImageRow] = {}
    progress = _Progress(len(images), tell)
    stamps = {image.id: stamp_of(_file(image)) for image in images}
    fresh = []
    for image in images:
        stamp, content = known.contents.get(image.id, ([], ""))
        verdict = known.verdicts.get(content + _suffix(image))
        if verdict and stamp and stamp == stamps[image.id]:
            rows[image.id] = _keep(memory, image, stamp, InspectedFile(content, verdict))
        else:
            fresh.append(image)
    progress.advance(len(rows))
    whole = False
    results = inspect_files([_request(image, known) for image in fresh], workers)
    try:
        for image, result in zip(fresh, results, strict=True):
            if result.inspection is None:
                result = replace(result, inspection=known.verdicts[result.content + _suffix(image)])
            again = stamp_of(_file(image))  # a file that changes meanwhile is not remembered by its old stamp
            stamp = again if again == stamps[image.id] and is_settled(again) else []
            rows[image.id] = _keep(memory, image, stamp, result)
            progress.advance()
        whole = True
    finally:
        results.close()
        if not whole:  # what was known about the rest still holds
            memory.verdicts = known.verdicts | memory.verdicts
            memory.contents = known.contents | memory.contents
            memory.save()
    return tuple(rows[image.id] for image in images), memory


def _keep(memory: Memory, image: FoundImage, stamp: list[int], result: InspectedFile) -> ImageRow:
    """Store a result in the cache; returns the row of the image."""
    assert result.inspection
    if result.content and result.deterministic:
        memory.verdicts[result.content + _suffix(image)] = result.inspection
        memory.contents[image.id] = (stamp, result.content)
    return _row(image, result.content, result.inspection)


def _request(image: FoundImage, known: Memory) -> Request:
    _, content = known.contents.get(image.id, ([], ""))
    candidate = content if content + _suffix(image) in known.verdicts else ""
    return Request(INSPECT, str(image.path), known=candidate)


def _row(image: FoundImage, content: str, verdict: Inspection) -> ImageRow:
    facts: Mapping[str, Any] = {
        "status": "used" if verdict.usable else "set aside",
        "reason": verdict.reason,
        "sha256": content,
        "width": verdict.width,
        "height": verdict.height,
        "pixels": verdict.pixels,
    }
    own = {"split": image.split, "stratum": image.stratum or image.label, "group": image.group, "weight": image.weight}
    return ImageRow(image.id, image.label, **facts, **own)


def _file(image: FoundImage) -> str:
    return file_of(str(image.path))


def _suffix(image: FoundImage) -> str:
    return Path(_file(image)).suffix.lower()


def _content(row: ImageRow) -> str:
    return row.sha256 + Path(file_of(row.id)).suffix.lower()


def _refuse_listing(listing: Listing, images: Sequence[FoundImage]) -> None:
    if not images:
        why = Counter(listing.ignored.values()).most_common(1)
        passed = f" ({len(listing.ignored)} entries passed over, most of them: {why[0][0]})" if why else ""
        kinds = " ".join(sorted(SUFFIXES))
        raise DataError(
            f"No image in {listing.root}{passed}. Put the images of each class ({kinds}) into one folder per class."
        )
    doubles = [name for name, count in Counter(image.id for image in images).items() if count > 1]
    if doubles:
        raise DataError(f"{listing.root} lists {doubles[0]!r} more than once. Leave one line for each image.")


def _refuse_manifest(manifest: Manifest) -> None:
    if not manifest.used:
        first = manifest.set_aside[0]
        raise DataError(
            f"None of the {len(manifest.rows)} images in {manifest.root} can be used; the first, {first.id}: "
            f"{first.reason}. Replace the files."
        )
    if len(manifest.classes) == 1:
        raise DataError(
            f"{manifest.root} has usable images of one class only, {manifest.classes[0]!r}. "
            "Add a folder with images of another class."
        )
