"""Linear classifiers of all classes at once against LIBLINEAR, scikit-learn's logistic regression and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from topwork.core.strategy_config import LinearClassifierConfig
from topwork.linear import problem
from topwork.linear.losses import Softmax, SquaredHinge
from topwork.linear.normalize import fit_normalizer
from topwork.linear.problem import Kind, LinearModel, LinearProblem
from topwork.linear.selection import cross_validate, select_c, stratified_folds


def _data(seed: int, images: int, features: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, images - classes)])
    centres = rng.normal(0, 1, (classes, features))
    return (centres[labels] + rng.normal(0, 1.5, (images, features))).astype(np.float32), labels


def _fit(
    x: np.ndarray, labels: np.ndarray, Cs: tuple[float, ...], kind: str = "hinge", tolerance: float = 1e-6
) -> list[LinearModel]:
    return list(LinearProblem(x, labels, int(labels.max()) + 1, kind, tolerance=tolerance).path(Cs))  # type: ignore[arg-type]


def _hinge_objective(weight: np.ndarray, bias: np.ndarray, x: np.ndarray, labels: np.ndarray, c: float) -> float:
    """LIBLINEAR's, summed over the machines; its bias is penalized too."""
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
    x, labels = _data(seed, images, features, classes)
    reference = LinearSVC(C=c, tol=1e-9, max_iter=200_000, dual=False).fit(x.astype(np.float64), labels)
    (machine,) = _fit(x, labels, (c,))
    ours = _hinge_objective(machine.weight, machine.bias, x, labels, c)
    theirs = _hinge_objective(reference.coef_, reference.intercept_, x, labels, c)
    assert ours <= theirs * (1 + 1e-5) + 1e-9


def _softmax_objective(w: np.ndarray, x: np.ndarray, labels: np.ndarray, c: float) -> float:
    scores = torch.from_numpy(x @ w.T)
    loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), reduction="sum")
    return 0.5 * float((w**2).sum()) + c * float(loss)


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 10_000),
    st.integers(12, 120),
    st.integers(1, 90),
    st.integers(2, 6),
    st.sampled_from([1e-4, 1e-2, 1.0, 30.0]),
)
def test_softmax_regression_is_not_above_scikit_learns(
    seed: int, images: int, features: int, classes: int, c: float
) -> None:
    x, labels = _data(seed, images, features, classes)
    x = np.pad(x, ((0, 0), (0, 1)), constant_values=10.0).astype(np.float64)  # the bias as a hardly penalized weight
    strength = 2 * c if classes == 2 else c  # its one plane is the difference of two rows, and penalized as such
    reference = LogisticRegression(C=strength, fit_intercept=False, tol=1e-9, max_iter=20_000).fit(x, labels)
    theirs = reference.coef_ if classes > 2 else np.concatenate([-reference.coef_, reference.coef_]) / 2
    (model,) = _fit(x[:, :-1], labels, (c,), "softmax")
    ours = np.concatenate([model.weight, model.bias[:, None] / 10], axis=1)
    best = _softmax_objective(theirs, x, labels, c)
    assert best * (1 - 1e-5) <= _softmax_objective(ours, x, labels, c) <= best * (1 + 1e-5)


