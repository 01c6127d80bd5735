"""A million images in tar shards: what the index takes, and reading by place against files."""

from __future__ import annotations

import io
import os
import random
import resource
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from topwork.core.config import DataConfig
from topwork.core.image_ref import ImageRef
from topwork.data import locations
from topwork.data.archive_index import index_path, open_index
from topwork.data.sources import list_images

EACH = 10_000  # samples a shard
FILES = 20_000  # of the same images as files
T = TypeVar("T")


def gigabytes() -> float:
    """Of memory that this process has at present."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize() / 1e9


def timed(what: str, call: Callable[[], T], count: int) -> T:
    """Do it, and say what an image took."""
    before, start = gigabytes(), time.perf_counter()
    found = call()
    seconds, more = time.perf_counter() - start, gigabytes() - before
    each = f"{seconds / count * 1e6:.1f} us an image; memory +{more * 1e9 / count:.0f} bytes each"
    print(f"{what}: {seconds:.1f} s, {each}", flush=True)
    return found


def read_all(refs: list[ImageRef]) -> None:
    """Read images and forget them."""
    for ref in refs:
        locations.read_bytes(ref, 1 << 20)


def write_shards(folder: Path, images: int, picture: bytes) -> None:
    """Shards of pairs of a picture and a label."""
    for first in range(0, images, EACH):
        with tarfile.open(folder / f"train-{first // EACH:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as shard:
            for number in range(first, min(first + EACH, images)):
                for extension, data in (("jpg", picture), ("cls", str(number % 1000).encode())):
                    member = tarfile.TarInfo(f"{number:08d}.{extension}")
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))


def main(images: int = 1_000_000) -> None:
    """Print the figures."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TOPWORK_CACHE"] = str(folder / "cache")
        shards, files = folder / "shards", folder / "files" / "one"
        shards.mkdir()
        files.mkdir(parents=True)
        write_shards(shards, images, buffer.getvalue())
        paths = sorted(shards.glob("*.tar"))

        def index() -> int:
            return sum(len([*open_index(str(path), locations.file_stamp(str(path))).rows()]) for path in paths)

        members = timed("headers read, index written", index, images)
        stored = sum(index_path(str(path), locations.file_stamp(str(path))).stat().st_size for path in paths)
        print(f"  {members:,} members in {len(paths)} shards; index {stored / images:.0f} bytes per image")
        timed("index opened again", index, images)
        found = timed("listing", lambda: list_images(DataConfig(path=str(shards))), images)
        chosen = random.Random(0).choices(found.rows, k=FILES)
        some, row = [one.ref for one in chosen], [one.ref for one in found.rows[:FILES]]
        timed(f"{FILES:,} read at random", lambda: read_all(some), FILES)
        timed(f"{FILES:,} read in order", lambda: read_all(row), FILES)
        for number in range(FILES):
            (files / f"{number:08d}.jpg").write_bytes(buffer.getvalue())
        listed = timed(
            f"{FILES:,} files listed", lambda: list_images(DataConfig(path=str(files.parent), source="folder")), FILES
        )
        timed("and read", lambda: read_all([one.ref for one in listed.rows]), FILES)
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
