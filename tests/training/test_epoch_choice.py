"""The paired test that decides whether an epoch is kept, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from topwork.training.epoch_choice import ALPHA, ValMetrics, is_worse, pack, unpack
from topwork.training.state import TrainState


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 100))
def test_it_is_the_exact_binomial_test_of_the_images_that_changed(lost: int, won: int, equal: int) -> None:
    best = np.repeat([True, False, True], [lost, won, equal])
    correct = np.repeat([False, True, True], [lost, won, equal])
    expected = lost > won and binomtest(lost, lost + won).pvalue < ALPHA
    assert is_worse(correct, best) == expected


def test_images_of_one_group_are_one_observation() -> None:
    best, correct, groups = np.ones(300, bool), np.arange(300) >= 20, np.arange(300) // 10
    assert is_worse(correct, best)
    assert not is_worse(correct, best, groups)  # two groups


@given(st.lists(st.booleans(), max_size=40))
def test_packed_bits_come_back(bits: list[bool]) -> None:
    assert unpack(pack(np.array(bits, bool)), len(bits)).tolist() == bits


def test_of_equal_accuracies_the_lower_loss_is_the_best() -> None:
    state, correct = TrainState(), np.ones(4, bool)
    for epoch, loss in enumerate((0.3, 0.2, 0.25), 1):
        assert state.keeps(epoch, ValMetrics(loss, 1.0, correct))
    assert (state.best_epoch, state.kept_epoch) == (2, 3)


@pytest.mark.filterwarnings("error")
def test_without_validation_images_the_last_epoch_is_kept() -> None:
    state, none = TrainState(), np.zeros(0, bool)
    assert all(state.keeps(epoch, ValMetrics(float("nan"), float("nan"), none)) for epoch in (1, 2, 3))
    assert state.kept_epoch == 3
