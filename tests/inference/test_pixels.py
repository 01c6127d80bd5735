"""One decoding: evaluation, prediction by path and by bytes (as a server gets them) see the same pixels, whatever the
file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.zoo import encoded, files, photo

from topwork.core.artifacts import InputSpec
from topwork.core.errors import DataError
from topwork.core.image_ref import ImageRef
from topwork.data.batches import eval_batches
from topwork.inference.pixels import decode_batches

SPEC = InputSpec(32, 36, "bicubic", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def large() -> dict[str, bytes]:
    """Odd files that are decoded smaller, or are of odd sizes."""
    turned = Image.Exif()
    turned[0x0112] = 6
    big, alpha = photo((701, 503)), photo((301, 203)).convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    ramp = np.linspace(0, 65535, 301 * 203).astype(np.uint16).reshape(203, 301)
    return {
        "big.jpg": encoded(big, "JPEG"),
        "big-turned.jpg": encoded(big, "JPEG", exif=turned),
        "big-cmyk.jpg": encoded(big.convert("CMYK"), "JPEG"),
        "big-grey.jpg": encoded(big.convert("L"), "JPEG"),
        "big-16-bit.png": encoded(Image.fromarray(ramp), "PNG"),
        "big-palette.png": encoded(big.convert("P"), "PNG", transparency=3),
        "big-alpha.png": encoded(alpha, "PNG"),
        "big-film.webp": encoded(big, "WEBP", save_all=True, append_images=[alpha.convert("RGB").resize(big.size)]),
        "line.png": encoded(photo((1, 47)), "PNG"),
        "wide.jpg": encoded(photo((1999, 41)), "JPEG"),
    }


def sha(pixels: torch.Tensor) -> str:
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()


def evaluated(root: Path, name: str) -> str:
    try:
        ((pixels, _),) = eval_batches({name: ImageRef(str(root), name)}, [name], SPEC, 1, 0)
    except DataError as error:
        return str(error).split(" can no longer be used: ")[1].removesuffix(". Restore it and try again.")
    return sha(pixels[0])


@pytest.mark.filterwarnings("ignore::UserWarning")  # of broken metadata; topwork's own filter is undone by pytest
@pytest.mark.parametrize("workers", [0, 1])
def test_evaluation_prediction_and_server_see_the_same_pixels(tmp_path: Path, workers: int) -> None:
    odd = {name: data for name, data, _ in files()} | large()
    for name, data in odd.items():
        (tmp_path / name).write_bytes(data)
    seen = {name: evaluated(tmp_path, name) for name in odd}

    def used(items: list[str] | list[bytes]) -> list[str]:
        found: list[str] = []
        for batch in decode_batches(items, SPEC, 8, workers):
            pixels = iter(batch.pixels)
            found += [reason or sha(next(pixels)) for reason in batch.reasons]
        return found

    assert dict(zip(odd, used([str(tmp_path / name) for name in odd]), strict=True)) == seen
    usable = [name for name in odd if len(seen[name]) == 64]
    assert len(usable) > 60
    assert len({seen[name] for name in usable}) > 30  # not one grey square
    by_bytes = dict(zip(odd, used(list(odd.values())), strict=True))
    assert {name: by_bytes[name] for name in usable} == {name: seen[name] for name in usable}
    assert all(len(by_bytes[name]) != 64 for name in odd if name not in usable)
