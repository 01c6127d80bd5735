"""HEIC and DICOM: the pixels that the formats define, and one sentence where the package for them is missing."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, SecondaryCaptureImageStorage, generate_uid
from tests.drawings import draw

from topwork.core.config import DataConfig
from topwork.data import inspect_dataset, optional_formats
from topwork.data.decoder import DecoderLimits, Request, handle
from topwork.data.decoder_pool import InspectedFile
from topwork.data.images import UnreadableImage, decode
from topwork.data.inspection import Inspection
from topwork.data.manifest import build_manifest


def heic(image: Image.Image, orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, quality=100, chroma=444, exif=exif.tobytes())
    return buffer.getvalue()


def dicom(pixels: np.ndarray, kind: str = "MONOCHROME2", frames: int = 1, syntax: str = "", **tags: object) -> bytes:
    """A file of these stored values."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = pixels.shape[pixels.ndim > 2 and frames > 1 :][:2]
    color = kind in ("RGB", "YBR_FULL")
    file.SamplesPerPixel, file.PhotometricInterpretation = (3 if color else 1), kind
    if color:
        file.PlanarConfiguration = 0
    if frames > 1:
        file.NumberOfFrames = frames
    file.BitsAllocated = 8 * pixels.itemsize
    file.BitsStored = tags.pop("BitsStored", file.BitsAllocated)
    file.HighBit = file.BitsStored - 1
    file.PixelRepresentation = int(pixels.dtype.kind == "i")
    for name, value in tags.items():
        setattr(file, name, value)
    file.PixelData = encapsulate([pixels.tobytes()]) if syntax else pixels.tobytes()
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


RAMP = np.arange(0, 1024, dtype=np.int16).reshape(32, 32) - 100


def gray(data: bytes) -> np.ndarray:
    image = np.asarray(decode(data, ".dcm")[0])
    assert (image[..., 0] == image[..., 1]).all()
    return image[..., 0].astype(float)


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """DICOM PS3.3 C.11.2.1.2.1, to 0 ... 255."""
    return np.clip(((values - (center - 0.5)) / (width - 1) + 0.5), 0, 1) * 255


def test_an_image_of_an_iphone_is_upright_and_has_its_colors(tmp_path: Path) -> None:
    image = draw(1, 1, 64).resize((96, 64))
    for orientation, size in ((1, (96, 64)), (6, (64, 96))):
        rgb, facts = decode(heic(image, orientation), ".heic")
        assert (rgb.size, facts.format, facts.conversions) == (size, "HEIF", ())
        turned = rgb.rotate(90, expand=True) if orientation == 6 else rgb
        assert np.abs(np.asarray(turned).astype(float) - np.asarray(image)).mean() < 3
    assert decode(heic(image), ".jpg")[1].conversions == ("file is HEIF, named .jpg",)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_the_window_that_the_file_names_is_applied_after_the_rescaling(function: str) -> None:
    tags = {"RescaleSlope": 2, "RescaleIntercept": -50, "WindowCenter": 600, "WindowWidth": 500}
    values = RAMP * 2.0 - 50
    wanted = {
        "LINEAR": linear(values, 600, 500),
        "LINEAR_EXACT": np.clip((values - 600) / 500 + 0.5, 0, 1) * 255,
        "SIGMOID": 255 / (1 + np.exp(-4 * (values - 600) / 500)),
    }[function]
    for kind, expected in (("MONOCHROME2", wanted), ("MONOCHROME1", 255 - wanted)):
        data = dicom(RAMP, kind, VOILUTFunction=function, **tags)
        assert np.abs(gray(data) - expected).max() <= 0.51
        notes = decode(data)[1].conversions
        assert notes[0] == "window of the file applied"
        assert ("inverted, as MONOCHROME1 says" in notes) == (kind == "MONOCHROME1")
    several = dicom(RAMP, WindowCenter=[600, 1], WindowWidth=[500, 1])
    assert np.abs(gray(several) - linear(RAMP, 600, 500)).max() <= 0.51  # the first


