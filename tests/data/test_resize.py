"""What the network sees: the centre of the whole image squeezed into a square, however it is computed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from topwork.core.artifacts import InputSpec
from topwork.data.resize import resize_for_network

sides = st.one_of(st.integers(1, 700), st.sampled_from([32, 48, 63, 64, 65, 128, 191, 192, 256, 375, 384, 500]))


def whole_then_centre(image: Image.Image, spec: InputSpec) -> Image.Image:
    resample = Image.Resampling[spec.interpolation.upper()]
    square = image.resize((spec.resize_size, spec.resize_size), resample, reducing_gap=3.0)
    edge = (spec.resize_size - spec.size) // 2
    return square.crop((edge, edge, edge + spec.size, edge + spec.size))


@given(
    width=sides,
    height=sides,
    square=st.sampled_from([(32, 28), (64, 33), (64, 64), (128, 112), (100, 75), (256, 224), (48, 42)]),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic", "lanczos"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=400, deadline=None)
def test_only_what_is_kept_is_computed_and_every_pixel_is_that_of_the_whole(
    width: int, height: int, square: tuple[int, int], interpolation: str, seed: int
) -> None:
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))
    spec = InputSpec(square[1], square[0], interpolation, (0, 0, 0), (1, 1, 1))
    np.testing.assert_array_equal(resize_for_network(image, spec), whole_then_centre(image, spec))
