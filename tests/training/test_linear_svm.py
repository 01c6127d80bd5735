"""The batched support vector machines against scikit-learn's LIBLINEAR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC

from topwork.training.linear_svm import LinearMachine, fit_path


def _problem(seed: int, images: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)])
    centres = rng.normal(0, 1, (classes, features))
    return (centres[labels] + rng.normal(0, 1.5, (images, features))).astype(np.float32), labels


def _objective(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, labels: np.ndarray, c: float) -> float:
    """LIBLINEAR's, summed over the machines; its bias is penalised too."""
    total = 0.0
    for k in range(len(weight)):
        y = np.where(labels == (k if len(weight) > 1 else 1), 1.0, -1.0)
        slack = np.maximum(0, 1 - y * (x @ weight[k] + bias[k]))
        total += 0.5 * (weight[k] @ weight[k] + bias[k] ** 2) + c * (slack**2).sum()
    return total


@settings(deadline=None, max_examples=25)
@example(seed=0, images=115, features=29, classes=2, c=30.0)  # nearly separable
@given(
    st.integers(0, 10_000),
    st.integers(12, 120),
    st.integers(1, 90),
    st.integers(2, 6),
    st.sampled_from([1e-4, 1e-2, 1.0, 30.0]),
)
def test_the_objective_is_not_above_liblinears(seed: int, images: int, features: int, classes: int, c: float) -> None:
    x, labels = _problem(seed, images, features, classes)
    reference = LinearSVC(C=c, tol=1e-9, max_iter=200_000, dual=False).fit(x.astype(np.float64), labels)
    (machine,) = fit_path(x, labels, (c,), tolerance=1e-6)
    ours = _objective(machine.weight, machine.bias, x, labels, c)
    theirs = _objective(reference.coef_, reference.intercept_, x, labels, c)
    assert ours <= theirs * (1 + 1e-5) + 1e-9


def test_a_path_ends_where_single_fits_end() -> None:
    x, labels = _problem(1, 200, 40, 4)
    grid = (1e-3, 1e-2, 1e-1)
    for c, machine in zip(grid, fit_path(x, labels, grid, 1e-14), strict=True):
        (alone,) = fit_path(x, labels, (c,), 1e-14)
        np.testing.assert_allclose(machine.weight, alone.weight, atol=1e-6)
        reference = LinearSVC(C=c, tol=1e-10, max_iter=100_000, dual=False).fit(x.astype(np.float64), labels)
        np.testing.assert_allclose(machine.margins(x), reference.decision_function(x), atol=1e-4)


@pytest.mark.parametrize("features", [3, 500])
def test_predictions_are_liblinears(features: int) -> None:
    x, labels = _problem(2, 300, features, 5)
    new, _ = _problem(2, 500, features, 5)
    (machine,) = fit_path(x, labels, (0.01,))
    reference = LinearSVC(C=0.01, tol=1e-8, max_iter=100_000).fit(x.astype(np.float64), labels)
    assert (machine.margins(new).argmax(axis=1) == reference.predict(new)).mean() >= 0.995


def test_two_classes_have_one_plane_with_two_signs() -> None:
    machine = LinearMachine(np.array([[1.0, 2.0]]), np.array([0.5]))
    np.testing.assert_array_equal(machine.margins(np.array([[1.0, 1.0]])), [[-3.5, 3.5]])
