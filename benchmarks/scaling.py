"""Cost against size: from 1,000, 10,000 and 100,000 JPEG files to the feature cache, and what a second run pays.

The files are links to 500 made-up JPEGs, each counted as an image of its own. Each size runs in a process of its own;
CPU seconds are those of all its processes, memory that of the largest.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from extraction import feature_store, made_up

DISTINCT = 500


def measure(folder: Path, images: int, model: str) -> None:
    """Print wall and CPU seconds of the first run, seconds of the second, GiB."""
    originals = sorted(folder.glob("*.jpg"))
    with tempfile.TemporaryDirectory(dir=folder) as place:

        def files() -> list[Path]:
            return [Path(place) / f"{number:06}.jpg" for number in range(images)]

        for number, file in enumerate(files()):
            os.link(originals[number % len(originals)], file)
        cache = Path(place) / "cache"
        start = time.perf_counter()
        feature_store(model, files(), "best", cache).load("train")
        wall = time.perf_counter() - start
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        start = time.perf_counter()
        feature_store(model, files(), "best", cache).load("train")
        again = time.perf_counter() - start
        print(wall, cpu, again, max(own.ru_maxrss, children.ru_maxrss) / 2**20)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--sizes", type=int, nargs="*", default=(1_000, 10_000, 100_000))
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    if args.folder:
        return measure(args.folder, args.sizes[0], args.model)
    with tempfile.TemporaryDirectory() as place:
        made_up(Path(place), DISTINCT)
        print(" images   wall s    CPU s  ms CPU per image  second run s  memory GiB")
        for images in args.sizes:
            words = ["--folder", place, "--sizes", str(images), "--model", args.model]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            wall, cpu, again, memory = map(float, done.stdout.splitlines()[-1].split())
            print(
                f"{images:7,} {wall:8.1f} {cpu:8.1f} {1000 * cpu / images:16.2f} {again:13.1f} {memory:11.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
