"""From scores to a prediction: calibrated probabilities, 'unsure', and 'unlike the training images'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from topwork.bundle.format import Bundle
from topwork.bundle.notebook import prediction_html
from topwork.core.errors import DataError
from topwork.strategies import load


@dataclass(frozen=True)
class ClassProbability:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Neighbour:
    """A training image with similar features.

    Attributes:
        image: Its id.
        label: Its class.
        distance: 1 - cosine similarity of the features, in [0, 2].
    """

    image: str
    label: str
    distance: float


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        image: Its path, or its number if it came from memory.
        top: The most probable classes, the most probable first; empty if the image cannot be used.
        abstain: Whether the highest probability is below the confidence threshold; None if there is no threshold.
        out_of_distribution: Whether the image is unlike the training images, by the distance threshold; None if
            unknown.
        distance: To the k-th nearest training image, 1 - cosine similarity; None if unknown.
        error: Why the image cannot be used; empty if it can.
        neighbours: The nearest training images, if requested.
    """

    image: str
    top: tuple[ClassProbability, ...] = ()
    abstain: bool | None = None
    out_of_distribution: bool | None = None
    distance: float | None = None
    error: str = ""
    neighbours: tuple[Neighbour, ...] = ()

    @property
    def label(self) -> str:
        """The most probable class; empty if the image cannot be used."""
        return self.top[0].label if self.top else ""

    @property
    def probability(self) -> float | None:
        """Probability of the most probable class; None if the image cannot be used."""
        return self.top[0].probability if self.top else None

    def _repr_html_(self) -> str:
        return prediction_html(self)


@dataclass(frozen=True)
class BatchOutputs:
    """Outputs for N images.

    Attributes:
        scores: float64 (N, K); the highest decides the class.
        probabilities: float64 (N, K), calibrated; rows sum to 1.
        distances: float32 (N, C) to the C nearest training images, ascending; None if the bundle holds none.
        nearest: int64 (N, C), their row numbers.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    distances: np.ndarray | None = None
    nearest: np.ndarray | None = None


class DecisionRule:
    """Applies the calibration and the thresholds of a bundle, which ``evaluation.decision`` fitted.

    Attributes:
        temperature: What scores are divided by.
        confidence_threshold: Probability below which the model abstains; None in a bundle without.
        ood_threshold: Distance above which an image is out of distribution; None in a bundle without.
        k: Which nearest training image the distance is measured to.
    """

    def __init__(self, bundle: Bundle) -> None:
        stored, ood = bundle.decision, bundle.decision.get("ood") or {}
        self._strategy, self._tensors, self._classes = load(bundle.strategy), bundle.head, bundle.classes
        reference = bundle.neighbours  # converted to float32 once, not for each batch
        self._reference = reference and replace(reference, features=reference.features.astype(np.float32))
        self.temperature = bundle.temperature
        self.confidence_threshold: float | None = stored.get("confidence_threshold")
        self.ood_threshold: float | None = ood.get("threshold") if self._reference else None
        self.k = int(ood.get("neighbours", 1))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Calibrated probabilities float64 (N, K) of scores float64 (N, K); a DataError if they are not finite."""
        found = self._strategy.probabilities(scores, self._tensors, self.temperature)
        if not np.isfinite(found).all():
            raise DataError("The model gives probabilities that are no finite numbers: it is damaged.")
        return found

    def postprocess(self, scores: np.ndarray, features: np.ndarray, neighbours: int = 0) -> BatchOutputs:
        """Probabilities and N or more nearest training images, of scores (N, K) and features float32 (N, D)."""
        probabilities = self.probabilities(scores)
        if self._reference is None:
            return BatchOutputs(scores, probabilities)
        count = min(max(self.k, neighbours), len(self._reference.labels))
        return BatchOutputs(scores, probabilities, *self._reference.nearest(features, count))

    def to_predictions(
        self, names: Sequence[str], outputs: BatchOutputs, top: int = 3, neighbours: int = 0
    ) -> list[Prediction]:
        """One prediction per image.

        Args:
            names: Of the images, (N,).
            outputs: From ``postprocess``.
            top: Number of classes, the most probable first; 0 for all.
            neighbours: Number of nearest training images.
        """
        return [self._to_prediction(name, outputs, row, top, neighbours) for row, name in enumerate(names)]

    def _to_prediction(self, name: str, outputs: BatchOutputs, row: int, top: int, neighbours: int) -> Prediction:
        probabilities, scores = outputs.probabilities[row], outputs.scores[row]
        best = int(scores.argmax())  # as in evaluation: the highest score decides, the first of equals
        order = sorted(range(len(scores)), key=lambda i: (i != best, -probabilities[i]))
        classes = tuple(ClassProbability(self._classes[i], float(probabilities[i])) for i in order[: top or None])
        threshold = self.confidence_threshold
        abstain = None if threshold is None else bool(probabilities.max() < threshold)
        if outputs.distances is None or outputs.nearest is None or self._reference is None:
            return Prediction(name, classes, abstain)
        distance = float(outputs.distances[row][min(self.k, outputs.distances.shape[1]) - 1])
        ood = None if self.ood_threshold is None else distance > self.ood_threshold
        ids, labels = self._reference.ids, self._reference.labels
        nearest = tuple(
            Neighbour(ids[i], self._classes[labels[i]], float(d))
            for i, d in zip(outputs.nearest[row][:neighbours], outputs.distances[row], strict=False)
        )
        return Prediction(name, classes, abstain, ood, distance, neighbours=nearest)
