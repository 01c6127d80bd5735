"""The images that a run was trained on, as its folder names them.

Somebody else may have made the folder. So nothing is listed, no address is contacted, only regular files are opened,
and an image counts only if its bytes have the SHA-256 in ``manifest.csv``, which cannot be known without the image.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from topwork.core import config
from topwork.core.artifacts import ImageRow, read_manifest_rows, read_run_info
from topwork.core.errors import DataError, TopworkError
from topwork.core.image_ref import ImageRef, is_url
from topwork.data.images import read_image_bytes
from topwork.data.inspection import content_hash


@dataclass(frozen=True)
class RunImages:
    """The images of a run, by id.

    Attributes:
        root: Folder that ids are relative to.
        rows: Image id to its row, for those in files of this machine.
    """

    root: Path
    rows: Mapping[str, ImageRow]

    def find(self, image: str) -> ImageRef | None:
        """Where an image is; None if it is gone, or is no longer the image that it was."""
        row = self.rows.get(image)
        if row is None:
            return None
        try:
            data = read_image_bytes(row.ref)
        except DataError:
            return None
        return row.ref if content_hash(data, row.ref.box) == row.sha256 else None

    @property
    def refs(self) -> dict[str, ImageRef]:
        """Image id to where it was."""
        return {image: row.ref for image, row in self.rows.items()}

    def find_all(self, images: Iterable[str]) -> dict[str, ImageRef]:
        """Those of some images that are still what they were."""
        return {image: ref for image in images if (ref := self.find(image))}

    def sample(self, images: Iterable[str], limit: int) -> dict[str, ImageRef]:
        """At most ``limit`` of some images, spread evenly over them, without those that ``find`` does not find."""
        ids = list(images)
        return self.find_all(ids if len(ids) <= limit else [ids[i * len(ids) // limit] for i in range(limit)])


def relative_root(root: Path, data_path: str) -> str:
    """The folder that ids are relative to, for ``run.json``: relative to the path of the data, which may be moved."""
    relative = os.path.relpath(root, data_path)
    is_near = relative == os.pardir or not relative.startswith(
        os.pardir
    )  # beside a table, or in the folder of the data
    return relative if is_near and not is_url(data_path) else str(root)


def read_run_images(folder: Path) -> RunImages | None:
    """The images of the run or comparison in a folder; None if its folder of images is gone or not on this machine."""
    try:
        path = config.read(folder / "config.toml").data.path
        relative = read_run_info(folder).details["data"]["root"]
        root = os.path.normpath(os.path.join(path, relative))
        if is_url(path) or is_url(relative) or not os.path.exists(root):
            return None
        rows = read_manifest_rows(folder / "manifest.csv", root)
    except (OSError, TopworkError, LookupError, TypeError, ValueError):
        return None
    found = {row.id: row for row in rows if row.sha256 and not is_url(row.ref.path)}
    return RunImages(Path(root), found) if found else None
