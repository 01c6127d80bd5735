"""``topwork.TransferClassifier``: a training of topwork behind scikit-learn's interface."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from topwork.core.config import DEFAULT_MODEL
from topwork.core.errors import DataError
from topwork.core.names import slug
from topwork.core.run_folders import cache_folder
from topwork.data import convert
from topwork.data.images import UnreadableImage, decode
from topwork.data.inspect_dataset import clear
from topwork.features.extract import BATCH
from topwork.inference import InferenceOptions
from topwork.inference.locate import BUNDLE
from topwork.inference.pixels import decode_batches, to_rgb_image
from topwork.inference.predict import MIN_IMAGES_FOR_WORKERS
from topwork.inference.predictor import Predictor, load
from topwork.pipeline.api import train


@dataclass(eq=False, repr=False)  # scikit-learn reads the settings from the signature that this writes
class TransferClassifier(ClassifierMixin, BaseEstimator):
    """Transfer learning on images as a scikit-learn classifier.

    ``X`` is a list or an object array of paths, PIL images or arrays uint8 (H, W), (H, W, 3) or (H, W, 4), or one array
    uint8 (N, H, W) or (N, H, W, C). ``fit`` is ``topwork.train`` on a random split of its images. Features of frozen
    strategies are cached by the content of the image, so that a cross-validation computes each only once.

    Args:
        strategy: ``"svm"``, ``"linear"``, ``"knn"``, ``"mlp"``, ``"finetune"`` or ``"scratch"``.
        model: timm name of the backbone; ``"A+B"`` joins the features of several networks.
        weights: ``"pretrained"``, a local ``.safetensors`` or ``.pth`` file, or a run of topwork.
        img_size: Side of the network's input in pixels, or ``"auto"``.
        sets: Settings as on the command line, e.g. ``("svm.folds=3",)``.
        val_fraction: Share of the training images for model selection and calibration, in (0, 1); heads on frozen
            features also learn from them.
        test_fraction: Share of all images that is held out for ``metrics_``, in (0, 1).
        balance: Each class counts as much as every other, however few images it has.
        device, precision, workers, threads: As for ``topwork.train``.
        random_state: An integer is the seed of the run; None or a generator draws one.
        verbose: Whether ``fit`` prints its progress.

    Attributes:
        classes_: The labels, sorted, (K,), of the type passed to ``fit``.
        bundle_: Folder of the model, as ``RUN/model`` of a run. It is deleted with the estimator: copy it to keep it.
        metrics_: The content of ``metrics.json`` of the run.

    >>> paths = sorted(Path(photos).rglob("*.png"))
    >>> labels = [path.parent.name for path in paths]
    >>> classifier = TransferClassifier("knn", img_size=32, workers=0).fit(paths, labels)
    >>> classifier.predict_proba(paths[:2]).shape
    (2, 3)
    """

    strategy: str = "svm"
    model: str = DEFAULT_MODEL
    _: KW_ONLY
    weights: str = "pretrained"
    img_size: int | str = "auto"
    sets: Sequence[str] = ()
    val_fraction: float = 0.15
    test_fraction: float = 0.1
    balance: bool = False
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
            sample_weight: Weight of each image in training, above 0, (N,).

        Raises:
            ValueError: ``X`` or ``y`` has the wrong type, or their lengths differ.
            TopworkError: These images cannot be trained on.
        """
        images = _to_list(X)
        check_classification_targets(y)
        labels = column_or_1d(y)
        weights = np.ones(len(images)) if sample_weight is None else column_or_1d(sample_weight)
        check_consistent_length(images, labels, weights)
        classes, numbers = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"Classifier can't train when only one class is present: {classes.tolist()}")
        names = _class_names(classes)
        seed = self.random_state
        if seed is None or not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        with tempfile.TemporaryDirectory(prefix="topwork-") as folder:
            table = Path(folder) / "images.jsonl"
            _write_table(table, images, [names[i] for i in numbers], weights)
            try:
                run = train(
                    table, self.strategy, out=Path(folder) / "run", source="table", sets=tuple(self.sets),
                    seed=int(seed), quiet=not self.verbose, model=self.model, weights=self.weights,
                    img_size=self.img_size, val_fraction=self.val_fraction, test_fraction=self.test_fraction,
                    balance=self.balance,
                    device=self.device, precision=self.precision, workers=self.workers, threads=self.threads,
                )  # fmt: skip
            finally:
                clear(cache_folder(), Path(folder))
            self.metrics_ = run.metrics
            self._bundle = _BundleFolder(_read_files(run.path / BUNDLE))
        self.classes_ = classes
        self._columns = np.array([names.index(name) for name in self._load().classes])
        return self

    @property
    def bundle_(self) -> Path:
        """Folder of the model."""
        check_is_fitted(self)
        return self._bundle.folder

    def predict(self, X: Any) -> np.ndarray:
        """The class of each image, (N,), as by ``topwork predict`` of the bundle.

        Raises:
            ValueError: ``X`` has the wrong type.
            DataError: An image cannot be used; with its position and the reason.
        """
        check_is_fitted(self)
        return self.classes_[self._columns[self._outputs(X)[0].argmax(axis=1)]]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Calibrated probabilities float64 (N, K) in the order of ``classes_``."""
        check_is_fitted(self)
        return self._align_columns(self._outputs(X)[1], 0.0)

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores float64 (N, K) in the order of ``classes_``; of two classes (N,), above 0 for the second."""
        check_is_fitted(self)
        scores = self._align_columns(self._outputs(X)[0], -np.inf)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def _align_columns(self, values: np.ndarray, fill_value: float) -> np.ndarray:
        """Columns in the order of ``classes_``; the bundle lacks a class of which no image could be used."""
        aligned = np.full((len(values), len(self.classes_)), fill_value)
        aligned[:, self._columns] = values
        return aligned

    def _load(self) -> Predictor:
        return self._bundle.load(device=self.device, precision=self.precision, workers=self.workers)

    def _outputs(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Scores and probabilities float64 (N, K), in the column order of the bundle."""
        images, model = _to_list(X), self._load()
        outputs, start = [], 0
        workers = model.compute.workers if len(images) > MIN_IMAGES_FOR_WORKERS else 0
        for batch in decode_batches(images, model.input_spec, BATCH, workers):
            for number, reason in enumerate(batch.reasons, start):
                if reason:
                    raise DataError(f"{_describe(images[number], number)} cannot be used: {reason}. Remove it.")
            start += len(batch.reasons)
            outputs.append(model.predict_batch(batch.pixels))
        return np.concatenate([o.scores for o in outputs]), np.concatenate([o.probabilities for o in outputs])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # pyrefly: ignore[missing-attribute]
        tags.input_tags.two_d_array, tags.input_tags.three_d_array, tags.input_tags.string = False, True, True
        return tags


class _BundleFolder:
    """A temporary folder of a bundle, deleted with this object and copied with its copies."""

    def __init__(self, files: dict[str, bytes]) -> None:
        root = tempfile.mkdtemp(prefix="topwork-model-")
        weakref.finalize(self, shutil.rmtree, root, ignore_errors=True)
        self.folder = Path(root) / BUNDLE
        self.folder.mkdir()
        for name, content in files.items():
            (self.folder / name).write_bytes(content)
        self._predictor: Predictor | None = None

    def load(self, **options: Unpack[InferenceOptions]) -> Predictor:
        """The model, loaded once."""
        if self._predictor is None:
            self._predictor = load(self.folder, **options)
        return self._predictor

    def __reduce__(self) -> Any:
        return _BundleFolder, (_read_files(self.folder),)


def _read_files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _to_list(X: Any) -> list[Any]:
    """One item per image.

    Raises:
        ValueError: ``X`` has the wrong type.
    """
    expected = "pass a list of paths, PIL images or uint8 arrays, or an array uint8 (N, H, W) or (N, H, W, 3)"
    if isinstance(X, str | bytes | os.PathLike | Image.Image) or not hasattr(X, "__len__"):
        raise ValueError(f"X is one {type(X).__name__}, not several images; {expected}.")
    if hasattr(X, "to_numpy"):  # a column of a table
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        is_list = X.dtype.kind in "OUT"
        if is_list and X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1 if is_list else X.dtype != np.uint8 or X.ndim not in (3, 4):
            raise ValueError(f"X is an array of {X.dtype} {X.shape}; {expected}.")
    images = list(X)
    if not images:
        raise ValueError(f"Found array with 0 sample(s) while a minimum of 1 is required; {expected}.")
    for number, image in enumerate(images):
        if not isinstance(image, str | bytes | os.PathLike | Image.Image | np.ndarray):
            raise ValueError(f"X[{number}] is not an image but {type(image).__name__}; {expected}.")
    return images


def _class_names(classes: np.ndarray) -> list[str]:
    """The labels as class names of the run, with a number before them where the text alone is not unique or valid."""
    names = [str(label) for label in classes]
    valid = len(set(names)) == len(names) and all(n and n == n.strip() and n.isprintable() for n in names)
    return names if valid else [f"{i} {slug(name)}" for i, name in enumerate(names)]


def _write_table(table: Path, images: list[Any], labels: list[str], weights: np.ndarray) -> None:
    """A table of the images for ``topwork.train``; images in memory become PNG files beside it."""
    with table.open("w", encoding="utf-8") as file:
        for number, (image, label, weight) in enumerate(zip(images, labels, weights, strict=True)):
            if isinstance(image, str | os.PathLike):
                path = os.path.abspath(image)
            else:
                path = f"{number:06d}.png"
                try:
                    _write_image(table.parent / path, image)
                except UnreadableImage as error:
                    raise ValueError(f"{_describe(image, number)} cannot be used: {error.reason}") from error
            file.write(json.dumps({"path": path, "label": label, "weight": float(weight)}) + "\n")


def _write_image(path: Path, image: bytes | Image.Image | np.ndarray) -> None:
    """A file of its RGB pixels, or of all it holds if the data set decides decoding (docs/explanation/pixels.md)."""
    stored = to_rgb_image(image)
    if isinstance(image, bytes):
        facts = decode(image, survey=True)[1]
        if facts.peak or facts.visible_on:
            path.write_bytes(image)
            return
    elif isinstance(image, Image.Image) or image.shape[2:] == (4,):
        whole = image if isinstance(image, Image.Image) else Image.fromarray(image)
        is_wide = bool(convert.peak(whole, wide=False))
        if is_wide or convert.visible_on(whole):
            stored = Image.fromarray(np.asarray(whole).astype(np.uint16)) if is_wide else whole.convert("RGBA")
            turn = convert.orientation(whole)
            stored = stored.transpose(convert.TRANSPOSE[turn]) if turn in convert.TRANSPOSE else stored
    stored.save(path, compress_level=1)


def _describe(image: Any, number: int) -> str:
    return f"X[{number}] ({os.fspath(image)})" if isinstance(image, str | os.PathLike) else f"X[{number}]"