@pytest.mark.parametrize("c", [0.7, torch.linspace(0.1, 2, 7, dtype=torch.float64)[:, None]], ids=["one", "each"])
@pytest.mark.parametrize("loss", [SquaredHinge, Softmax])
def test_slopes_and_curvatures_are_autograds(loss: type, c: float | torch.Tensor) -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (7,), generator=rng)
    mine = loss(labels[:, None] == torch.arange(4), c)
    scores = torch.randn(7, 4, generator=rng, dtype=torch.float64)
    change = torch.randn(7, 4, generator=rng, dtype=torch.float64)

    def value(s: torch.Tensor) -> torch.Tensor:
        return mine.value(s).sum()

    slope = torch.autograd.functional.jacobian(value, scores)
    product = torch.autograd.functional.hvp(value, scores, change)[1]
    torch.testing.assert_close(mine.score_gradient(scores), slope)
    curvature = mine.curvature(scores)
    torch.testing.assert_close(mine.hvp(curvature, change.float()), product.float(), atol=1e-6, rtol=1e-5)
    diagonal = torch.autograd.functional.hessian(value, scores).reshape(28, 28).diagonal().reshape(7, 4)
    torch.testing.assert_close(mine.hessian_diagonal(curvature), diagonal.float(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["hinge", "softmax"])
def test_a_path_ends_where_single_fits_end(kind: str) -> None:
    x, labels = _data(1, 200, 40, 4)
    Cs = (1e-3, 1e-2, 1e-1)
    for c, model in zip(Cs, _fit(x, labels, Cs, kind, 1e-14), strict=True):
        (alone,) = _fit(x, labels, (c,), kind, 1e-14)
        np.testing.assert_allclose(model.weight, alone.weight, atol=1e-6)
        if kind == "hinge":
            reference = LinearSVC(C=c, tol=1e-10, max_iter=100_000, dual=False).fit(x.astype(np.float64), labels)
            np.testing.assert_allclose(model.scores(x), reference.decision_function(x), atol=1e-4)


@pytest.mark.parametrize("features", [3, 500])
def test_predictions_are_liblinears(features: int) -> None:
    x, labels = _data(2, 300, features, 5)
    new, _ = _data(2, 500, features, 5)
    (machine,) = _fit(x, labels, (0.01,), tolerance=1e-4)
    reference = LinearSVC(C=0.01, tol=1e-8, max_iter=100_000).fit(x.astype(np.float64), labels)
    assert (machine.scores(new).argmax(axis=1) == reference.predict(new)).mean() >= 0.995


def test_two_classes_have_one_plane_with_two_signs() -> None:
    model = LinearModel(np.array([[1.0, 2.0]]), np.array([0.5]))
    np.testing.assert_array_equal(model.scores(np.array([[1.0, 1.0]])), [[-3.5, 3.5]])


@pytest.mark.parametrize(("classes", "features"), [(2, 20), (4, 20), (4, 300)])
@pytest.mark.parametrize("kind", ["hinge", "softmax"])
def test_out_of_fold_scores_are_those_of_a_loop_over_scikit_learn(kind: Kind, classes: int, features: int) -> None:
    x, labels = _data(3, 120, features, classes)
    folds = stratified_folds(labels, 5, seed=1)
    x, problem = x.astype(np.float64), LinearProblem(x, labels, classes, kind, tolerance=1e-12)
    for trial in cross_validate(problem, labels, (1e-3, 1e-1), folds):
        expected = np.empty((len(labels), classes))
        for fold in folds:
            rest = np.setdiff1d(np.arange(len(labels)), fold)
            if kind == "hinge":
                reference, z = LinearSVC(C=trial.c, tol=1e-10, max_iter=100_000, dual=False), x
            else:
                strength, z = trial.c * (2 if classes == 2 else 1), np.pad(x, ((0, 0), (0, 1)), constant_values=10.0)
                reference = LogisticRegression(C=strength, fit_intercept=False, tol=1e-10, max_iter=20_000)
            found = reference.fit(z[rest], labels[rest]).decision_function(z[fold])
            expected[fold] = np.stack([-found, found], axis=1) if classes == 2 else found
        found = trial.scores
        if kind == "softmax":  # only differences between classes are determined
            found = found - found.mean(axis=1, keepdims=True)
            expected = expected / 2 if classes == 2 else expected - expected.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=2e-4)
        assert trial.value == (expected.argmax(axis=1) == labels).mean()


@pytest.mark.parametrize(
    ("kind", "limit", "rounding"), [("hinge", 0, 0.0), ("hinge", 2**24, 1e-6), ("softmax", 0, 0.0)]
)
def test_labels_of_a_fold_do_not_change_its_own_scores(
    monkeypatch: pytest.MonkeyPatch, kind: Kind, limit: int, rounding: float
) -> None:
    """Not a bit of them, or only rounding where the folds are solved side by side."""
    monkeypatch.setattr(problem, "MAX_SCORES", limit)
    x, labels = _data(3, 120, 300, 4)
    folds, changed = stratified_folds(labels, 5, seed=1), labels.copy()
    changed[folds[2]] = (labels[folds[2]] + 1) % 4
    one, other = (
        [trial.scores for trial in cross_validate(LinearProblem(x, y, 4, kind), y, (1e-3, 1e-1), folds)]
        for y in (labels, changed)
    )
    for before, after in zip(one, other, strict=True):
        np.testing.assert_allclose(before[folds[2]], after[folds[2]], rtol=0, atol=rounding)
        assert np.abs(before[folds[1]] - after[folds[1]]).max() > 0.01


def test_the_chosen_c_is_fitted_on_all_of_train() -> None:
    x, labels = _data(4, 150, 30, 3)
    splits = {"train": (x, labels)}  # val is not even asked for
    choice = select_c("hinge", (0.1, 1e-3), splits, 3, "cpu", stratified_folds(labels, 3, seed=0))
    (alone,) = _fit(x, labels, (choice.c,), tolerance=1e-10)
    np.testing.assert_allclose(choice.model.scores(x), alone.scores(x), atol=0.02)


