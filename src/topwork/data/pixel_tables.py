"""Tables with the pixels of images as numbers: a column per pixel (Digit Recognizer) or one with all (FER2013)."""

from __future__ import annotations

import csv
import io
import math
import os
import re
from dataclasses import dataclass

import numpy as np

from topwork.core.errors import DataError, UsageError
from topwork.data.tables import codec_of

_MIN_PIXELS = 64  # fewer numbers per row are features, not an image
_HEAD = 1 << 16  # bytes that show the encoding
_LABELS = ("label", "labels", "class", "category", "target", "emotion", "y")
_SPLITS = ("usage", "split", "set", "subset")
_PIXEL_NAME = re.compile(r"((pixel|pix|px|p)[\W_]*\d+|\d+x\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class PixelTable:
    """A table of pixels.

    Attributes:
        path: Of the file.
        header: Whether its first row has names.
        label: Name of the column of labels, or its number; empty if there is none.
        label_at, split_at: Positions of columns; -1 if there is none.
        pixels: Positions of the columns of pixels; a single one has all numbers of an image.
        shape: Height, width and, for colors, 3.
        count: Number of rows, roughly.
        delimiter: Between columns.
        codec: Decodes the file.
    """

    path: str
    header: bool
    label: str
    label_at: int
    split_at: int
    pixels: tuple[int, ...]
    shape: tuple[int, ...]
    count: int
    delimiter: str
    codec: str

    @property
    def size(self) -> str:
        """In words: ``"28 x 28 gray"``."""
        return f"{self.shape[1]} x {self.shape[0]} {'RGB' if len(self.shape) > 2 else 'gray'}"

    def read(self) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Images float32 (N, H, W[, 3]), labels (N,), and what the column of splits says (N,).

        Raises:
            DataError: A row is not valid; the message names its line.
        """
        images, labels, splits = list[np.ndarray](), list[str](), list[str]()
        with open(self.path, encoding=self.codec, errors="backslashreplace", newline="") as file:
            reader = csv.reader(file, delimiter=self.delimiter)
            for row in reader:
                if not any(row) or (self.header and reader.line_num == 1):
                    continue
                try:
                    cells = row[self.pixels[0]].split() if len(self.pixels) == 1 else [row[n] for n in self.pixels]
                    images.append(np.array(cells, dtype=np.float32).reshape(self.shape))
                    labels.append(row[self.label_at].strip() if self.label else "")
                    splits.append(row[self.split_at].strip().lower() if self.split_at >= 0 else "")
                except (ValueError, IndexError) as error:
                    raise DataError(
                        f"{self.path}:{reader.line_num} does not have the {math.prod(self.shape)} pixel values of an "
                        f"image: {error}. Correct the row, or remove it."
                    ) from error
        return np.stack(images), np.array(labels), splits


def probe(path: str, label_column: str = "") -> PixelTable | None:
    """The table of pixels in a file, by its first two rows; None if it is none.

    Args:
        path: Of the file.
        label_column: The column of labels; empty if it is to be found.

    Raises:
        DataError: Its pixels make no square image.
        UsageError: It has no column ``label_column``.
    """
    try:
        size = os.path.getsize(path)
        if size < 2 * _MIN_PIXELS:  # not a row: a file of boxes beside each image, say
            return None
        with open(path, "rb") as file:
            head = file.read(_HEAD)
            codec = codec_of(head, is_whole=False)
            file.seek(0)
            text = io.TextIOWrapper(file, codec, "backslashreplace", newline="")
            lines = [text.readline(1 << 24), text.readline(1 << 24)]
    except (OSError, ValueError):
        return None
    delimiter = max(",;\t", key=lines[0].count)
    names, first = ([cell.strip() for cell in line.strip().split(delimiter)] for line in lines)
    columns = {name.lower(): n for n, name in reversed(list(enumerate(names)))}
    if "pixels" in columns:
        pixels = [columns["pixels"]]
        number = len(first[pixels[0]].split()) if len(first) == len(names) else 0
    elif len(names) > _MIN_PIXELS:
        pixels = [n for n, name in enumerate(names) if _PIXEL_NAME.fullmatch(name)]
        number = len(pixels)
    else:
        return None
    named = number >= _MIN_PIXELS
    header = named or not all(name.isdecimal() for name in names)
    label_at = _label_position(path, columns if header else {}, label_column, pixels if named else [], len(names))
    if not named:
        pixels = [n for n in range(len(names)) if n != label_at]
        number = len(pixels)
        if len(first) != len(names) or not all(first[n].isdecimal() and int(first[n]) < 256 for n in pixels):
            return None
    shape = _shape(number)
    if not shape:
        if not named:
            return None
        raise DataError(
            f"{path} has {number} pixels per row, which do not form a square image; expected n x n pixels for gray, or "
            "3 x n x n for color. Save the images as files in one folder per class."
        )
    split_at = next((columns[name] for name in _SPLITS if header and name in columns), -1)
    label = "" if label_at < 0 else names[label_at] if header else str(label_at + 1)
    count = size // max(1, len(lines[1]))
    return PixelTable(path, header, label, label_at, split_at, tuple(pixels), shape, count, delimiter, codec)


def _label_position(path: str, columns: dict[str, int], requested: str, pixels: list[int], number: int) -> int:
    """The column of labels: the one that is configured, one with a usual name, or the only one beside the pixels."""
    if requested:
        if requested.lower() not in columns:
            names = ", ".join(name for name, n in columns.items() if n not in pixels)
            raise UsageError(
                f"{path} has no column {requested!r} (--label-column). Its columns other than pixels are: "
                f"{names or 'none'}. Pass one of them, or omit --label-column."
            )
        return columns[requested.lower()]
    called = next((columns[name] for name in _LABELS if name in columns), -1)
    if called >= 0:
        return called
    if not pixels:  # no names: the first column, if the others make an image and all of them do not
        return 0 if _shape(number - 1) and not _shape(number) else -1
    rest = [n for name, n in columns.items() if n not in pixels and name not in (*_SPLITS, "", "id")]
    return rest[0] if len(rest) == 1 else -1


def _shape(number: int) -> tuple[int, ...]:
    """Height and width of a square image of so many numbers, and 3 for colors; empty if there is none."""
    for channels in ((), (3,)):
        side = math.isqrt(number // math.prod(channels))
        if number >= _MIN_PIXELS and side * side * math.prod(channels) == number:
            return (side, side, *channels)
    return ()
