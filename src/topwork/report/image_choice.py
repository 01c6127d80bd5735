"""Which images the report shows, and where. Pure functions; equal data give equal choices.

The order in which images come is that of their hashes where nothing else decides, so that it is random but the same
on every run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from topwork.core.predictions import Predictions

MAX_EXAMPLES = 4  # of each kind, right and wrong
MAX_IN_CELL = 8
MAX_IN_WRONG_CELLS, MAX_IN_RIGHT_CELLS = 64, 24  # of a strategy
MAX_OF_CLASS, MAX_OF_ALL_CLASSES = 6, 200
MAX_ERRORS_WITH_NEIGHBOURS, NEIGHBOURS = 6, 3


@dataclass(frozen=True)
class ShownPrediction:
    """A test image, its class, the predicted class, and the probability of that."""

    id: str
    label: str
    predicted: str
    probability: float

    @property
    def correct(self) -> bool:
        """Whether the prediction is right."""
        return self.label == self.predicted


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix with some of its images.

    Attributes:
        label, predicted: Class indices.
        count: Images in it.
        images: The most confident mistakes, or correct ones in random order.
    """

    label: int
    predicted: int
    count: int
    images: tuple[ShownPrediction, ...]


@dataclass(frozen=True)
class Neighbour:
    """A training image that is similar to a test image: its id, class, and distance (1 - cosine similarity)."""

    id: str
    label: str
    distance: float


def most_confident_errors(predictions: Predictions, limit: int) -> list[ShownPrediction]:
    """The misclassified images with the highest probability of the wrong class, highest first; ties by id."""
    confidence = _confidence(predictions)
    incorrect = np.flatnonzero(predictions.predicted != predictions.labels)
    order = sorted(incorrect.tolist(), key=lambda i: (-confidence[i], predictions.ids[i]))[:limit]
    return [_shown(predictions, i, confidence) for i in order]


def examples(
    predictions: Predictions, limit: int = MAX_EXAMPLES
) -> tuple[list[ShownPrediction], list[ShownPrediction]]:
    """Images that were classified correctly and others that were not, in random order, of different classes first."""
    confidence, correct = _confidence(predictions), predictions.predicted == predictions.labels
    kinds = []
    for kind in (correct, ~correct):
        rows = _shuffled(np.flatnonzero(kind).tolist(), predictions.ids)
        spread = _spread(rows, predictions.labels.tolist())
        kinds.append([_shown(predictions, i, confidence) for i in spread[:limit]])
    return kinds[0], kinds[1]


def cells(predictions: Predictions) -> dict[tuple[int, int], Cell]:
    """The cells of the confusion matrix that have images to show, by class and predicted class.

    The cells get an image each in turn, those with the most images first, as long as there is room.
    """
    confidence, members = _confidence(predictions), dict[tuple[int, int], list[int]]()
    for i, key in enumerate(zip(predictions.labels.tolist(), predictions.predicted.tolist(), strict=True)):
        members.setdefault(key, []).append(i)
    found = {}
    for correct, room in ((False, MAX_IN_WRONG_CELLS), (True, MAX_IN_RIGHT_CELLS)):
        own = {key: rows for key, rows in members.items() if (key[0] == key[1]) == correct}
        keys = sorted(own, key=lambda key: (-len(own[key]), key))
        taken = _in_turn([min(len(own[key]), MAX_IN_CELL) for key in keys], room)
        for key, count in zip(keys, taken, strict=True):
            rows = (
                _shuffled(own[key], predictions.ids)
                if correct
                else sorted(own[key], key=lambda i: (-confidence[i], predictions.ids[i]))
            )
            if count:
                images = tuple(_shown(predictions, i, confidence) for i in rows[:count])
                found[key] = Cell(*key, len(own[key]), images)
    return found


def class_examples(
    images: Mapping[str, Sequence[str]], of_class: int = MAX_OF_CLASS, of_all: int = MAX_OF_ALL_CLASSES
) -> dict[str, tuple[str, ...]]:
    """Some images of each class.

    Args:
        images: Ids by class.
        of_class, of_all: Maximum of a class and of all; of more classes than that only the first have one.
    """
    limit = min(of_class, max(1, of_all // max(1, len(images))))
    names = sorted(images)[:of_all]
    return {name: tuple(random_order(images[name])[:limit]) for name in names if images[name]}


def shown_in_run(predictions: Predictions, neighbours: Mapping[str, Sequence[Neighbour]], errors: int) -> list[str]:
    """Ids of all images that the report shows of one strategy, the most important first.

    Args:
        predictions: On the test images.
        neighbours: Similar training images by test image.
        errors: Mistakes that are shown.
    """
    right, wrong = examples(predictions)
    mistakes = most_confident_errors(predictions, errors)
    near = [n.id for e in mistakes[:MAX_ERRORS_WITH_NEIGHBOURS] for n in neighbours.get(e.id, ())]
    in_cells = [image.id for cell in cells(predictions).values() for image in cell.images]
    return list(dict.fromkeys([*(image.id for image in (*right, *wrong, *mistakes)), *near, *in_cells]))


def random_order(ids: Iterable[str]) -> list[str]:
    """Ids in an order that has nothing to do with the images, the same on every run."""
    return sorted(ids, key=_hash)


def _in_turn(requested: Sequence[int], room: int) -> list[int]:
    """How many each gets of ``room`` if they take one each in turn, at most as many as requested."""
    taken = [0] * len(requested)
    for turn in range(max(requested, default=0)):
        for number, limit in enumerate(requested):
            if turn < limit and room > 0:
                taken[number] += 1
                room -= 1
    return taken


def _spread(rows: Iterable[int], labels: Sequence[int]) -> list[int]:
    """The rows, the first of each class first, then the second of each class, ..."""
    seen, ranked = Counter[int](), []
    for row in rows:
        ranked.append((seen[labels[row]], row))
        seen[labels[row]] += 1
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]


def _shuffled(rows: Iterable[int], ids: Sequence[str]) -> list[int]:
    return sorted(rows, key=lambda i: _hash(ids[i]))


def _hash(image: str) -> bytes:
    return hashlib.sha256(image.encode("utf-8", "surrogateescape")).digest()


def _confidence(predictions: Predictions) -> np.ndarray:
    """Probability of the predicted class, float (N,)."""
    predicted = predictions.predicted
    return np.nan_to_num(predictions.probabilities[np.arange(len(predicted)), predicted])


def _shown(predictions: Predictions, i: int, confidence: np.ndarray) -> ShownPrediction:
    names = predictions.classes
    label, predicted = names[predictions.labels[i]], names[predictions.predicted[i]]
    return ShownPrediction(predictions.ids[i], label, predicted, float(confidence[i]))
