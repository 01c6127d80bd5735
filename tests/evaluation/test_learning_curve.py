"""The learning curve over labels: subsets, the power law, and the interval of what twice the labels would buy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topwork.evaluation import learning_curve


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 99))
def test_every_beginning_has_the_classes_in_proportion(counts: list[int], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    order = learning_curve.nested_order(labels, seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    assert len(set(labels[order[: len(counts)]].tolist())) == len(counts)
    for size in learning_curve.subset_sizes(len(labels), len(counts)):
        found = np.bincount(labels[order[:size]], minlength=len(counts))
        assert np.abs(found - np.array(counts) * size / len(labels)).max() <= len(counts)


def test_sizes_rise_in_equal_ratios_to_all_images() -> None:
    found = learning_curve.subset_sizes(1673, 2)
    assert (found[0], found[-1], len(found)) == (167, 1673, 10)
    assert np.ptp(np.diff(np.log(found))) < 0.02
    assert learning_curve.subset_sizes(10, 8)[-1] == 10


@pytest.mark.parametrize(("a", "b", "c"), [(1.5, 0.4, 0.0), (2.0, 0.7, 0.05), (0.0, 0.5, 0.2)])
def test_a_law_without_noise_is_found(a: float, b: float, c: float) -> None:
    images = np.array(learning_curve.subset_sizes(2000, 5))
    law = learning_curve.fit_power_law(images, a * images**-b + c)
    n = np.array([200.0, 2000.0, 4000.0])
    np.testing.assert_allclose(law[0] * n ** -law[1] + law[2], a * n**-b + c, atol=2e-3)
    assert (law >= 0).all()


def simulated(rng: np.random.Generator, images: np.ndarray, a: float, b: float, draws: int = 3) -> np.ndarray:
    """Incorrect or not, bool (R, S, N): an image is incorrect at all sizes up to one that depends on how hard it is."""
    hard = rng.random(600) + rng.normal(0, 0.03, (draws, len(images), 600))
    return hard < (a * images**-b)[:, None]


@pytest.mark.parametrize(("a", "b"), [(2.0, 0.4), (1.0, 0.25), (3.0, 0.6)])
def test_the_interval_of_the_gain_covers_it(a: float, b: float) -> None:
    rng, images, labels = np.random.default_rng(1), np.array(learning_curve.subset_sizes(1500, 4)), np.arange(600) % 4
    truth, covered = a * 1500**-b * (1 - 2**-b), []
    for _ in range(120):
        found = learning_curve.fit_learning_curve(
            "x", images, simulated(rng, images, a, b), labels, rng, resamples=80
        ).gain
        covered.append(found.low <= truth <= found.high)
        assert found.labels == 1500
    assert 0.91 <= np.mean(covered) <= 0.99  # 0.94 to 0.97 of 300, to within 0.02 by 120
