"""Small image files that tests draw themselves: classes that a network can tell apart within seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def draw(label: int, number: int, size: int = 48) -> Image.Image:
    """Stripes whose direction and colour depend on the label, with noise that depends on the number."""
    rng = np.random.default_rng(1000 * label + number)
    y, x = np.mgrid[:size, :size]
    wave = np.sin((x if label % 2 else y) * (0.4 + 0.25 * label) + rng.uniform(0, 6))
    tint = np.roll([1.0, 0.5, 0.1], label)
    pixels = 127 + 70 * wave[..., None] * tint + rng.normal(0, 25, (size, size, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_folder(root: Path, classes: int = 3, each: int = 14, size: int = 48) -> Path:
    """A folder of class folders with PNG files."""
    for label in range(classes):
        folder = root / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(each):
            draw(label, number, size).save(folder / f"{number:03d}.png")
    return root
