"""From a data argument to a manifest: list the images, hash and fully decode each once, remember the verdicts."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import PIL

from topwork import storage
from topwork.artifacts import ImageRow, Manifest
from topwork.data.images import POLICY, SUFFIXES, UnreadableImage, inspect_bytes, read_image_bytes
from topwork.data.sources import FoundImage, Listing, find_source
from topwork.errors import DamagedFile, DataError, StorageError

_FORMAT = 1
_SETTLED_NS = 2_000_000_000  # a file younger than the coarsest clock of a file system may change without showing it


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What decoding said about a content: its size, a reason, and whether it can be used."""

    width: int = 0
    height: int = 0
    reason: str = ""
    usable: bool = True


@dataclass
class _Memory:
    """Verdicts by content and suffix, and hashes by file stamp, as one JSON file per data folder and pixel policy.

    Losing it costs time only, so whatever is wrong with the file, it is simply made anew.
    """

    path: Path
    verdicts: dict[str, _Verdict] = field(default_factory=dict)
    hashes: dict[str, tuple[list[int], str]] = field(default_factory=dict)

    @property
    def key(self) -> list[Any]:
        return [_FORMAT, POLICY, PIL.__version__]

    def load(self) -> None:
        with suppress(OSError, DamagedFile, AttributeError, KeyError, TypeError, ValueError):
            value = storage.read_json(self.path)
            if value["key"] == self.key:
                verdicts = {name: _Verdict(*entry) for name, entry in value["verdicts"].items()}
                hashes = {name: ([int(n) for n in stamp], str(sha)) for name, (stamp, sha) in value["hashes"].items()}
                self.verdicts, self.hashes = verdicts, hashes

    def save(self) -> None:
        verdicts = {name: [v.width, v.height, v.reason, v.usable] for name, v in sorted(self.verdicts.items())}
        value = {"key": self.key, "verdicts": verdicts, "hashes": dict(sorted(self.hashes.items()))}
        with suppress(StorageError):
            storage.write_text(self.path, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class _Checked:
    """One image after its check: the row, and what to remember."""

    row: ImageRow
    verdict: _Verdict
    stamp: list[int]


def build_manifest(
    kind: str,
    data: str,
    cache: Path,
    *,
    workers: int = 0,
    found: Callable[[Listing], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """List all images and check each by decoding it whole; a bad one is set aside with its reason and stops nothing.

    Args:
        kind: A key of ``SOURCES`` or ``"auto"``.
        data: A folder, or the name of a data set that a package carries.
        cache: Folder for the verdicts; a second call on the same files decodes nothing.
        workers: Threads; 0 means one per core. Their number does not change the result.
        found: Called with the list before any image is decoded, which can take long.
        progress: Called in this thread with (images done, images in all), some hundred times at most.

    Returns:
        The rows are in order of id.

    Raises:
        UsageError: No such source, or no such folder.
        DataError: No image, no usable image, or only one class.
    """
    listing = find_source(kind, data).list(Path(data))
    images = sorted(listing.images, key=lambda image: image.id)
    _refuse_listing(listing, images)
    if found:
        found(listing)
    name = storage.sha256_bytes(os.fsencode(listing.root.resolve()))[:16]
    memory = _Memory(cache / f"images-{name}.json")
    memory.load()
    rows = _check_all(images, memory, workers, progress)
    manifest = Manifest(
        listing.root, rows, listing.name, listing.ignored, listing.license, listing.note, listing.test_fraction
    )
    _refuse_manifest(manifest)
    return manifest


def _check_all(
    images: Sequence[FoundImage], known: _Memory, workers: int, progress: Callable[[int, int], None] | None
) -> tuple[ImageRow, ...]:
    """Check the images in threads, since Pillow decodes without holding the interpreter, and remember the verdicts."""
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="topwork-check")
    memory = _Memory(known.path)  # made anew, so that it forgets files that are gone
    rows, step = [], max(1, len(images) // 200)
    try:
        for done, checked in enumerate(pool.map(lambda image: _check(image, known), images), start=1):
            rows.append(checked.row)
            if checked.row.sha256:
                memory.verdicts[_content(checked.row)] = checked.verdict
            if checked.stamp:
                memory.hashes[checked.row.id] = (checked.stamp, checked.row.sha256)
            if progress and (done % step == 0 or done == len(images)):
                progress(done, len(images))
    finally:
        pool.shutdown(cancel_futures=True)
        if len(rows) < len(images):  # interrupted: what was known about the rest still holds
            memory.verdicts = known.verdicts | memory.verdicts
            memory.hashes = known.hashes | memory.hashes
        if (memory.verdicts, memory.hashes) != (known.verdicts, known.hashes):
            memory.save()
    return tuple(rows)


def _check(image: FoundImage, known: _Memory) -> _Checked:
    """Hash and decode one file, or remember both. Both see the same bytes, should the file change meanwhile."""
    base = ImageRow(image.id, image.label, part=image.part, stratum=image.stratum or image.label)
    stamp = _stamp(image.path)
    suffix = image.path.suffix.lower()
    old_stamp, sha = known.hashes.get(image.id, ([], ""))
    verdict = known.verdicts.get(sha + suffix) if stamp and stamp == old_stamp else None
    if verdict is None:
        try:
            data = read_image_bytes(image.path)
        except UnreadableImage as error:
            verdict = _Verdict(0, 0, error.reason, False)
            return _Checked(_row(base, "", verdict), verdict, [])
        sha = storage.sha256_bytes(data)
        verdict = known.verdicts.get(sha + suffix) or _judge(data, suffix)
    settled = stamp and time.time_ns() - max(stamp[1:]) > _SETTLED_NS
    return _Checked(_row(base, sha, verdict), verdict, stamp if settled else [])


def _judge(data: bytes, suffix: str) -> _Verdict:
    try:
        facts = inspect_bytes(data, suffix)
    except UnreadableImage as error:
        return _Verdict(0, 0, error.reason, False)
    return _Verdict(facts.width, facts.height, "; ".join(facts.converted), True)


def _row(base: ImageRow, sha: str, verdict: _Verdict) -> ImageRow:
    status = "used" if verdict.usable else "set aside"
    size = (verdict.width, verdict.height)
    return ImageRow(base.id, base.label, status, verdict.reason, sha, *size, base.part, base.stratum)


def _content(row: ImageRow) -> str:
    return row.sha256 + os.path.splitext(row.id)[1].lower()


def _stamp(path: Path) -> list[int]:
    """Size and times of a file; empty if it cannot be asked."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


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
