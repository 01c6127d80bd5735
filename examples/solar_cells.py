"""Write a folder of class folders to try things on: python solar_cells.py IMAGES NEW.

160 images of solar cells from the package elpv-dataset (extra ``demo``; images CC BY-NC-SA 4.0, Buerhop-Lutz 2018),
80 of each class, and four more in another folder, as if they were new. An image shows the light that a cell emits when
current flows through it: what is dark does not work.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

PER_CLASS, NEW = 80, 2
CLASSES = {"0.0": "functional", "1.0": "defective"}  # by the experts' probability of a defect


def main(images: str, new: str) -> None:
    """Copy cells of one type, spread over the modules they are from."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.origin:
        sys.exit("The package elpv-dataset is missing. Install it with: pip install elpv-dataset")
    data = Path(spec.origin).parent / "data"
    rows = [line.split() for line in (data / "labels.csv").read_text("utf-8").splitlines() if line.strip()]
    for probability, label in CLASSES.items():
        files = [data / name for name, value, kind in rows if kind == "mono" and float(value) == float(probability)]
        for number, file in enumerate(files[:: len(files) // (PER_CLASS + NEW)][: PER_CLASS + NEW]):
            folder = Path(images, label) if number < PER_CLASS else Path(new)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / file.name)
    print(f"{images}: {PER_CLASS} images in each of {', '.join(CLASSES.values())}. {new}: {NEW * len(CLASSES)} images.")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("Two names of folders are expected, for images and for new ones: python solar_cells.py cells new")
    main(*sys.argv[1:])