@given(st.integers(0, 1000), st.integers(2, 7), st.integers(2, 5))
def test_folds_hold_each_image_once_and_each_class_in_shares(seed: int, folds: int, classes: int) -> None:
    _, labels = _data(seed, 60, 1, classes)
    splits = stratified_folds(labels, folds, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate(splits)), np.arange(60))
    counts = np.stack([np.bincount(labels[split], minlength=classes) for split in splits])
    assert (counts.max(axis=0) - counts.min(axis=0)).max() <= 1


def test_a_single_fold_is_refused() -> None:
    with pytest.raises(ValueError, match="one fold leaves nothing"):
        LinearClassifierConfig(folds=1)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.integers(2, 5), st.sampled_from([1e-3, 1e-1, 10.0]))
def test_weights_are_scikit_learns_sample_weight(seed: int, classes: int, c: float) -> None:
    x, labels = _data(seed, 90, 12, classes)
    weights = np.random.default_rng(seed).choice([1e-3, 0.5, 1.0, 4.0], 90)
    (machine,) = LinearProblem(x, labels, classes, "hinge", tolerance=1e-12, weights=weights).path((c,))
    reference = LinearSVC(C=c, tol=1e-10, max_iter=200_000, dual=False)
    reference.fit(x.astype(np.float64), labels, sample_weight=weights)
    theirs = reference.decision_function(x)
    theirs = np.stack([-theirs, theirs], axis=1) if classes == 2 else theirs
    np.testing.assert_allclose(machine.scores(x), theirs, atol=1e-4)
    full = np.pad(x, ((0, 0), (0, 1)), constant_values=10.0).astype(np.float64)
    strength = 2 * c if classes == 2 else c
    logistic = LogisticRegression(C=strength, fit_intercept=False, tol=1e-10, max_iter=20_000)
    probabilities = logistic.fit(full, labels, sample_weight=weights).predict_proba(full)
    (model,) = LinearProblem(x, labels, classes, "softmax", tolerance=1e-12, weights=weights).path((c,))
    found = torch.from_numpy(model.scores(x)).softmax(dim=1).numpy()
    np.testing.assert_allclose(found, probabilities, atol=1e-4)


def test_a_whole_weight_is_so_many_copies_also_in_folds() -> None:
    x, labels = _data(5, 60, 8, 3)
    weights = np.random.default_rng(5).integers(1, 4, 60)
    rows = np.arange(10, 60)
    weighed = LinearProblem(x, labels, 3, "softmax", tolerance=1e-12, weights=weights.astype(np.float64))
    copied = LinearProblem(np.repeat(x, weights, 0), np.repeat(labels, weights), 3, "softmax", tolerance=1e-12)
    ours = weighed.model(weighed.fit(0.1, weighed.zeros(), rows))
    theirs = copied.model(copied.fit(0.1, copied.zeros(), np.flatnonzero(np.repeat(np.arange(60), weights) >= 10)))
    np.testing.assert_allclose(ours.weight, theirs.weight, atol=1e-5)


@pytest.mark.parametrize("power", [True, False])
def test_the_normalizer_takes_out_mean_and_one_common_scale(power: bool) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(2, 3, (500, 7)) * np.arange(1, 8)).astype(np.float32)
    z = fit_normalizer(x, power)(x)
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=1e-4)
    assert z.var(axis=0).mean() == pytest.approx(1, rel=1e-4)
    root = np.sign(x) * np.sqrt(np.abs(x)) if power else x
    ratios = (root - root.mean(axis=0)) / z
    np.testing.assert_allclose(ratios, ratios.flat[0], rtol=1e-2)


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (2, True), (4, True)])
def test_folds_side_by_side_are_the_folds_one_by_one(
    monkeypatch: pytest.MonkeyPatch, classes: int, weighted: bool
) -> None:
    rng = np.random.default_rng(classes)
    labels = np.tile(np.arange(classes), 30)
    features = rng.normal(size=(len(labels), 12)) + 2 * np.eye(classes, 12)[labels]
    weights = rng.uniform(0.2, 3, len(labels)) if weighted else None
    folds = [np.arange(len(labels))[k::3] for k in range(3)]
    found = []
    for limit in (problem.MAX_SCORES, 0):
        monkeypatch.setattr(problem, "MAX_SCORES", limit)
        fitted = LinearProblem(features, labels, classes, "hinge", tolerance=1e-12, weights=weights)
        found.append([w for c in fitted.fold_path((1e-3, 0.1, 10.0), folds) for w in c])
    for together, alone in zip(*found, strict=True):
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
