"""The findings of ``check`` -> one HTML file with thumbnails: no script, no network, no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topwork.core import storage
from topwork.core.artifacts import Manifest
from topwork.core.errors import TopworkError
from topwork.data.images import load_image
from topwork.report.render import render_template
from topwork.report.thumbnails import encode_thumbnail

MAX_GROUPS = 24  # groups of a finding shown with thumbnails
MAX_IMAGES_PER_GROUP = 6


@dataclass(frozen=True)
class ImageCard:
    """One image of a finding; ``thumbnail`` is a ``data:`` URL of a JPEG, or empty."""

    id: str
    label: str
    thumbnail: str


def write_page(path: Path, value: Mapping[str, Any], manifest: Manifest) -> None:
    """Write the page of ``Check.as_dict()`` and the images of the manifest.

    Raises:
        StorageError: The file cannot be written.
    """
    label = {row.id: row.label for row in manifest.rows}
    usable = {row.id for row in manifest.used}
    findings = []
    for finding in value["findings"]:
        notes = finding["notes"] or [""] * len(finding["groups"])
        sets = [
            ([_card(manifest, image, label, usable) for image in group[:MAX_IMAGES_PER_GROUP]], len(group), note)
            for group, note in zip(finding["groups"][:MAX_GROUPS], notes, strict=False)
        ]
        findings.append({**finding, "shown": sets, "more": len(finding["groups"]) - len(sets)})
    storage.write_text(path, render_template("check.html.j2", c=value, findings=findings))


def _card(manifest: Manifest, image: str, label: Mapping[str, str], usable: set[str]) -> ImageCard:
    thumbnail = ""
    if image in usable:  # others are not decoded here: that might hang or crash
        with suppress(OSError, ValueError, TopworkError):
            data = encode_thumbnail(load_image(manifest.refs[image], 320, manifest.pixel_rules))
            thumbnail = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return ImageCard(image, label.get(image, ""), thumbnail)