def test_a_table_of_values_is_applied(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor = [1024, 0, 12]
    table.LUTData = np.minimum(4095, 8 * np.arange(1024)).astype("<u2").tobytes()
    values = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    expected = np.minimum(4095, 8.0 * values) / 4095 * 255
    assert np.abs(gray(dicom(values, BitsStored=12, VOILUTSequence=[table])) - expected).max() <= 0.51


def test_without_a_valid_window_values_are_scaled_by_range() -> None:
    expected = (RAMP + 100.0) / 1023 * 255
    for tags in ({}, {"WindowCenter": 0, "WindowWidth": 0}):
        data = dicom(RAMP, **tags)
        assert np.abs(gray(data) - expected).max() <= 0.51
        assert decode(data)[1].conversions == ("float scaled by range to 8-bit",)
    assert np.abs(gray(dicom(RAMP, "MONOCHROME1")) - (255 - expected)).max() <= 0.51


def test_the_first_frame_counts_and_colors_are_kept() -> None:
    frames = np.stack([RAMP, RAMP[::-1]])
    assert (gray(dicom(frames, frames=2)) == gray(dicom(RAMP))).all()
    assert decode(dicom(frames, frames=2))[1].conversions[0] == "first of several frames"
    colors = np.asarray(draw(2, 3, 32))
    assert (np.asarray(decode(dicom(colors, "RGB"))[0]) == colors).all()
    wide = colors.astype(np.uint16) * 257
    assert (np.asarray(decode(dicom(wide, "RGB"))[0]) == colors).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda: dicom(RAMP)[:-100], "less than expected"),
        (lambda: dicom(RAMP, Rows=60000, Columns=60000), "60000 x 60000 pixels, more than 80 million"),
        (lambda: dicom(RAMP, syntax=JPEGLSLossless), "compressed as JPEG-LS Lossless Image Compression, which is not"),
        (lambda: dicom(RAMP).replace(b"\xe0\x7f\x10\x00OW", b"\xe1\x7f\x10\x00OW"), "DICOM without an image"),
        (lambda: heic(draw(1, 1, 32))[:-200], "HEIC that is truncated or damaged"),
    ],
)  # fmt: skip
def test_what_cannot_be_decoded_is_excluded(data: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason) as told:
        decode(data())
    assert "\n" not in str(told.value)


def test_limits_hold_before_a_pixel_is_decoded() -> None:
    with pytest.raises(UnreadableImage, match="64 x 64 pixels, more than"):
        decode(heic(draw(1, 1, 64)), max_pixels=64 * 64 - 1)


def inspect_here(requests: Sequence[Request], _: int) -> Generator[InspectedFile]:
    for request in requests:
        (content, inspection), _ = handle(request, DecoderLimits())
        yield InspectedFile(content, Inspection(*inspection))


def test_without_the_package_a_sentence_names_the_command_and_with_it_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label in (0, 1):
        for number in range(2):
            folder = tmp_path / "data" / f"class{label}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.HEIC").write_bytes(heic(draw(label, number)))
            (folder / f"{number}.dcm").write_bytes(dicom(np.asarray(draw(label, number).convert("L"))))
    config = DataConfig(path=str(tmp_path / "data"))
    with monkeypatch.context() as patch:
        known = optional_formats.importlib.util.find_spec
        patch.setattr(
            optional_formats.importlib.util,
            "find_spec",
            lambda name: None if name in ("pillow_heif", "pydicom") else known(name),
        )
        patch.setattr(inspect_dataset, "inspect_files", inspect_here)
        missing = build_manifest(config, tmp_path / "cache", trainable=False)
    assert {row.reason for row in missing.excluded} == {
        "HEIC needs an optional package: pip install 'topwork[heic]'",
        "DICOM needs an optional package: pip install 'topwork[dicom]'",
    }
    found = build_manifest(config, tmp_path / "cache")  # what was cached is not used any more
    assert [row.status for row in found.rows] == ["used"] * 8
