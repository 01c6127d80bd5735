"""``topwork.TransferClassifier`` as scikit-learn uses it, and as ``topwork predict`` sees its bundle."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks
from tests.drawings import draw

import topwork
from topwork.core.errors import DataError

LABELS = np.array([30, 4, 100])  # as text they sort in another order
NUMBERS = [(label, number) for number in range(12) for label in range(3)]


def classifier(**settings: Any) -> topwork.TransferClassifier:
    """With an engine that starts at once."""
    quick = {"img_size": 32, "sets": ("compute.engine=torch",), "workers": 0, "threads": 1}
    return topwork.TransferClassifier(**quick | settings)


@pytest.fixture(scope="module")
def pictures() -> list[Any]:
    return [draw(*which) for which in NUMBERS]


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return LABELS[[label for label, _ in NUMBERS]]


@pytest.fixture(scope="module")
def paths(pictures: list[Any], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    found = [folder / f"{number}.png" for number in range(len(pictures))]
    for path, image in zip(found, pictures, strict=True):
        image.save(path)
    return found


@pytest.fixture(scope="module")
def fitted(
    pictures: list[Any], labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> topwork.TransferClassifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOPWORK_CACHE", str(tmp_path_factory.mktemp("cache")))
        return classifier().fit(pictures, labels)


def test_it_predicts_what_topwork_predict_says_of_its_bundle(
    fitted: topwork.TransferClassifier, pictures: list[Any], labels: np.ndarray
) -> None:
    assert fitted.classes_.tolist() == [4, 30, 100]
    said = list(topwork.predict(fitted.bundle_, pictures, top=0, workers=0))
    assert fitted.predict(pictures).tolist() == [int(p.label) for p in said]
    rows = [{int(g.label): g.probability for g in p.top} for p in said]
    assert fitted.predict_proba(pictures).tolist() == [[row[c] for c in (4, 30, 100)] for row in rows]
    scores = fitted.decision_function(pictures)
    assert (fitted.classes_[scores.argmax(axis=1)] == fitted.predict(pictures)).all()
    assert fitted.score(pictures, labels) > 0.8
    assert fitted.metrics_["test"]["images"] >= 3


def test_paths_pictures_and_arrays_are_the_same(
    fitted: topwork.TransferClassifier, pictures: list[Any], paths: list[Path]
) -> None:
    stack = np.stack([np.asarray(image) for image in pictures])
    column = np.array([str(path) for path in paths], dtype=object)
    expected = fitted.predict_proba(pictures)
    for images in (paths, column, column[:, None], np.array(column, dtype=str), stack, list(stack)):
        assert (fitted.predict_proba(images) == expected).all()


def _twelve_bits(which: tuple[int, int]) -> Image.Image:
    return Image.fromarray(np.asarray(draw(*which).convert("L")).astype(np.uint16) << 4)


def _white_on_transparent(which: tuple[int, int]) -> Image.Image:
    white = Image.new("RGBA", (48, 48), (255, 255, 255, 0))
    white.putalpha(draw(*which).convert("L").point(lambda value: 255 if value > 127 else 0))
    return white


@pytest.mark.parametrize(("make", "expected"), [(_twelve_bits, (12, "white")), (_white_on_transparent, (16, "black"))])
def test_images_in_memory_decide_how_they_are_decoded_as_files_do(
    labels: np.ndarray,
    tmp_path: Path,
    tiny_network: dict[str, Any],
    make: Callable[[tuple[int, int]], Image.Image],
    expected: tuple[int, str],
) -> None:
    images = [make(which) for which in NUMBERS]
    files = [tmp_path / f"{number}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    content = [file.read_bytes() for file in files]
    opened = [Image.open(file) for file in files]
    forms: list[list[Any]] = [images, content, opened]
    forms += [[np.asarray(image) for image in images]] if images[0].mode == "RGBA" else []
    quick = {"strategy": "knn", **tiny_network}
    reference = classifier(**quick).fit(files, labels)
    for form in forms:
        model = classifier(**quick).fit(form, labels)
        rules = topwork.load(model.bundle_, workers=0).input_spec.pixel_rules
        assert (rules.bit_depth, rules.background) == expected
        assert (model.predict_proba(form) == model.predict_proba(files)).all()
        assert model.score(form, labels) > 0.8
        assert (reference.predict_proba(form) == reference.predict_proba(files)).all()


def test_balance_makes_rare_classes_count_as_much(pictures: list[Any], labels: np.ndarray) -> None:
    rare = np.flatnonzero(labels == 100)[6:]
    images, kept = [p for i, p in enumerate(pictures) if i not in rare], np.delete(labels, rare)
    plain, balanced = (classifier(strategy="svm", balance=balance).fit(images, kept) for balance in (False, True))
    assert not np.array_equal(plain.decision_function(images), balanced.decision_function(images))
    assert balanced.get_params()["balance"] is True


def test_it_is_copied_and_stored_with_its_model(fitted: topwork.TransferClassifier, pictures: list[Any]) -> None:
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert other.bundle_ != fitted.bundle_
        assert (other.predict_proba(pictures[:5]) == fitted.predict_proba(pictures[:5])).all()


def test_cross_validation_search_and_pipeline(
    pictures: list[Any], paths: list[Path], labels: np.ndarray, own_cache: Path
) -> None:
    two = [i for i, label in enumerate(labels) if label != 100]
    images, files = [pictures[i] for i in two], np.array([str(paths[i]) for i in two])
    names = np.where(labels[two] == 4, "across", "along")
    once = StratifiedShuffleSplit(1, test_size=0.5, random_state=0)
    assert cross_val_score(classifier(), files, names, cv=once, error_score="raise").mean() > 0.7
    pipeline = Pipeline([("turn", FunctionTransformer(lambda X: [x.rotate(90) for x in X])), ("net", classifier())])
    search = GridSearchCV(pipeline, {"net__strategy": ["svm", "linear"]}, cv=once, error_score="raise").fit(
        images, names
    )
    assert search.best_score_ > 0.7
    assert search.classes_.tolist() == ["across", "along"]
    assert search.decision_function(images).shape == (len(images),)
    assert (np.where(search.decision_function(images) > 0, "along", "across") == search.predict(images)).all()
    assert {path.name for path in own_cache.iterdir()} == {".lock", "features"}  # nothing of tables that are gone


@pytest.mark.parametrize(
    "check",
    [
        "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_get_params_invariance",
        "check_set_params", "check_estimator_cloneable", "check_estimator_repr", "check_mixin_order",
        "check_do_not_raise_errors_in_init_or_set_params", "check_valid_tag_types", "check_estimator_tags_renamed",
    ],
)  # fmt: skip
def test_scikit_learns_checks_that_need_no_table(check: str) -> None:
    getattr(estimator_checks, check)("TransferClassifier", topwork.TransferClassifier())


def test_before_fit_it_says_so(pictures: list[Any]) -> None:
    for method in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFittedError):
            getattr(clone(classifier()), method)(pictures)


@pytest.mark.parametrize(
    ("images", "labels", "word"),
    [
        (np.zeros((4, 20)), [0, 1, 0, 1], "float64"), (np.zeros((4, 20), np.uint8), [0, 1, 0, 1], "uint8"),
        ([], [], "0 sample"), ("photo.png", [0], "one str"), ([1, 2], [0, 1], "int"),
        ([draw(0, 0)] * 2, [0, 1, 1], "inconsistent"), ([draw(0, 0)] * 2, [0.5, 1.2], "continuous"),
        ([draw(0, 0)] * 2, [1, 1], "one class"), ([np.zeros((4, 4, 3))] * 2, [0, 1], r"X\[0\].*uint8"),
    ],
)  # fmt: skip
def test_what_is_no_image_or_no_label_is_a_value_error(images: Any, labels: Any, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        classifier().fit(images, labels)


def test_an_image_that_cannot_be_used_is_named(fitted: topwork.TransferClassifier, pictures: list[Any]) -> None:
    with pytest.raises(DataError, match=r"X\[1\] \(nowhere\.png\)"):
        fitted.predict([pictures[0], "nowhere.png"])


def test_importing_topwork_loads_no_scikit_learn() -> None:
    code = "import sys, topwork; sys.exit('sklearn' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
