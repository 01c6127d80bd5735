"""Inspect the images of a listing in decoder processes; results are cached, also if this is interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from topwork.core.artifacts import ImageRow
from topwork.data.decoder import INSPECT, Request
from topwork.data.decoder_pool import InspectedFile, inspect_files
from topwork.data.inspection_cache import InspectionCache
from topwork.data.locations import is_settled, stamp_of
from topwork.data.sources.base import OnProgress


def inspect_images(
    images: Sequence[ImageRow], known: InspectionCache, workers: int, on_progress: OnProgress
) -> tuple[tuple[ImageRow, ...], InspectionCache]:
    """The inspected images, and the cache that replaces ``known``: it has no entries of files that are gone.

    Args:
        images: As a source lists them.
        known: Results of an earlier inspection.
        workers: Processes; 0 means one per core.
        on_progress: Called with (images done, total), a few hundred times at most.
    """
    cache = InspectionCache(known.path, pairs=known.pairs)
    rows: dict[str, ImageRow] = {}
    progress = _Progress(len(images), on_progress)
    stamps = {image.id: stamp_of(image.ref) for image in images}
    new = []
    for image in images:
        stamp, content = known.contents.get(image.id, ([], ""))
        inspection = known.inspections.get(content + image.ref.suffix)
        if inspection and stamp and stamp == stamps[image.id]:
            rows[image.id] = _store(cache, image, stamp, InspectedFile(content, inspection))
        else:
            new.append(image)
    progress.advance(len(rows))
    complete = False
    results = inspect_files([_request(image, known) for image in new], workers)
    try:
        for image, result in zip(new, results, strict=True):
            if result.inspection is None:
                result = replace(result, inspection=known.inspections[result.content + image.ref.suffix])
            after = stamp_of(image.ref)  # a file that changes during its inspection is not cached under its old stamp
            stamp = after if after == stamps[image.id] and is_settled(after) else []
            rows[image.id] = _store(cache, image, stamp, result)
            progress.advance()
        complete = True
    finally:
        results.close()
        if not complete:  # what was known about the rest is still valid
            cache.inspections = known.inspections | cache.inspections
            cache.contents = known.contents | cache.contents
            cache.save()
    return tuple(rows[image.id] for image in images), cache


def _request(image: ImageRow, known: InspectionCache) -> Request:
    _, content = known.contents.get(image.id, ([], ""))
    return Request(INSPECT, image.ref, known=content if content + image.ref.suffix in known.inspections else "")


def _store(cache: InspectionCache, image: ImageRow, stamp: list[int], result: InspectedFile) -> ImageRow:
    """Store a result in the cache; returns the row of the image."""
    found = result.inspection
    assert found
    if result.content and result.deterministic:
        cache.inspections[result.content + image.ref.suffix] = found
        cache.contents[image.id] = (stamp, result.content)
    return replace(
        image,
        status="used" if found.usable else "excluded",
        reason=found.reason,
        sha256=result.content,
        width=found.width,
        height=found.height,
        pixels=found.pixels,
        stratum=image.stratum or image.label,
    )


class _Progress:
    """Counts images and reports a few hundred times."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._total, self._on_progress, self._done = total, on_progress, 0
        self._step = max(1, total // 200)

    def advance(self, count: int = 1) -> None:
        before, self._done = self._done, self._done + count
        due = self._done // self._step > before // self._step or self._done == self._total
        if self._on_progress and count and due:
            self._on_progress(self._done, self._total)
