"""From scores to what is said about an image: calibrated probabilities, 'unsure', 'unlike training'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from topwork.bundle.format import Bundle
from topwork.strategies import load
from topwork.strategies.base import calibrated


@dataclass(frozen=True)
class Guess:
    """A class and its probability."""

    label: str
    probability: float


@dataclass(frozen=True)
class Neighbour:
    """A training image that the network sees nearly alike.

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
    """What is said about one image.

    Attributes:
        image: Its name as it was given.
        top: The most probable classes, the best first; empty if the image cannot be used.
        abstain: Whether the probability of the best is below the threshold that val gave; None if there is none.
        out_of_distribution: Whether the image is unlike the training images; None if not known.
        distance: To the k-th nearest training image, 1 - cosine similarity; None if not known.
        error: Why the image cannot be used; empty for one that can.
        neighbours: The nearest training images, if they were asked for.
    """

    image: str
    top: tuple[Guess, ...] = ()
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
        """Of the most probable class; None if the image cannot be used."""
        return self.top[0].probability if self.top else None


@dataclass(frozen=True)
class Answers:
    """What a network says about N images.

    Attributes:
        scores: float64 (N, K): what the decision is made on.
        probabilities: float64 (N, K), calibrated; rows sum to 1.
        distances: float32 (N, C) to the C nearest training images, rising; None if the bundle holds none.
        nearest: int64 (N, C): which ones.
    """

    scores: np.ndarray
    probabilities: np.ndarray
    distances: np.ndarray | None = None
    nearest: np.ndarray | None = None


class Decision:
    """The thresholds and the calibration of a bundle. One that is older than they are has none.

    Args:
        bundle: From ``read_bundle``.

    Attributes:
        temperature: Scores are divided by it.
        confidence_threshold: Probability below which a prediction is unsure; None if the bundle has no such threshold.
        ood_threshold: Distance above which an image is unlike training; None if not known.
        k: The distance to which of the nearest training images counts.
    """

    def __init__(self, bundle: Bundle) -> None:
        stored, ood = bundle.decision, bundle.decision.get("ood") or {}
        self._strategy, self._tensors, self._classes = load(bundle.strategy), bundle.head, bundle.classes
        bank = bundle.neighbours  # in float32 from here on, not anew for each batch
        self._bank = bank and replace(bank, features=bank.features.astype(np.float32))
        self.temperature = bundle.temperature
        self.confidence_threshold: float | None = stored.get("confidence_threshold")
        self.ood_threshold: float | None = ood.get("threshold") if self._bank else None
        self.k = int(ood.get("neighbours", 1))

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """float64 (N, K) of scores float64 (N, K)."""
        return calibrated(self._strategy, scores, self._tensors, self.temperature)

    def answers(self, scores: np.ndarray, features: np.ndarray, neighbours: int = 0) -> Answers:
        """Everything that follows from scores float64 (N, K) and features float32 (N, D)."""
        probabilities = self.probabilities(scores)
        if self._bank is None:
            return Answers(scores, probabilities)
        count = min(max(self.k, neighbours), len(self._bank.labels))
        return Answers(scores, probabilities, *self._bank.nearest(features, count))

    def predictions(
        self, names: Sequence[str], answers: Answers, top: int = 3, neighbours: int = 0
    ) -> list[Prediction]:
        """One for each image.

        Args:
            names: Of the images, (N,).
            answers: From ``answers``.
            top: Classes to tell; 0 for all.
            neighbours: Training images to tell, at most.
        """
        return [self._one(name, answers, row, top, neighbours) for row, name in enumerate(names)]

    def _one(self, name: str, answers: Answers, row: int, top: int, neighbours: int) -> Prediction:
        probabilities, scores = answers.probabilities[row], answers.scores[row]
        best = int(scores.argmax())  # as in evaluation: the score decides, of equals the first
        order = sorted(range(len(scores)), key=lambda i: (i != best, -probabilities[i]))
        guesses = tuple(Guess(self._classes[i], float(probabilities[i])) for i in order[: top or None])
        abstain = None if self.confidence_threshold is None else bool(probabilities.max() < self.confidence_threshold)
        distance = out_of_distribution = None
        near: tuple[Neighbour, ...] = ()
        if answers.distances is not None and answers.nearest is not None and self._bank is not None:
            distance = float(answers.distances[row][min(self.k, answers.distances.shape[1]) - 1])
            out_of_distribution = None if self.ood_threshold is None else distance > self.ood_threshold
            near = tuple(
                Neighbour(self._bank.ids[i], self._classes[self._bank.labels[i]], float(d))
                for i, d in zip(answers.nearest[row][:neighbours], answers.distances[row], strict=False)
            )
        return Prediction(name, guesses, abstain, out_of_distribution, distance, neighbours=near)
