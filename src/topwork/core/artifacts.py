"""The files that the stages exchange, one type each; they are read and written only here.

``FORMAT`` is the format number of all of them; ``run.json``, which every run folder has, records it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from topwork.core import storage
from topwork.core.errors import CorruptFile, DataError
from topwork.core.image_ref import ImageRef, is_url, without_box
from topwork.core.progress import redact

FORMAT = 5
BUNDLE_FORMAT = 3
SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class PixelRules:
    """What the pixels of an image depend on besides its file; decided for a data set and stored with its models.

    Attributes:
        bit_depth: Bits that images of 16 bits per channel use, 8 to 16: 2 ** bit_depth - 1 becomes 255.
        background: Color under transparent pixels: ``"white"``, ``"black"`` or ``"gray"``.
    """

    bit_depth: int = 16
    background: str = "white"

    def describe(self) -> list[str]:
        """What is not done by default, a line each."""
        lines = []
        if self.bit_depth != 16:
            white = 2**self.bit_depth - 1
            lines.append(f"16-bit images use {self.bit_depth} bits: {white} becomes white (--bit-depth).")
        if self.background != "white":
            lines.append(f"Transparent images are laid on {self.background} (--background).")
        return lines


DEFAULT_RULES = PixelRules()


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The input of a network, stored with the model and used by everything that decodes images.

    Attributes:
        size: Side of the square input in pixels.
        resize_size: Side of the square that the image is resized to before its center is cropped, in pixels.
        interpolation: ``"bilinear"``, ``"bicubic"``, ``"lanczos"`` or ``"nearest"``, with antialiasing.
        mean, std: Per channel R, G, B on the scale [0, 1]; the network gets (x - mean) / std.
        pixel_rules: Of the data set that the network was trained on.
    """

    size: int
    resize_size: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pixel_rules: PixelRules = DEFAULT_RULES

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Self:
        """The specification that ``dataclasses.asdict`` and JSON have made a dict of."""
        changed: dict[str, Any] = {name: tuple(value[name]) for name in ("mean", "std")}
        return cls(**value | changed | {"pixel_rules": PixelRules(**value["pixel_rules"])})

    @property
    def crop_pct(self) -> float:
        """Share of the sides that is kept, in (0, 1]."""
        return self.size / self.resize_size

    def __str__(self) -> str:
        if self.size == self.resize_size:
            return f"{self.size} x {self.size} RGB, {self.interpolation}, the whole image"
        return f"{self.size} x {self.size} RGB, from the center of a {self.resize_size} px {self.interpolation} resize"


@dataclass(frozen=True, slots=True)
class ImageRow:
    """An image of the data set.

    Attributes:
        id: Path relative to the data folder with forward slashes, and the box if there is one; unique.
        label: Class name.
        status: ``"used"`` or ``"excluded"``.
        reason: Why it was excluded, or what was converted; may be empty.
        sha256: Of the file's bytes; of an image that is a box in a file, of both.
        width, height: In pixels, as stored in the file.
        split: ``"train"``, ``"val"`` or ``"test"`` where the data come with splits, else empty.
        stratum: Splits keep the proportions of strata: the label (also if empty), or something finer.
        group: Images of one group are never in two splits that topwork makes; empty: in none.
        duplicates: The group of duplicates that it belongs to, named by the smallest SHA-256 in it; empty: in none.
        weight: How much it counts in training, above 0.
        pixels: A hash of its size and RGB pixels.
        fingerprint, taken, camera: See ``data/inspection.py``; not in ``manifest.csv``.
        ref: Where its bytes are; in ``manifest.csv`` as ``file``, empty for the file that the id names.
    """

    id: str
    label: str
    status: str = "used"
    reason: str = ""
    sha256: str = ""
    width: int = 0
    height: int = 0
    split: str = ""
    stratum: str = ""
    group: str = ""
    duplicates: str = ""
    weight: float = 1.0
    pixels: str = ""
    fingerprint: str = field(default="", compare=False)
    taken: str = field(default="", compare=False)
    camera: str = field(default="", compare=False)
    ref: ImageRef = field(default=ImageRef("", ""), compare=False)


