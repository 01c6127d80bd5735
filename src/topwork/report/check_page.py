"""What ``check`` found -> one HTML file with thumbnails: no script, no network, no file beside it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topwork.core import storage
from topwork.core.artifacts import Manifest
from topwork.core.errors import TopworkError
from topwork.data.images import load_image
from topwork.report.render import environment
from topwork.report.thumbnails import jpeg

SETS = 24  # of a finding that are shown with pictures
IMAGES = 6  # of a set


@dataclass(frozen=True)
class Shown:
    """One image of a finding; ``picture`` is a ``data:`` address of a JPEG, or empty."""

    id: str
    label: str
    picture: str


def write_page(path: Path, value: Mapping[str, Any], manifest: Manifest) -> None:
    """Write the page.

    Args:
        path: Of the HTML file.
        value: ``Check.as_dict()``.
        manifest: Where the images are.

    Raises:
        StorageError: It cannot be written.
    """
    label = {row.id: row.label for row in manifest.rows}
    usable = {row.id for row in manifest.used}
    findings = []
    for finding in value["findings"]:
        sets = [
            ([_shown(manifest.root, image, label, usable, finding["kind"]) for image in same[:IMAGES]], len(same), note)
            for same, note in zip(finding["sets"], finding["notes"] or [""] * len(finding["sets"]), strict=True)
        ][:SETS]
        findings.append({**finding, "shown": sets, "more": len(finding["sets"]) - len(sets)})
    html = environment().get_template("check.html.j2").render(c=value, findings=findings)
    storage.write_text(path, html.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def _shown(root: Path, image: str, label: Mapping[str, str], usable: set[str], kind: str) -> Shown:
    if image not in usable:  # it is not decoded here: that might hang, or die
        return Shown(image, label.get(image, ""), "")
    try:
        data = jpeg(load_image(root / image, 320))
    except (OSError, ValueError, TopworkError):
        return Shown(image, label[image], "")
    return Shown(image, label[image], f"data:image/jpeg;base64,{base64.b64encode(data).decode()}")
