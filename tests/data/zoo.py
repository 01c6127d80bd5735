"""Odd image files, each made on the spot, with what must become of it: used, converted (a word of it) or set aside."""

from __future__ import annotations

import io
import itertools
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

SIZE = (40, 30)
ASIDE = None


def photo(size: tuple[int, int] = SIZE, seed: int = 0) -> Image.Image:
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    noise = np.random.default_rng(seed).normal(0, 12, (size[1], size[0], 3))
    return Image.fromarray((np.stack([x, y, 255 - x], axis=2) + noise).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *more: bytes, interlace: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def files() -> Iterator[tuple[str, bytes, str | None]]:
    """Name, bytes, and a word of what is said; an empty word: plain; ASIDE: set aside."""
    rgb, many = photo(), [photo(seed=s) for s in range(3)]
    jpeg, tiff = encoded(rgb, "JPEG"), encoded(rgb, "TIFF")
    yield from _plain(rgb)
    for kind, turn in itertools.product(("JPEG", "PNG", "WEBP", "TIFF"), range(2, 9)):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"turned{turn}.{kind.lower()}", encoded(rgb, kind, exif=exif), "EXIF"
    wide = np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50
    for suffix, kind in (("png", "PNG"), ("tif", "TIFF"), ("pgm", "PPM")):
        yield f"wide.{suffix}", encoded(Image.fromarray(wide), kind), "16-bit"
    sixteen = b"".join(b"\0" + bytes(6 * 40) for _ in range(30))
    yield "wide-colour.png", png(40, 30, 16, 2, sixteen), "16-bit"
    yield "float.tif", encoded(Image.fromarray(wide.astype(np.float32) / 7), "TIFF"), "float"
    yield "int.tif", encoded(Image.fromarray(wide.astype(np.int32) - 9), "TIFF"), "32-bit"
    yield "nan.tif", encoded(Image.fromarray(np.full((9, 9), np.nan, np.float32)), "TIFF"), ASIDE
    yield "float.pfm", encoded(Image.fromarray(wide.astype(np.float32)), "PPM"), "float"
    for kind in ("JPEG", "TIFF"):
        yield f"cmyk.{kind.lower()}", encoded(rgb.convert("CMYK"), kind), "CMYK"
    alpha = rgb.copy()
    alpha.putalpha(Image.new("L", SIZE, 90))
    for kind in ("PNG", "WEBP", "TIFF"):
        yield f"alpha.{kind.lower()}", encoded(alpha, kind), "alpha"
    yield "grey-alpha.png", encoded(alpha.convert("LA"), "PNG"), "alpha"
    palette = rgb.convert("P")
    first = palette.getpixel((0, 0))
    yield "transparent-colour.png", encoded(palette, "PNG", transparency=first), "alpha"
    for kind in ("GIF", "WEBP", "PNG"):
        yield f"film.{kind.lower()}", encoded(many[0], kind, save_all=True, append_images=many[1:]), "animation"
    for kind in ("TIFF", "MPO"):
        name = f"pages.{'tif' if kind == 'TIFF' else 'mpo'}"
        yield name, encoded(many[0], kind, save_all=True, append_images=many[1:]), "first of several"
    for kind in ("PNG", "GIF", "WEBP", "BMP"):
        yield f"misnamed-{kind}.jpg", encoded(rgb, kind), "named .jpg"
    yield "misnamed-JPEG.png", jpeg, "named .png"
    yield from _broken(rgb, jpeg, tiff)


def _plain(rgb: Image.Image) -> Iterator[tuple[str, bytes, str | None]]:
    yield "progressive.jpg", encoded(rgb, "JPEG", progressive=True), ""
    yield "grey.jpg", encoded(rgb.convert("L"), "JPEG"), ""
    yield "no-subsampling.jpg", encoded(rgb, "JPEG", subsampling=0, quality=100), ""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "profile.jpg", encoded(rgb, "JPEG", icc_profile=profile), ""
    yield "broken-profile.jpg", encoded(rgb, "JPEG", icc_profile=b"no profile" * 9), ""
    yield "broken-exif.jpg", encoded(rgb, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"), ""
    yield "huge-exif.jpg", encoded(rgb, "JPEG", exif=b"Exif\0\0" + b"\0" * 60_000), ""
    yield "comment.jpg", encoded(rgb, "JPEG", comment=b"\xff\0<script>" * 99), ""
    yield "after-the-end.jpg", encoded(rgb, "JPEG") + b"garbage" * 999, ""
    yield "UPPER.JPG", encoded(rgb, "JPEG"), ""
    yield "bits.png", encoded(rgb.convert("1"), "PNG"), ""
    yield "palette.png", encoded(rgb.convert("P"), "PNG"), ""
    yield "opaque.png", encoded(rgb.convert("RGBA"), "PNG"), ""
    rows = b"".join(b"\0" + bytes(40 * 3) for _ in range(30))
    yield "text.png", png(40, 30, 8, 2, rows, chunk(b"tEXt", b"a\0" + b"b" * 9999)), ""
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "y" * 2_000_000, zip=True)
    yield "text-bomb.png", encoded(rgb, "PNG", pnginfo=info), ASIDE
    yield "lossless.webp", encoded(rgb, "WEBP", lossless=True), ""
    yield "still.gif", encoded(rgb, "GIF"), ""
    yield "one.bmp", encoded(rgb.convert("1"), "BMP"), ""
    yield "plain.ppm", encoded(rgb, "PPM"), ""
    for packed in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "raw"):
        yield f"{packed}.tif", encoded(rgb, "TIFF", compression=packed), ""
    yield "tiny.png", encoded(photo((1, 1)), "PNG"), ""
    yield "flat.png", encoded(Image.new("RGB", SIZE, (9, 9, 9)), "PNG"), ""
    yield "long.png", encoded(photo((490, 10)), "PNG"), ""