@dataclass(frozen=True)
class Manifest:
    """All images of a data set. ``manifest.csv`` has the rows alone.

    Attributes:
        root: Folder that the ids are relative to.
        rows: One per image; those that a source lists are in any order, without what an inspection finds.
        name: Short name of the data set.
        ignored: Path to reason for what is not an image of the data set, e.g. hidden folders.
        license: License of the images if known.
        note: What a reader of the results should know about the protocol.
        test_fraction: Share of images held out for testing if the data come without a test set.
        remarks: What was decided about the images, one sentence each, for the log, the check and the report.
        pixel_rules: How its images are decoded; an inspection decides them.
        source: The kind of data set, as ``--source`` names it.
        reading: How the data were understood, one sentence without a stop.
    """

    root: Path
    rows: tuple[ImageRow, ...]
    name: str
    ignored: dict[str, str] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    test_fraction: float = 0.2
    remarks: tuple[str, ...] = ()
    pixel_rules: PixelRules = DEFAULT_RULES
    source: str = ""
    reading: str = ""

    @cached_property
    def refs(self) -> dict[str, ImageRef]:
        """Image id to where its bytes are."""
        return {row.id: row.ref for row in self.rows}

    @property
    def full_note(self) -> str:
        """The note and the remarks."""
        return " ".join(text for text in (self.note, *self.remarks) if text)

    @property
    def used(self) -> tuple[ImageRow, ...]:
        """The images that are not excluded."""
        return tuple(row for row in self.rows if row.status == "used")

    @property
    def excluded(self) -> tuple[ImageRow, ...]:
        """The other images, each with its reason."""
        return tuple(row for row in self.rows if row.status != "used")

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order; the position is the class index."""
        return tuple(sorted({row.label for row in self.used}))

    def write(self, path: Path) -> None:
        """Write ``manifest.csv``."""
        names = [f.name for f in fields(ImageRow) if f.name not in ("fingerprint", "taken", "camera", "ref")]
        rows = [[*(getattr(row, name) for name in names), self._file(row)] for row in self.rows]
        storage.write_csv(path, [*names, "file"], rows)

    def _file(self, row: ImageRow) -> str:
        """Where the bytes of an image are, relative to the root if they are in it; empty if its id says so.

        An address has no credentials: nobody reads it again, and a run may be passed on.
        """
        path, root = row.ref.path, os.path.join(self.root, "")
        path = path.removeprefix(root)
        return "" if path == without_box(row.id) else redact(path)


def read_manifest_rows(path: Path, root: str | os.PathLike[str] = "") -> tuple[ImageRow, ...]:
    """The rows of ``manifest.csv``, none without a file; ``root`` is the folder that their ids are relative to.

    Raises:
        CorruptFile: A column is missing, or a number is none.
    """

    def row(number: int, cells: dict[str, str]) -> ImageRow:
        image = cells["id"]
        name = without_box(image)
        file = cells.get("file", "") or name
        ref = ImageRef.parse((file if is_url(file) else os.path.join(root, file)) + image[len(name) :])
        texts = {key: text for key, text in cells.items() if key in _TEXTS}
        try:
            width, height, weight = int(cells["width"]), int(cells["height"]), float(cells.get("weight", 1))
        except ValueError as error:
            raise CorruptFile(f"{path}, row {number}: {error}. Restore it or train again.") from error
        if not (0 <= width < 2**31 and 0 <= height < 2**31 and 0 < weight < math.inf):
            raise CorruptFile(f"{path}, row {number}: a size or a weight is out of range. Restore it or train again.")
        return ImageRow(**texts, width=width, height=height, weight=weight, ref=ref)

    if not path.is_file():
        return ()
    rows = storage.read_csv(path, ("id", "label", "status", "width", "height"))
    if len({cells["id"] for cells in rows}) < len(rows):
        raise CorruptFile(f"{path} has an image twice. Restore it or train again.")
    return tuple(row(number, cells) for number, cells in enumerate(rows, 2))


_TEXTS = {one.name for one in fields(ImageRow) if one.type == "str"} - {"fingerprint", "taken", "camera"}


@dataclass(frozen=True)
class Splits:
    """Which images are in which split.

    Attributes:
        classes: Class names; the position is the class index.
        ids: Split name to image ids.
        labels: Split name to class indices, int64 (N,).
        note: How it was made, one line.
    """

    classes: tuple[str, ...]
    ids: dict[str, tuple[str, ...]]
    labels: dict[str, np.ndarray]
    note: str = ""

    def write(self, path: Path) -> None:
        """Write ``split.csv`` (image, label, split)."""
        rows = [
            (image, self.classes[label], split)
            for split in SPLITS
            for image, label in zip(self.ids[split], self.labels[split], strict=True)
        ]
        storage.write_csv(path, ("image", "label", "split"), rows)


def collect_splits(rows: Sequence[tuple[str, str, str]], note: str = "") -> Splits:
    """The splits of rows of image, label and split."""
    classes = tuple(sorted({label for _, label, _ in rows}))
    ids = {split: tuple(image for image, _, own in rows if own == split) for split in SPLITS}
    labels = {split: class_indices((label for _, label, own in rows if own == split), classes) for split in SPLITS}
    return Splits(classes, ids, labels, note)


def class_indices(labels: Iterable[str], classes: tuple[str, ...]) -> np.ndarray:
    """Class indices int64 (N,) of labels."""
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)


def read_split(path: Path, note: str = "") -> Splits:
    """The split in ``split.csv``."""
    columns = ("image", "label", "split")
    rows = [(row["image"], row["label"], row["split"]) for row in storage.read_csv(path, columns)]
    if wrong := [split for _, _, split in rows if split not in SPLITS]:
        raise CorruptFile(f"{path} has a split {wrong[0]!r}, expected {', '.join(SPLITS)}. Restore it or train again.")
    return collect_splits(rows, note)


@dataclass(frozen=True)
class EpochRecord:
    """One line of ``history.jsonl``. Holds no times, so that equal trainings give equal files.

    Attributes:
        epoch: From 1.
        step: Optimizer steps done since the start.
        train_loss: Mean over the epoch, with augmentation and label smoothing.
        val_loss: Plain cross-entropy on the validation set.
        val_accuracy: In [0, 1].
        lr: Largest learning rate at the end of the epoch.
        best: Whether it replaced the epoch kept so far; the last of these is the one that the model has.
        val_metric: The metric that decides on the validation set; None for accuracy.
    """

    epoch: int
    step: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    best: bool
    val_metric: float | None = None


def write_history(path: Path, history: list[EpochRecord]) -> None:
    """Write ``history.jsonl``, one line per epoch."""
    lines = [{name: value for name, value in asdict(record).items() if value is not None} for record in history]
    storage.write_text(path, "".join(json.dumps(line) + "\n" for line in lines))


def read_history(path: Path) -> list[EpochRecord]:
    """The epochs in ``history.jsonl``; none if there is no such file (a strategy without epochs)."""
    if not path.is_file():
        return []
    lines = [storage.parse_json(line, path) for line in storage.read_text(path).splitlines()]
    for line in lines:
        storage.check_schema(line, "History", path)
    return [EpochRecord(**line) for line in lines]


@dataclass(frozen=True)
class RunInfo:
    """``run.json``: what a folder is, and how far it is.

    Attributes:
        kind: ``"run"`` or ``"comparison"``.
        name: Of the folder when it was made.
        created: ISO date and time with zone.
        status: ``"running"``; ``"done"``, which is written last; or ``"replacing"``, see ``run_folders.replace_run``.
        details: Facts for the report: configuration, data, backbone, command.
    """

    kind: str
    name: str
    created: str
    status: str
    strategies: tuple[str, ...]
    details: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write ``run.json`` in a folder."""
        storage.write_json(folder / "run.json", asdict(self))


