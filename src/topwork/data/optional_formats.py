"""HEIC (iPhones) and DICOM (scanners): formats that need an optional package, imported when such a file is met."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_PACKAGES = {"HEIF": ("pillow-heif", "pillow_heif", "heic"), "DICOM": ("pydicom", "pydicom", "dicom")}
SUFFIXES_OF = {"HEIF": (".heic", ".heif", ".hif"), "DICOM": (".dcm", ".dicom")}


class NotInstalled(ValueError):
    """The package for a format is missing."""


def versions() -> list[str]:
    """The installed packages, with which other files can be decoded than without."""
    found = []
    for package, module, _ in _PACKAGES.values():
        found.append(f"{package} {metadata.version(package)}" if importlib.util.find_spec(module) else "")
    return found


def format_of(data: bytes) -> str:
    """``"HEIF"`` or ``"DICOM"`` if the content is that, else empty."""
    if data[128:132] == b"DICM":
        return "DICOM"
    is_avif = b"avif" in data[8:64] or b"avis" in data[8:64]
    return "HEIF" if data[4:8] == b"ftyp" and data[8:12] in _HEIF_BRANDS and not is_avif else ""


def open_image(data: bytes, kind: str, check_size: Callable[[int, int], object]) -> tuple[Image.Image, list[str]]:
    """The opened image, and what was done to it: a HEIF image is not decoded yet, a DICOM image is L, F or RGB.

    Args:
        data: The file's bytes.
        kind: As of ``format_of``.
        check_size: Refuses a width and height, before any pixel is decoded.

    Raises:
        NotInstalled: The message has the command that installs the package.
        Exception: Many kinds, for files that are damaged.
    """
    _, module, extra = _PACKAGES[kind]
    if importlib.util.find_spec(module) is None:
        name = "HEIC" if kind == "HEIF" else kind
        raise NotInstalled(f"{name} needs an optional package: pip install 'topwork[{extra}]'")
    if kind == "DICOM":
        return _open_dicom(data, check_size)
    import pillow_heif

    setattr(pillow_heif.options, "DECODE_THREADS", 1)  # noqa: B010 - its type is Literal[4]
    pillow_heif.register_heif_opener()
    try:
        image = Image.open(io.BytesIO(data), formats=("HEIF",))
    except UnidentifiedImageError as error:
        raise ValueError("HEIC that is truncated or damaged") from error
    check_size(*image.size)
    return image, ["first of several images"] if getattr(image, "n_frames", 1) > 1 else []


def _open_dicom(data: bytes, check_size: Callable[[int, int], object]) -> tuple[Image.Image, list[str]]:
    import pydicom
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    warnings.filterwarnings("ignore", module=r"pydicom\.")  # values that are not valid do no harm
    file = pydicom.dcmread(io.BytesIO(data))
    if any(tag not in file for tag in ("PixelData", "Columns", "Rows")):
        raise ValueError("DICOM without an image")
    check_size(int(file.Columns), int(file.Rows))
    try:
        values: Any = pixel_array(file, index=0)
    except (RuntimeError, NotImplementedError) as error:
        syntax = file.file_meta.TransferSyntaxUID.name.split(" (")[0].split(",")[0]
        raise ValueError(f"DICOM compressed as {syntax}, which is not read; decompress it") from error
    notes = ["first of several frames"] if int(file.get("NumberOfFrames") or 1) > 1 else []
    kind = str(file.PhotometricInterpretation)
    if values.ndim == 3 or kind == "PALETTE COLOR":
        colors = values if values.ndim == 3 else apply_color_lut(values, file)
        bits = int(file.BitsStored) if values.ndim == 3 else 8 * colors.itemsize
        return Image.fromarray(np.rint(colors * (255 / (2**bits - 1))).astype(np.uint8)), notes
    values = apply_modality_lut(values, file)
    shown = _windowed(values, file)
    notes += ["window of the file applied"] if shown is not None else []
    if kind == "MONOCHROME1":
        notes.append("inverted, as MONOCHROME1 says")
        values, shown = -values.astype(np.float64), None if shown is None else 1 - shown
    if shown is None:
        return Image.fromarray(values.astype(np.float32)), notes
    return Image.fromarray(np.rint(shown * 255).astype(np.uint8)), notes


def _windowed(values: np.ndarray, file: Any) -> np.ndarray | None:
    """The values through the first window or table of the file, in [0, 1]; None if it has no valid one."""
    from pydicom.pixels import apply_voi, apply_windowing

    tables = file.get("VOILUTSequence")
    if tables:
        bits = int(tables[0].LUTDescriptor[2])
        return np.clip(apply_voi(values, file) / (2**bits - 1), 0, 1)
    try:
        low, high = (
            apply_windowing(np.array([end]), file)[0] for end in (-1e12, 1e12)
        )  # black and white of the window
        shown = apply_windowing(values, file)
    except (ValueError, TypeError):
        return None
    return None if low >= high or "WindowWidth" not in file else np.clip((shown - low) / (high - low), 0, 1)
