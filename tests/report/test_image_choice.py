"""Which images the report shows."""

from __future__ import annotations

from collections import Counter

import numpy as np
from tests.report.conftest import fake_predictions

from topwork.report import image_choice
from topwork.report.image_choice import Neighbour


def test_examples_are_right_and_wrong_and_of_different_classes() -> None:
    found = fake_predictions(["a", "b", "c"], 200, 1.0)
    right, wrong = image_choice.examples(found)
    assert [len(right), len(wrong)] == [4, 4]
    assert all(image.correct for image in right)
    assert not any(image.correct for image in wrong)
    assert {image.label for image in right} == {image.label for image in wrong} == {"a", "b", "c"}
    assert image_choice.examples(found) == (right, wrong)


def test_cells_hold_images_of_their_class_and_prediction_within_the_limits() -> None:
    found = fake_predictions([f"class {i}" for i in range(12)], 2000, 0.5)
    cells = image_choice.cells(found)
    counts = Counter(zip(found.labels.tolist(), found.predicted.tolist(), strict=True))
    place = {image: (a, b) for image, a, b in zip(found.ids, found.labels, found.predicted, strict=True)}
    for key, cell in cells.items():
        assert cell.count == counts[key]
        assert {place[image.id] for image in cell.images} == {key}
        shown = [image.probability for image in cell.images]
        assert key[0] == key[1] or shown == sorted(shown, reverse=True)
    wrong = sum(len(cell.images) for key, cell in cells.items() if key[0] != key[1])
    assert wrong == image_choice.MAX_IN_WRONG_CELLS
    assert sum(len(cell.images) for cell in cells.values()) == wrong + image_choice.MAX_IN_RIGHT_CELLS
    assert max(len(cell.images) for cell in cells.values()) <= image_choice.MAX_IN_CELL


def test_every_cell_gets_an_image_before_any_gets_two() -> None:
    assert image_choice._in_turn([3, 1, 2], 4) == [2, 1, 1]
    assert image_choice._in_turn([1, 1], 9) == [1, 1]
    assert image_choice._in_turn([], 9) == []


def test_classes_have_few_examples_if_there_are_many() -> None:
    few = image_choice.class_examples({"a": [f"a/{i}" for i in range(50)], "b": ["b/0"], "empty": []})
    assert {name: len(ids) for name, ids in few.items()} == {"a": image_choice.MAX_OF_CLASS, "b": 1}
    many = image_choice.class_examples({str(i): [f"{i}/{j}" for j in range(9)] for i in range(1000)})
    assert sum(map(len, many.values())) == image_choice.MAX_OF_ALL_CLASSES


def test_a_run_shows_the_neighbours_of_its_first_mistakes() -> None:
    found = fake_predictions(["a", "b"], 300, 0.3)
    mistakes = image_choice.most_confident_errors(found, 12)
    near = {e.id: [Neighbour(f"near {e.id}", "a", 0.1)] for e in mistakes}
    ids = image_choice.shown_in_run(found, near, 12)
    assert len(ids) == len(set(ids))
    shown = [f"near {e.id}" in ids for e in mistakes]
    assert shown == [True] * image_choice.MAX_ERRORS_WITH_NEIGHBOURS + [False] * (
        12 - image_choice.MAX_ERRORS_WITH_NEIGHBOURS
    )
    assert np.isin([e.id for e in mistakes], ids).all()
