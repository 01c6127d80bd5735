"""What the tests of the data stages draw on: real image files, made on the spot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.commands import IMAGES_PER_PROCESS

from topwork.core.artifacts import ImageRow, Manifest
from topwork.data import decoder_pool


@pytest.fixture(scope="module", autouse=True)
def several_decoders(quick_trainings: None) -> Iterator[None]:
    """As many processes as users get decode the images here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_pool, "IMAGES_PER_PROCESS", IMAGES_PER_PROCESS)
        yield


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Write a small picture of its own (by number) below a folder that may not exist yet."""

    def write(path: Path, number: int = 0, size: tuple[int, int] = (12, 10)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def class_folders(tmp_path: Path, draw: Callable[..., Path]) -> Path:
    """Classes ant and bee with five different pictures each."""
    root = tmp_path / "insects"
    for start, label in enumerate(("ant", "bee")):
        for number in range(5):
            draw(root / label / f"{number}.png", 100 * start + number)
    return root


@pytest.fixture
def manifest_of() -> Callable[..., Manifest]:
    """A manifest of rows given as (label, content) or (label, content, part); ids are made up from the position."""

    def make(rows: list[tuple[str, ...]], **facts: object) -> Manifest:
        made = [
            ImageRow(f"{label}/{number:05}.png", label, sha256=content, split=rest[0] if rest else "", stratum=label)
            for number, (label, content, *rest) in enumerate(rows)
        ]
        return Manifest(Path("nowhere"), tuple(made), "made", **facts)  # type: ignore[arg-type]

    return make
