"""The pixel policy, through files that the tests draw."""

from __future__ import annotations

import io
import os
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from topwork.core.image_ref import ImageRef
from topwork.data import images, optional_formats
from topwork.data.images import ImageFacts, UnreadableImage, decode, load_image, read_image_bytes

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)


def inspect_image(path: Path) -> ImageFacts:
    ref = ImageRef.parse(path)
    return decode(read_image_bytes(ref), ref.suffix, str(ref), box=ref.box)[1]


def pixels(path: Path) -> np.ndarray:
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def photo(size: tuple[int, int] = (64, 48)) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=2).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that declares a size and holds no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# The inverse of what each orientation asks a viewer to do.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", STORED)
def test_every_exif_orientation_comes_out_upright(tmp_path: Path, orientation: int, kind: str) -> None:
    upright = np.zeros((32, 48, 3), dtype=np.uint8)
    upright[:16, :16] = RED
    upright[16:, 32:] = BLUE
    turn = STORED[orientation]
    stored = Image.fromarray(upright) if turn is None else Image.fromarray(upright).transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{kind.lower()}"
    lossy = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    path.write_bytes(encoded(stored, kind, exif=exif, **lossy))

    shown = pixels(path)

    assert shown.shape == upright.shape
    assert np.abs(shown.astype(int) - upright).max() <= 8
    facts = inspect_image(path)
    assert (facts.width, facts.height) == stored.size
    assert facts.conversions == (() if orientation == 1 else ("EXIF orientation applied",))


