"""Inspect the images of a data set in decoder processes; a second inspection of the same files decodes nothing.

The results are cached in one JSON file per data set, also if this is interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import PIL

from topwork.core import storage
from topwork.core.artifacts import DEFAULT_RULES, ImageRow, PixelRules
from topwork.core.errors import CorruptFile, StorageError
from topwork.core.image_ref import is_url
from topwork.data import optional_formats
from topwork.data.decoder import INSPECT, Request
from topwork.data.decoder_pool import InspectedFile, inspect_files
from topwork.data.fingerprints import VERSION
from topwork.data.inspection import Inspection
from topwork.data.locations import Stamp, is_settled, stamp_of
from topwork.data.near_duplicates import NearDuplicates

_FORMAT = 5


def _key() -> list[Any]:
    """What determines inspections besides the content of the files."""
    return [_FORMAT, VERSION, PIL.__version__, *optional_formats.versions()]


def cache_file(cache: Path, root: Path, source: str) -> Path:
    """The file in a cache folder for a data folder, and the data argument and options that make up ``source``."""
    return cache / f"{_prefix(root)}{_short(source)}.json"


def clear(cache: Path, root: Path) -> None:
    """Remove the inspections of a data folder that does not exist any more."""
    for path in cache.glob(f"{_prefix(root)}*.json"):
        path.unlink(missing_ok=True)


def _prefix(root: Path) -> str:
    return f"images-{_short(str(root if is_url(str(root)) else root.resolve()))}-"


def _short(text: str) -> str:
    return storage.sha256_bytes(text.encode("utf-8", "surrogateescape"))[:16]


@dataclass
class InspectionCache:
    """The cache of a data set. Losing it costs time only: if anything is wrong with it, it is made again.

    Attributes:
        path: Of the file.
        inspections: By content, suffix and rules.
        contents: Image id to the stamp of its file, empty where it cannot be trusted, and its content.
        near: The near duplicates among them.
        by_image: Image id to inspection; not in the file.
    """

    path: Path
    inspections: dict[str, Inspection] = field(default_factory=dict)
    contents: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    near: NearDuplicates = field(default_factory=NearDuplicates)
    by_image: dict[str, Inspection] = field(default_factory=dict, compare=False)

    def load(self) -> None:
        """Read the file, if it is intact and of this key."""
        with suppress(OSError, CorruptFile, AttributeError, KeyError, TypeError, ValueError):
            value = storage.read_json(self.path)
            if value["key"] == _key():
                inspections = {name: Inspection(*entry) for name, entry in value["inspections"].items()}
                contents = {
                    name: ([int(n) for n in stamp], str(sha)) for name, (stamp, sha) in value["contents"].items()
                }
                key, pairs, remark = value["near"]
                near = NearDuplicates(str(key), tuple((str(a), str(b)) for a, b in pairs), str(remark))
                self.inspections, self.contents, self.near = inspections, contents, near

    def save(self) -> None:
        """Write the file; a cache that cannot be written costs time only."""
        value = {
            "key": _key(),
            "inspections": {name: astuple(inspection) for name, inspection in sorted(self.inspections.items())},
            "contents": dict(sorted(self.contents.items())),
            "near": astuple(self.near),
        }
        with suppress(StorageError):
            storage.write_text(self.path, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def inspect_images(
    images: Sequence[ImageRow],
    known: InspectionCache,
    workers: int,
    advance: Callable[[int], None],
    rules: PixelRules = DEFAULT_RULES,
) -> tuple[tuple[ImageRow, ...], InspectionCache]:
    """The inspected images, and the cache that replaces ``known``: it has no entries of files that are gone.

    Args:
        images: As a source lists them.
        known: Results of an earlier inspection.
        workers: Processes; 0 means one per core.
        advance: Called in this thread with a number of images that are done.
        rules: How the images are decoded.
    """
    cache = InspectionCache(known.path, near=known.near)
    rows: dict[str, ImageRow] = {}
    stamps = {image.id: stamp_of(image.ref) for image in images}
    new = []
    for image in images:
        stamp, content = known.contents.get(image.id, ([], ""))
        inspection = known.inspections.get(cache_key(content, image, rules))
        if inspection and stamp and stamp == stamps[image.id]:
            rows[image.id] = _store(cache, image, stamp, InspectedFile(content, inspection), rules)
        else:
            new.append(image)
    advance(len(rows))
    complete = False
    results = inspect_files([_request(image, known, rules) for image in new], workers)
    try:
        for image, result in zip(new, results, strict=True):
            if result.inspection is None:
                result = replace(result, inspection=known.inspections[cache_key(result.content, image, rules)])
            after = stamp_of(image.ref)  # a file that changes during its inspection is not cached under its old stamp
            stamp = after if after == stamps[image.id] and is_settled(after) else []
            rows[image.id] = _store(cache, image, stamp, result, rules)
            advance(1)
        complete = True
    finally:
        results.close()
        if not complete:  # what was known about the rest is still valid
            cache.inspections = known.inspections | cache.inspections
            cache.contents = known.contents | cache.contents
            cache.save()
    return tuple(rows[image.id] for image in images), cache


def cache_key(content: str, image: ImageRow, rules: PixelRules) -> str:
    """The key of an inspection in a cache."""
    return content + image.ref.suffix + ("" if rules == DEFAULT_RULES else f" {rules.bit_depth} {rules.background}")


def _request(image: ImageRow, known: InspectionCache, rules: PixelRules) -> Request:
    _, content = known.contents.get(image.id, ([], ""))
    is_known = cache_key(content, image, rules) in known.inspections
    return Request(INSPECT, image.ref, known=content if is_known else "", rules=rules)


def _store(
    cache: InspectionCache, image: ImageRow, stamp: list[int], result: InspectedFile, rules: PixelRules
) -> ImageRow:
    """Store a result in the cache; returns the row of the image."""
    found = result.inspection
    assert found
    cache.by_image[image.id] = found
    if result.content and result.deterministic:
        cache.inspections[cache_key(result.content, image, rules)] = found
        cache.contents[image.id] = (stamp, result.content)
    return replace(
        image,
        status="used" if found.usable else "excluded",
        reason=found.reason,
        sha256=result.content,
        width=found.width,
        height=found.height,
        pixels=found.pixels,
        fingerprint=found.fingerprint,
        taken=found.taken,
        camera=found.camera,
        stratum=image.stratum or image.label,
    )
