"""What a training keeps of each image, measured without any: `python benchmarks/large.py COUNT`."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from topwork.core import seeds, storage
from topwork.core.artifacts import ImageRow, Manifest
from topwork.data.splits import make_split

CLASSES = 1000


def timed(what: str, count: int, work: Callable[[], Any]) -> Any:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    found = work()
    seconds = time.monotonic() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"{what:32} {seconds / count * 1e6:8.2f} us, {grown / count:7.0f} bytes of memory per image", flush=True)
    return found


def rows(count: int) -> tuple[ImageRow, ...]:
    def row(number: int) -> ImageRow:
        label, sha = f"class-{number % CLASSES:04d}", storage.sha256_bytes(b"%d" % number)
        return ImageRow(
            f"train-{number // 10_000:06d}.tar/{number:09d}.jpg",
            label,
            "used",
            "",
            sha,
            500,
            375,
            "",
            label,
            pixels=sha,
        )

    return tuple(row(number) for number in range(count))


def main(count: int) -> None:
    names = [field.name for field in fields(ImageRow) if field.name != "ref"]
    manifest = Manifest(Path("/data"), timed("rows in memory", count, lambda: rows(count)), "large")
    timed("split", count, lambda: make_split(manifest, 0, 0.01, 0.01))
    timed("order of an epoch", count, lambda: seeds.epoch_permutation(0, 1, count))
    message = timed(
        "message to the others, written", count,
        lambda: json.dumps([[getattr(row, name) for name in names] for row in manifest.rows]).encode(),
    )  # fmt: skip
    timed("message, read", count, lambda: tuple(ImageRow(*row) for row in json.loads(message)))
    print(f"{'message':32} {len(message) / count:8.0f} bytes per image")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