def test_broken_exif_loses_no_image_even_where_warnings_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(encoded(photo(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fgarbage"))

    # In a process of its own, since pytest undoes the filters that importing a module installs.
    script = "import sys; from topwork.data.images import load_image; print(load_image(sys.argv[1]).width)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("64\n", "")


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_a_16_bit_ramp_keeps_256_levels(tmp_path: Path, suffix: str) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(ramp).save(path)

    shown = pixels(path)

    assert sorted(np.unique(shown)) == list(range(256))
    assert (np.diff(shown[..., 0].ravel().astype(int)) >= 0).all()
    assert inspect_image(path).conversions == ("16-bit scaled to 8",)


@pytest.mark.parametrize(
    ("values", "mode"),
    [(np.linspace(0, 1, 256, dtype=np.float32), "float"), (np.linspace(-9e6, 9e6, 256).astype(np.int32), "32-bit")],
)
def test_wide_greys_are_scaled_by_their_range(tmp_path: Path, values: np.ndarray, mode: str) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(values.reshape(16, 16)).save(path)

    assert sorted(np.unique(pixels(path))) == list(range(256))
    assert inspect_image(path).conversions == (f"{mode} scaled by range to 8-bit",)


def test_values_that_are_no_number_become_black_and_the_rest_stays(tmp_path: Path) -> None:
    values = np.array([[np.nan, 0, 1], [np.inf, -np.inf, 0.5]], dtype=np.float32)
    path = tmp_path / "x.tif"
    Image.fromarray(values).save(path)
    assert pixels(path)[..., 0].tolist() == [[0, 0, 255], [0, 0, 128]]

    Image.fromarray(np.full((4, 4), np.nan, dtype=np.float32)).save(path)
    with pytest.raises(UnreadableImage, match="no finite value"):
        load_image(path)


def test_a_constant_float_image_is_black_rather_than_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(np.full((4, 4), 7, dtype=np.float32)).save(path)
    assert pixels(path).max() == 0


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_keeps_its_colours(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.new("RGB", (32, 32), (250, 240, 10)).convert("CMYK").save(path)

    assert np.abs(pixels(path).astype(int) - (250, 240, 10)).max() <= 6
    assert inspect_image(path).conversions == ("CMYK to RGB",)


def transparent(mode: str) -> Image.Image:
    """The left half is opaque, the right half wholly transparent with a dark colour hidden below."""
    alpha = Image.new("L", (16, 8), 255)
    alpha.paste(0, (8, 0, 16, 8))
    if mode == "P":
        image = Image.new("P", (16, 8), 1)
        image.putpalette([9, 9, 9, *RED] + [0] * 762)
        image.paste(0, (8, 0, 16, 8))
        image.info["transparency"] = 0
        return image
    image = Image.new(mode[:-1], (16, 8), 60 if mode == "LA" else (60, 0, 0))
    image.putalpha(alpha)
    return image


@pytest.mark.parametrize(("mode", "left"), [("RGBA", (60, 0, 0)), ("LA", (60, 60, 60)), ("P", RED)])
def test_transparency_shows_white_and_never_the_hidden_colour(tmp_path: Path, mode: str, left: tuple[int, ...]) -> None:
    path = tmp_path / "x.png"
    transparent(mode).save(path)

    shown = pixels(path)

    assert tuple(shown[0, 0]) == left
    assert tuple(shown[0, 15]) == WHITE
    assert inspect_image(path).conversions == ("alpha composited on white",)


def test_a_half_transparent_pixel_is_blended(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.new("RGBA", (4, 4), (0, 0, 0, 127)).save(path)
    assert pixels(path)[0, 0].tolist() == [128, 128, 128]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_plain_images_of_any_mode_need_no_word(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "x.png"
    Image.new("RGB", (5, 4), WHITE).convert(mode).save(path)

    assert tuple(pixels(path)[0, 0]) == WHITE
    facts = inspect_image(path)
    assert (facts.width, facts.height, facts.conversions, facts.format) == (5, 4, (), "PNG")


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE, WHITE)]
    lossless = {"lossless": True} if kind == "WEBP" else {}
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **lossless))

    assert tuple(pixels(path)[0, 0]) == RED
    word = "first of several images" if kind == "TIFF" else "first frame of an animation"
    assert inspect_image(path).conversions == (word,)


def test_a_file_named_as_another_format_is_used_and_said(tmp_path: Path) -> None:
    path = tmp_path / "x.JPG"
    path.write_bytes(encoded(photo(), "PNG"))
    assert inspect_image(path).conversions == ("file is PNG, named .jpg",)
    assert np.array_equal(pixels(path), np.asarray(photo()))


@pytest.mark.parametrize("kind", [kind for kind in images.FORMATS if kind not in optional_formats.SUFFIXES_OF])
def test_every_allowed_format_is_read_under_one_of_its_suffixes(tmp_path: Path, kind: str) -> None:
    suffix = {"JPEG": ".jpeg", "TIFF": ".tiff"}.get(kind, f".{kind.lower()}")
    path = tmp_path / f"x{suffix}"
    two = {"save_all": True, "append_images": [photo()]} if kind == "MPO" else {}  # with one it would be a JPEG
    path.write_bytes(encoded(photo(), kind, **two))
    assert suffix in images.SUFFIXES
    assert pixels(path).shape == (48, 64, 3)
    assert inspect_image(path).conversions == (("first of several images",) if two else ())


PHOTO_JPEG = encoded(photo(), "JPEG")
PHOTO_PNG = encoded(photo(), "PNG")

BAD_BYTES = {
    "empty": (b"", "empty file"),
    "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not an image in a supported format"),
    "noise": (bytes(range(256)) * 8, "not an image in a supported format"),
    "half a jpeg": (PHOTO_JPEG[: len(PHOTO_JPEG) // 2], "truncated"),
    "half a png": (PHOTO_PNG[: len(PHOTO_PNG) // 2], "truncated"),
    "only a jpeg header": (PHOTO_JPEG[:20], ""),
    "most of a gif": (encoded(photo(), "GIF")[:-200], "truncated"),
    "half a webp": (encoded(photo(), "WEBP")[:100], ""),
    "half a bmp": (encoded(photo(), "BMP")[:1000], "truncated"),
    "half a tiff": (encoded(photo(), "TIFF")[:1000], ""),
    "a format that is not allowed": (encoded(photo(), "ICO"), "not an image in a supported format"),
    "postscript": (encoded(photo(), "EPS"), "not an image in a supported format"),
    "bomb by declared size": (png_header(20_000, 20_000), "million pixels"),
    "beyond what Pillow only warns of": (png_header(10_000, 9_000), "million pixels"),
    "no width": (png_header(0, 5), ""),
    "a thread of pixels": (encoded(Image.new("RGB", (2, 30_000)), "PNG"), "times the other"),
}


@pytest.mark.parametrize("what", BAD_BYTES)
def test_bad_bytes_are_refused_with_a_short_reason(tmp_path: Path, what: str) -> None:
    data, reason = BAD_BYTES[what]
    path = tmp_path / "x.jpg"
    path.write_bytes(data)

    with pytest.raises(UnreadableImage, match="Cannot use ") as caught:
        load_image(path)

    assert reason in caught.value.reason.lower()
    assert 0 < len(caught.value.reason) <= 160
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert str(path) not in caught.value.reason
    with pytest.raises(UnreadableImage) as again:
        inspect_image(path)
    assert again.value.reason == caught.value.reason


def test_pixels_of_a_bomb_are_never_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png_header(10_000, 9_000))
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(UnreadableImage, match="million pixels"):
        load_image(path)


def test_a_file_over_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(PHOTO_PNG)
    monkeypatch.setattr(images, "MAX_BYTES", 100)
    with pytest.raises(UnreadableImage, match="larger than"):
        load_image(path)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "x.jpg"
    folder.mkdir()
    with pytest.raises(UnreadableImage, match="not a regular file"):
        load_image(folder)
    with pytest.raises(UnreadableImage, match="No such file"):
        load_image(tmp_path / "none.jpg")
    with pytest.raises(UnreadableImage):
        load_image(Path("nul\0byte.jpg"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.timeout(20)
def test_pipes_sockets_and_devices_do_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # the path of a socket may have some hundred bytes only
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        for path in (tmp_path / "pipe.jpg", tmp_path / "socket.jpg", Path(os.devnull)):
            with pytest.raises(UnreadableImage, match="not a regular file"):
                load_image(path)


def test_links_to_nothing_and_to_themselves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "never.jpg")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    with pytest.raises(UnreadableImage, match="broken link"):
        load_image(tmp_path / "gone.jpg")
    with pytest.raises(UnreadableImage):
        load_image(tmp_path / "self.jpg")


@pytest.mark.parametrize("error", [ValueError, SyntaxError, struct.error, EOFError, zlib.error, MemoryError, KeyError])
def test_whatever_a_decoder_raises_is_one_kind_of_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception], draw: Callable[..., Path]
) -> None:
    def broken(self: object) -> None:
        raise error("at 0x7fffdeadbeef in <_io.BytesIO object>\nsecond line")

    monkeypatch.setattr(ImageFile.ImageFile, "load", broken)
    with pytest.raises(UnreadableImage) as caught:
        load_image(draw(tmp_path / "x.bmp"))
    assert "0x7f" not in caught.value.reason
    assert "\n" not in caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
def test_mutated_files_are_decoded_or_refused(tmp_path: Path, kind: str) -> None:
    good = encoded(photo((24, 20)), kind)
    random = np.random.default_rng(7)
    path = tmp_path / "x.jpg"
    for _ in range(60):
        data = np.frombuffer(good, dtype=np.uint8).copy()
        places = random.integers(0, len(data), 4)
        data[places] = random.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        with suppress(UnreadableImage):
            assert load_image(path).mode == "RGB"


def test_threads_see_the_same_pixels(tmp_path: Path) -> None:
    paths = []
    for number, kind in enumerate(("JPEG", "PNG", "WEBP", "TIFF", "GIF") * 4):
        paths.append(tmp_path / f"{number}.{kind.lower()}")
        paths[-1].write_bytes(encoded(photo(), kind))
    alone = [pixels(path) for path in paths]
    together: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda i=i: together.update({i: pixels(paths[i])})) for i in range(len(paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(alone[i], together[i]) for i in range(len(paths)))


def test_bytes_in_memory_give_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(PHOTO_JPEG)
    assert np.array_equal(np.asarray(images.decode(PHOTO_JPEG)[0]), pixels(path))


def detailed(size: tuple[int, int]) -> Image.Image:
    """A picture with something at every scale, as photographs have."""
    x, y = np.meshgrid(np.arange(size[0]) / size[0], np.arange(size[1]) / size[1])
    waves = sum(np.sin(2 * np.pi * f * (x + k * y)) / f for f, k in [(1, 1), (3, -1), (11, 2), (40, 0.5)])
    channels = [(127 + 60 * np.roll(waves, 30 * c, axis=1)).clip(0, 255) for c in range(3)]
    return Image.fromarray(np.stack(channels, axis=2).astype(np.uint8))


@pytest.mark.parametrize("size", [(800, 600), (448, 3000), (447, 3000), (224, 224), (3000, 1800)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_is_decoded_smaller_but_never_too_small(
    tmp_path: Path, size: tuple[int, int], orientation: int
) -> None:
    path = tmp_path / "large.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    detailed(size).save(path, quality=95, exif=exif)
    whole, small = load_image(path), load_image(path, 224)
    assert whole.size == (size if orientation == 1 else size[::-1])
    factor = max(f for f in (1, 2, 4, 8) if f == 1 or min(size) // f >= 224)
    assert small.size == tuple(-(-side // factor) for side in whole.size)
    a, b = (np.asarray(i.resize((224, 224), Image.Resampling.BICUBIC, reducing_gap=3.0), float) for i in (whole, small))
    assert np.abs(a - b).mean() < 1.5  # of 255
    facts = inspect_image(path)
    assert (facts.width, facts.height) == size


def test_other_formats_are_decoded_whole(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    detailed((800, 600)).save(path)
    assert load_image(path, 224).size == (800, 600)
