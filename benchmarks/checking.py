"""The first and the second look at many JPEGs, and how many planted copies are found: python benchmarks/checking.py.

Args: ``[NUMBER]`` of made-up images of 500 px (10,000), or ``--data FOLDER`` to plant copies of real ones.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from topwork.core.config import DataConfig
from topwork.data.fingerprints import fingerprint
from topwork.data.images import load_image
from topwork.data.manifest import build_manifest
from topwork.data.near_duplicates import NearDuplicates, find_near_duplicates, thumbnail_of
from topwork.data.sources import list_images
from topwork.data.split_units import DisjointSets


def made_up(number: int, size: tuple[int, int] = (500, 375)) -> Image.Image:
    """Blurred noise at several scales: about as costly to decode as a real image."""
    rng = np.random.default_rng(number)
    total = np.zeros((size[1], size[0], 3))
    for cells in (3, 6, 12, 24, 48):
        small = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)) / np.sqrt(cells)
    total = (total - total.min()) / np.ptp(total) * 255
    return Image.fromarray(total.astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def copies(image: Image.Image) -> Iterator[tuple[str, Image.Image]]:
    """What people's copies look like."""
    w, h = image.size
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    yield "exact", image
    yield "resized to half", image.resize((w // 2, h // 2), Image.Resampling.BICUBIC)
    yield "resized to 30 %", image.resize((w * 3 // 10, h * 3 // 10), Image.Resampling.BILINEAR)
    yield "recompressed, quality 30", jpeg(image, 30)
    yield "mirrored", mirrored
    yield "turned by 90", image.transpose(Image.Transpose.ROTATE_90)
    yield "turned by 180", image.transpose(Image.Transpose.ROTATE_180)
    yield "turned by 270", image.transpose(Image.Transpose.ROTATE_270)
    yield "upside down", image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    yield "all three", jpeg(mirrored.resize((w * 7 // 10, h * 7 // 10), Image.Resampling.LANCZOS), 60)


def looks(number: int) -> None:
    """Time two looks at made-up files."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for i in range(number):
            folder = root / "data" / f"class{i % 10}"
            folder.mkdir(parents=True, exist_ok=True)
            made_up(i % 400).rotate(i // 400).save(folder / f"{i}.jpg", quality=90)
        size = sum(path.stat().st_size for path in root.rglob("*.jpg")) / number
        time.sleep(2.1)  # a younger file is not believed to be unchanged
        for name in ("first", "second"):
            start = time.monotonic()
            build_manifest(DataConfig(path=str(root / "data"), source="folder"), root / "cache")
            print(
                f"{name} look at {number:,} JPEGs of {size / 1000:.0f} kB: {time.monotonic() - start:.2f} s", flush=True
            )


def recall(data: str, every: int = 10) -> None:
    """Plant copies of every tenth image, as if in another part, and look for them and for pairs that nobody planted."""
    listing = list_images(DataConfig(path=data))
    pictures = [load_image(image.ref) for image in listing.rows]
    n = len(pictures)
    planted: list[tuple[str, int]] = []
    for i in range(0, n, every):
        for kind, copy in copies(pictures[i]):
            pictures.append(copy)
            planted.append((kind, i))
    codes = {f"{number:09}": fingerprint(picture) for number, picture in enumerate(pictures)}
    near = find_near_duplicates(codes, lambda names: [thumbnail_of(pictures[int(n)]) for n in names], NearDuplicates())
    print(near.remark, flush=True)
    sets = DisjointSets()
    for a, b in near.pairs:
        sets.join(int(a), int(b))
    for kind in dict.fromkeys(kind for kind, _ in planted):
        hits = [sets.root(i) == sets.root(n + k) for k, (name, i) in enumerate(planted) if name == kind]
        print(f"  {kind}: {sum(hits)} of {len(hits)} found ({np.mean(hits):.1%})", flush=True)
    unplanted = n - len({sets.root(number) for number in range(n)})
    print(f"{data}: {unplanted} of {n:,} images joined to another one without a planted copy")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=10_000)
    parser.add_argument("--data", action="append", default=[])
    args = parser.parse_args()
    for data in args.data:
        recall(data)
    if not args.data:
        looks(args.number)