def read_run_info(folder: Path) -> RunInfo:
    """The ``run.json`` of a folder.

    Raises:
        DataError: The folder has none, or it is of another format.
        CorruptFile: It does not have the form of ``schemas.RunJson``.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise DataError(f"{folder} is not a run: it has no run.json. `topwork runs` lists the runs there are.")
    value = storage.read_json(path)
    found = read_format(value, path)
    if found > FORMAT:
        raise DataError(f"{folder} was written by a newer topwork (format {found}). Update topwork.")
    if found < FORMAT:
        raise DataError(f"{folder} was written by an older topwork (format {found}, not {FORMAT}). Train again.")
    storage.check_schema(value, "RunJson", path)
    return RunInfo(**value | {"strategies": tuple(value["strategies"])})


def read_format(value: Any, path: Path) -> int:
    """The format number in the JSON value of a file; 0 if it has none, a CorruptFile error if it is no number."""
    found = value.get("format", 0) if isinstance(value, dict) else None
    if not isinstance(found, int):
        raise CorruptFile(f"{path} is not as topwork writes it: it has no format number. Restore it from its source.")
    return found


def read_metrics(run: Path) -> dict[str, Any]:
    """The content of ``metrics.json`` of a run; empty if it has not finished.

    Raises:
        CorruptFile: It does not have the form of ``schemas.Metrics``.
    """
    path = run / "metrics.json"
    return storage.read_json(path, "Metrics") if path.is_file() else {}