def _broken(rgb: Image.Image, jpeg: bytes, tiff: bytes) -> Iterator[tuple[str, bytes, str | None]]:
    yield "empty.jpg", b"", ASIDE
    yield "one-byte.jpg", b"\xff", ASIDE
    yield "html.jpg", b"<!DOCTYPE html><html>404</html>", ASIDE
    yield "pointer.jpg", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", ASIDE
    yield "._apple.jpg.jpg", b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(90), ASIDE
    yield "noise.png", bytes(range(256)) * 9, ASIDE
    yield "zeros.jpg", bytes(4096), ASIDE
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM"):
        data = encoded(rgb, kind)
        yield f"half.{kind.lower()}", data[: len(data) // 2], ASIDE
        yield f"head.{kind.lower()}", data[:12], ASIDE
    yield "cut-2.jpg", jpeg[:-2], ""
    yield "bomb.png", png(30_000, 30_000, 8, 2, b""), ASIDE
    yield "no-width.png", png(0, 9, 8, 2, b""), ASIDE
    yield "no-pixels.png", png(40, 30, 8, 2, b""), ASIDE
    yield "thread.png", encoded(Image.new("RGB", (2, 30_000)), "PNG"), ASIDE
    yield "strange-depth.png", png(40, 30, 7, 2, b"\0" * 999), ASIDE
    yield "bad-sum.png", encoded(rgb, "PNG").replace(b"IDAT", b"IDAT", 1)[:-20] + bytes(20), ASIDE
    yield (
        "bomb.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 90_000, 90_000, 1, 24, 0, 0, 0, 0, 0, 0),
        ASIDE,
    )
    yield "bomb.gif", b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b";", ASIDE
    yield "loop.tif", tiff[:4] + struct.pack("<I", 8) + struct.pack("<H", 0) + struct.pack("<I", 8), ASIDE
    yield "bomb.ppm", b"P6 99999 99999 255\n", ASIDE
    yield "words.pgm", b"P2 three rows", ASIDE
    for kind in ("ICO", "TGA", "EPS", "PDF", "SGI", "PCX", "JPEG2000"):
        yield f"other-{kind}.jpg", encoded(rgb, kind), ASIDE
    yield "vector.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>', ASIDE
    yield "phone.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99), ASIDE


def places(folder: Path) -> dict[str, str | None]:
    """What is no file, or has an odd name or place; name to what must become of it."""
    made: dict[str, str | None] = {}

    def make(name: str, what: str | None, how: Callable[[Path], object]) -> None:
        how(folder / name)
        made[name] = what

    data = encoded(photo(seed=9), "JPEG")
    make("folder.jpg", "", lambda p: p.mkdir())
    make("gone.jpg", ASIDE, lambda p: p.symlink_to(folder / "nowhere.jpg"))
    make("itself.jpg", ASIDE, lambda p: p.symlink_to(p))
    make("device.jpg", ASIDE, lambda p: p.symlink_to("/dev/zero"))
    make("pipe.jpg", ASIDE, os.mkfifo)
    make("ünïcode — 图.jpg", "", lambda p: p.write_bytes(data))
    make('new\nline, "quote".jpg', "", lambda p: p.write_bytes(data))
    make("l" * 240 + ".jpg", "", lambda p: p.write_bytes(data))
    make(os.fsdecode(b"bytes-\xff\xfe.jpg"), "", lambda p: p.write_bytes(data))
    make("-rf.jpg", "", lambda p: p.write_bytes(data))
    make("#xywh=1,2,3,4.jpg", "", lambda p: p.write_bytes(data))
    del made["folder.jpg"]  # an empty folder inside a class is nothing
    return made
