"""``topwork.TransferClassifier``: a training of topwork behind scikit-learn's interface."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from topwork.core import storage
from topwork.core.config import DEFAULT_MODEL
from topwork.core.errors import DataError
from topwork.core.run_folders import cache_folder
from topwork.data.images import UnreadableImage
from topwork.data.inspection_cache import forget
from topwork.features.extract import BATCH
from topwork.inference.locate import BUNDLE
from topwork.inference.pixels import decode_batches, to_rgb_image
from topwork.inference.predict import MIN_IMAGES_FOR_WORKERS
from topwork.inference.predictor import Predictor, load
from topwork.pipeline.api import train


@dataclass(eq=False, repr=False)  # scikit-learn reads the settings from the signature that this writes
class TransferClassifier(ClassifierMixin, BaseEstimator):
    """Transfer learning on images as a classifier of scikit-learn.

    ``X`` is a list or an object array of paths, PIL images or arrays uint8 (H, W), (H, W, 3) or (H, W, 4), or one array
    uint8 (N, H, W) or (N, H, W, C). ``fit`` is ``topwork.train``: of the images it is given, shares choose (val) and
    judge once (test) as in any run. Features of frozen strategies are kept in topwork's cache by an image's content, so
    that the folds of a cross-validation compute none twice.

    Args:
        strategy: ``"svm"``, ``"linear"``, ``"knn"``, ``"mlp"``, ``"finetune"`` or ``"scratch"``.
        model: timm name of the backbone.
        weights: ``"pretrained"``, or a local ``.safetensors`` or ``.pth`` file.
        img_size: Side of the network's input in pixels, or ``"auto"``.
        sets: Settings as on the command line, e.g. ``("svm.folds=3",)``.
        val_fraction: Share of the training images that chooses epochs, C and calibration, in (0, 1).
        test_fraction: Share of all images given to ``fit`` that is held out for ``metrics_``, in (0, 1).
        device, precision, workers, threads: As for ``topwork.train``.
        random_state: A whole number is the run's seed; None or a generator draws one.
        verbose: Whether ``fit`` tells how far it is.

    Attributes:
        classes_: The labels, sorted, (K,); of the type that ``fit`` was given.
        bundle_: Folder of the model, as ``RUN/model`` of a run; it goes with the estimator: copy it to keep it.
        metrics_: What ``metrics.json`` of the run says.
    """

    strategy: str = "svm"
    model: str = DEFAULT_MODEL
    _: KW_ONLY
    weights: str = "pretrained"
    img_size: int | str = "auto"
    sets: Sequence[str] = ()
    val_fraction: float = 0.15
    test_fraction: float = 0.1
    device: str = "auto"
    precision: str = "auto"
    workers: int | str = "auto"
    threads: int | str = "auto"
    random_state: Any = 0
    verbose: bool = False

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> TransferClassifier:
        """Train.

        Args:
            X: Images, (N,).
            y: Labels of any one type, (N,).
            sample_weight: How much an image counts in training, above 0, (N,).

        Raises:
            ValueError: These are no images or no labels of classes, or their numbers differ.
            TopworkError: The images cannot be trained on; see ``errors``.
        """
        images = _images(X)
        check_classification_targets(y)
        labels = column_or_1d(y)
        weights = np.ones(len(images)) if sample_weight is None else column_or_1d(sample_weight)
        check_consistent_length(images, labels, weights)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"Classifier can't train when only one class is present: {classes.tolist()}")
        names = _names(classes)
        seed = self.random_state
        if seed is None or not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        flags = {name: getattr(self, name) for name in
                 ("model", "weights", "img_size", "val_fraction", "test_fraction", "device", "precision", "workers",
                  "threads")}  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="topwork-") as folder, ExitStack() as stack:
            stack.callback(forget, cache_folder(), Path(folder))
            table = Path(folder) / "images.jsonl"
            _write_table(table, images, [names[i] for i in numbers], weights)
            run = train(
                table, self.strategy, out=Path(folder) / "run", source="table", sets=tuple(self.sets), seed=int(seed),
                quiet=not self.verbose, **flags,
            )  # fmt: skip
            self.metrics_ = run.metrics
            self._kept = _Kept.of(run.path / BUNDLE)
        self._predictor = None
        self.classes_ = classes
        position = {name: i for i, name in enumerate(names)}
        self._columns = np.array([position[name] for name in self._opened().classes])
        return self

    @property
    def bundle_(self) -> Path:
        """Folder of the model."""
        check_is_fitted(self)
        return self._kept.folder

    def predict(self, X: Any) -> np.ndarray:
        """The class of each image, (N,): what ``topwork predict`` of the bundle says.

        Raises:
            ValueError: These are no images.
            DataError: One of them cannot be used; the message says which and why.
        """
        check_is_fitted(self)
        best = [block.scores.argmax(axis=1) for block in self._answers(X)]
        return self.classes_[self._columns[np.concatenate(best)]]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Calibrated probabilities float64 (N, K) in the order of ``classes_``."""
        check_is_fitted(self)
        return self._ordered(np.concatenate([block.probabilities for block in self._answers(X)]), 0.0)

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores float64 (N, K) in the order of ``classes_``; of two classes (N,), above 0 for the second."""
        check_is_fitted(self)
        scores = self._ordered(np.concatenate([block.scores for block in self._answers(X)]), -np.inf)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _ordered(self, values: np.ndarray, missing: float) -> np.ndarray:
        """Columns in the order of ``classes_``; a class of which no image could be used is missing from the bundle."""
        whole = np.full((len(values), len(self.classes_)), missing)
        whole[:, self._columns] = values
        return whole

    def _opened(self) -> Predictor:
        if self._predictor is None:
            self._predictor = load(
                self._kept.folder, device=self.device, precision=self.precision, workers=self.workers
            )
        return self._predictor

    def _answers(self, X: Any) -> Iterator[Any]:
        images = _images(X)
        model = self._opened()
        start = 0
        for batch in decode_batches(
            images, model.input_spec, BATCH, model.compute.workers if len(images) > MIN_IMAGES_FOR_WORKERS else 0
        ):
            for number, reason in enumerate(batch.reasons, start):
                if reason:
                    raise DataError(f"{_said(images[number], number)} cannot be used: {reason}. Leave it out.")
            start += len(batch.reasons)
            yield model.predict_batch(batch.pixels)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_predictor"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._predictor = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # pyrefly: ignore[missing-attribute]
        tags.input_tags.two_d_array, tags.input_tags.three_d_array, tags.input_tags.string = False, True, True
        return tags


class _Kept:
    """A folder of files that lives as long as this object, and goes with its copies."""

    def __init__(self, files: dict[str, bytes]) -> None:
        place = tempfile.mkdtemp(prefix="topwork-model-")
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        self.folder = Path(place) / BUNDLE
        self.folder.mkdir()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)

    @classmethod
    def of(cls, folder: Path) -> _Kept:
        kept = cls({})
        shutil.copytree(folder, kept.folder, dirs_exist_ok=True)
        return kept

    def __reduce__(self) -> Any:
        return _Kept, ({path.name: path.read_bytes() for path in sorted(self.folder.iterdir())},)


def _images(X: Any) -> list[Any]:
    """One item an image.

    Raises:
        ValueError: These are no images.
    """
    wanted = "give a list of paths, PIL images or uint8 arrays, or an array uint8 (N, H, W) or (N, H, W, 3)"
    if isinstance(X, str | bytes | os.PathLike | Image.Image) or not hasattr(X, "__len__"):
        raise ValueError(f"X is one {type(X).__name__}, not several images; {wanted}.")
    if hasattr(X, "to_numpy"):  # a column of a table
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        if X.dtype.kind in "OUT" and X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.dtype.kind not in "OUT" and (X.dtype != np.uint8 or X.ndim not in (3, 4)):
            raise ValueError(f"X is an array of {X.dtype} {X.shape}; {wanted}.")
        if X.dtype.kind in "OUT" and X.ndim != 1:
            raise ValueError(f"X is an array of {X.dtype} {X.shape}; {wanted}.")
    images = list(X)
    if not images:
        raise ValueError(f"Found array with 0 sample(s) while a minimum of 1 is required; {wanted}.")
    for number, image in enumerate(images):
        if not isinstance(image, str | bytes | os.PathLike | Image.Image | np.ndarray):
            raise ValueError(f"X[{number}] is of type {type(image).__name__}, no image; {wanted}.")
    return images


def _names(classes: np.ndarray) -> list[str]:
    """Class names for the run: the labels as text, with a number before them where that would not tell them apart."""
    names = [str(label) for label in classes]
    plain = len(set(names)) == len(names) and all(n and n == n.strip() and n.isprintable() for n in names)
    return names if plain else [f"{i} {storage.slug(name)}" for i, name in enumerate(names)]


def _write_table(table: Path, images: list[Any], labels: list[str], weights: np.ndarray) -> None:
    """A table of the images for ``topwork.train``; those in memory become PNG files beside it."""
    with table.open("w", encoding="utf-8") as file:
        for number, (image, label, weight) in enumerate(zip(images, labels, weights, strict=True)):
            path = os.path.abspath(image) if isinstance(image, str | os.PathLike) else None
            if path is None:
                path = f"{number:06d}.png"
                try:
                    to_rgb_image(image).save(table.parent / path, compress_level=1)
                except UnreadableImage as error:
                    raise ValueError(f"{_said(image, number)} cannot be used: {error.reason}") from error
            file.write(json.dumps({"path": path, "label": label, "weight": float(weight)}) + "\n")


def _said(image: Any, number: int) -> str:
    return f"X[{number}] ({os.fspath(image)})" if isinstance(image, str | os.PathLike) else f"X[{number}]"
