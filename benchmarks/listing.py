"""How long it takes to find the layout of a data set and to list its images: python benchmarks/listing.py [NUMBER ...].

Processor time; listing includes another look.
Args: numbers of files (1000 10000 100000; 1000000 takes minutes to write). The files are empty: none is opened.
The goal is under 2 s for 100,000 files and the same time per file for any number.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from topwork.core.config import DataConfig
from topwork.data.sources import SOURCES, list_images
from topwork.data.sources.base import DataArgument


def class_folders(number: int) -> Iterator[str]:
    """Splits above 100 classes."""
    for n in range(number):
        yield f"{('train', 'val', 'test')[n % 3]}/class{n % 100:03}/{n:07}.jpg"


def nested(number: int) -> Iterator[str]:
    """Two folders above splits that are nested in themselves."""
    for n in range(number):
        split = ("seg_train", "seg_test")[n % 2]
        yield f"archive/archive/{split}/{split}/class{n // 2 % 100:03}/{n:07}.jpg"


def many_classes(number: int) -> Iterator[str]:
    """Ten images per class."""
    for n in range(number):
        yield f"class{n // 10:06}/{n % 10}.jpg"


def ids(number: int) -> Iterator[str]:
    """Images in two folders, which a table names by id."""
    for n in range(number):
        yield f"part_{n % 2}/{n:07}.jpg"


def one_folder(number: int) -> Iterator[str]:
    """Images in one folder, beside a table with names, labels and splits."""
    for n in range(number):
        yield f"images/{n:07}.jpg"


LAYOUTS: dict[str, Callable[[int], Iterator[str]]] = {
    layout.__name__: layout for layout in (class_folders, nested, many_classes, ids, one_folder)
}


def table(name: str, number: int) -> str:
    """The table beside the images of a layout; empty if it has none."""
    if name == "ids":
        return "id,label\n" + "".join(f"{n:07},class{n % 100:03}\n" for n in range(number))
    if name == "one_folder":
        rows = (f"{n:07}.jpg,class{n % 100:03},{('train', 'test')[n % 5 == 0]}\n" for n in range(number))
        return "image,label,split\n" + "".join(rows)
    return ""


def write(root: Path, names: Iterator[str]) -> None:
    made = set()
    for name in names:
        path = root / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        path.touch()


def measure(name: str, number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, LAYOUTS[name](number))
        if text := table(name, number):
            (root / "labels.csv").write_text(text)
        start = time.process_time()  # the disk's time is not ours
        data = DataArgument(DataConfig(path=folder))
        for source in SOURCES.values():
            list(source.readings(data))
        found = time.process_time()
        manifest = list_images(DataConfig(path=folder))
        seconds = time.process_time() - found
    labels = len({row.label for row in manifest.rows})
    times = f"look {found - start:6.3f} s, list {seconds:6.2f} s, {1e6 * seconds / number:6.1f} us per file"
    print(f"{name:14} {number:9,} files: {times}; {len(manifest.rows):,} images, {labels:,} classes", flush=True)


def main() -> None:
    for number in [int(word) for word in sys.argv[1:]] or [1000, 10_000, 100_000]:
        for name in LAYOUTS:
            measure(name, number)


if __name__ == "__main__":
    main()
