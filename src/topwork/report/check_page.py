"""The findings of ``check`` -> one HTML file with thumbnails: no network, no other file.

Its script keeps the list of images to exclude that the user ticks; all else can be read without it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from markupsafe import Markup

from topwork.core import storage
from topwork.core.artifacts import SPLITS, ImageRow, Manifest, Splits
from topwork.core.errors import TopworkError
from topwork.data.images import load_image
from topwork.report.image_choice import class_examples
from topwork.report.render import TEMPLATES, render_template
from topwork.report.thumbnails import SIDE, data_url, encode_thumbnail

MAX_GROUPS = 24  # groups of a finding shown with thumbnails
MAX_IMAGES_PER_GROUP = 6
MAX_STRIP, MAX_IN_STRIPS = 10, 240  # images of a class and of all classes
STRIP_SIDE = 96  # pixels


@dataclass(frozen=True)
class ImageCard:
    """One image; ``thumbnail`` is a ``data:`` URL of a JPEG, or empty; ``listed`` says whether it can be excluded."""

    id: str
    label: str
    thumbnail: str
    listed: bool


@dataclass(frozen=True)
class ClassStrip:
    """A class: its images that can be used, in all and by split, and some of them."""

    name: str
    count: int
    by_split: Mapping[str, int]
    images: tuple[ImageCard, ...]


@dataclass(frozen=True)
class ExcludeCommands:
    """Commands of the page: one writes the list of what should be excluded, one trains without what a list names."""

    write: str
    use: str


def write_page(
    path: Path, value: Mapping[str, Any], manifest: Manifest, splits: Splits | None, exclude: ExcludeCommands
) -> None:
    """Write the page of ``Check.as_dict()``.

    Args:
        path: Of the page.
        value: The content of ``check.json``.
        manifest: The images.
        splits: The splits that the data come with, if any.
        exclude: What to print about the list of images to exclude.

    Raises:
        StorageError: The file cannot be written.
    """
    cards = _Cards(manifest)
    findings = []
    for finding in value["findings"]:
        notes = finding["notes"] or [""] * len(finding["groups"])
        sets = [
            ([cards.card(image) for image in group[:MAX_IMAGES_PER_GROUP]], len(group), note)
            for group, note in zip(finding["groups"][:MAX_GROUPS], notes, strict=False)
        ]
        findings.append({**finding, "shown": sets, "more": len(finding["groups"]) - len(sets)})
    script = (TEMPLATES / "check.js").read_text("utf-8")
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    before = [image for image, reason in manifest.ignored.items() if reason == "excluded"]
    html = render_template(
        "check.html.j2",
        c=value,
        findings=findings,
        strips=_strips(manifest, splits, cards),
        largest=max([1, *value["classes"].values()]),
        exclude=exclude,
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
        proposed=_embedded([[image, reason] for image, reason in value["exclude"] if _is_unicode(image)]),
        before=_embedded([image for image in before if _is_unicode(image)]),
    )
    storage.write_text(path, html)


class _Cards:
    """Images of a manifest with thumbnails."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._rows = {row.id: row for row in manifest.rows}

    def card(self, image: str, side: int = SIDE) -> ImageCard:
        row, thumbnail = self._rows.get(image), ""
        if row is not None and row.status == "used":  # others are not decoded here: that might hang or crash
            with suppress(OSError, ValueError, TopworkError):
                small = load_image(row.ref, 2 * side, self._manifest.pixel_rules)
                thumbnail = data_url(encode_thumbnail(small, side))
        return ImageCard(image, row.label if row else "", thumbnail, row is not None and _is_unicode(image))


def _strips(manifest: Manifest, splits: Splits | None, cards: _Cards) -> list[ClassStrip]:
    """The classes in sorted order with images of each; of too many classes only the first have any."""
    rows: dict[str, list[ImageRow]] = {name: [] for name in manifest.classes}
    for row in manifest.used:
        rows[row.label].append(row)
    shown = class_examples({name: [row.id for row in own] for name, own in rows.items()}, MAX_STRIP, MAX_IN_STRIPS)
    split_of = {image: split for split in SPLITS for image in splits.ids[split]} if splits else {}
    return [
        ClassStrip(
            name,
            len(own),
            Counter(split_of.get(row.id, "") for row in own),
            tuple(cards.card(image, STRIP_SIDE) for image in shown.get(name, ())),
        )
        for name, own in rows.items()
    ]


def image_strips(manifest: Manifest, max_classes: int = 12, max_images: int = 6) -> str:
    """Some images of each of the first classes as HTML, for notebooks."""
    rows: dict[str, list[str]] = {name: [] for name in manifest.classes[:max_classes]}
    for row in manifest.used:
        if row.label in rows:
            rows[row.label].append(row.id)
    cards, parts = _Cards(manifest), []
    for name, images in class_examples(rows, max_images, max_classes * max_images).items():
        shown = (cards.card(image, STRIP_SIDE) for image in images)
        pictures = "".join(f'<img height="72" title="{escape(c.id)}" src="{c.thumbnail}">' for c in shown)
        parts.append(f"<tr><th>{escape(name)}</th><td>{pictures}</td></tr>")
    return f"<table>{''.join(parts)}</table>"


def _is_unicode(image: str) -> bool:
    """Whether a page can write the id to a file; undecodable bytes of a file name are lost in it."""
    return not any("\ud800" <= character <= "\udfff" for character in image)


def _embedded(value: Sequence[Any]) -> Markup:
    """JSON in ASCII, in which no character can end or open an HTML element."""
    text = json.dumps(value, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
