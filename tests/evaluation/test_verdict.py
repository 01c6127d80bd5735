"""The verdict as numbers and as sentences."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from topwork.core.artifacts import EpochRecord
from topwork.evaluation.cut_short import CutShort, find_cut_short
from topwork.evaluation.recommend import Candidate, recommend
from topwork.evaluation.verdict import Outcome, PredictedGain, Verdict, compare_strategies
from topwork.evaluation.verdict_text import MINUS, percentage_points, verdict_sentences


def outcome(name: str, incorrect: list[list[int]], seconds: float, images: int = 656) -> Outcome:
    """Correct on all images but those of ``incorrect``, a list of ranges for each seed."""
    correct = np.ones((len(incorrect), images), dtype=bool)
    for row, span in zip(correct, incorrect, strict=True):
        row[span[0] : span[1]] = False
    return Outcome(name, correct, seconds)


LABELS = np.arange(656) % 4


def verdict_of(*outcomes: Outcome, labels: np.ndarray = LABELS, **more: object) -> tuple[Verdict, str]:
    verdict = compare_strategies(outcomes, labels, **more)  # type: ignore[arg-type]
    return verdict, " ".join(verdict_sentences(verdict))


def test_the_verdict_says_how_many_independent_units_there_are() -> None:
    a, b = outcome("a", [[0, 58]], 1), outcome("b", [[30, 111]], 1)
    alone, together = (verdict_of(a, b, groups=groups) for groups in (None, np.arange(656) // 8))
    assert "belong together" not in alone[1]
    assert "the intervals and tests count 82 independent units" in together[1]
    assert ("McNemar" in alone[1], "McNemar" in together[1], "sign-flip" in together[1]) == (True, False, True)
    assert together[0].results[0].high - together[0].results[0].low > alone[0].results[0].high - alone[0].results[0].low
    assert together[0].pairs[0].p > alone[0].pairs[0].p


def test_the_verdict_of_the_example() -> None:
    gains = [PredictedGain("svm", 1673, 0.011, 0.004, 0.019)]
    finetune, svm = outcome("finetune", [[0, 58]], 400), outcome("svm", [[30, 111]], 10)
    mlp = outcome("mlp", [[32, 115]], 12)
    verdict, text = verdict_of(svm, mlp, finetune, gains=gains)
    assert [s.name for s in verdict.results] == ["finetune", "svm", "mlp"]
    assert text.startswith(
        "finetune 91.2 % [88.7, 93.1] is significantly better than svm 87.7 % [84.9, 90.0] (paired difference 3.5"
    )
    assert "McNemar p = 0.0" in text
    assert "corrected for 3 pairs" in text
    assert "takes 40x as long to train" in text
    assert "finetune is also significantly better than mlp by 3.8 points." in text
    assert "There is no significant difference between svm and mlp on 656 images." in text
    assert "Doubling the labels would add about 1.1 points [0.4, 1.9] for svm." in text
    assert json.loads(json.dumps(verdict.to_json()))["pairs"][0]["significant"]


def test_no_significant_difference_names_the_detectable_one() -> None:
    verdict, text = verdict_of(outcome("finetune", [[0, 58]], 400), outcome("svm", [[4, 64]], 10))
    assert "no significant difference between finetune 91.2 % [88.7, 93.1] and svm 90.9 % [88.4, 92.8] on 656" in text
    assert f"paired difference 0.3 points [{MINUS}" in text
    needed = percentage_points(verdict.pairs[0].minimum_detectable_difference)
    assert f"a true difference of {needed} points would be detected 80 % of the time" in text
    assert "beat" not in text


def short(name: str, incorrect: tuple[int, int], improving: bool) -> Outcome:
    return replace(outcome(name, [list(incorrect)], 300), cut_short=CutShort(2, 24, "cpu", improving))


def test_no_strategy_is_better_than_one_that_was_cut_short_without_that_being_said() -> None:
    _, text = verdict_of(outcome("svm", [[0, 58]], 10), short("finetune", (0, 120), True), outcome("knn", [[0, 70]], 1))
    assert "finetune was cut short after 2 of 24 epochs by the time budget on a CPU and was still improving" in text
    assert "better than finetune (cut short) by 9.5 points" in text
    assert not re.search(r"better than [^.]*finetune(?! \(cut short\))", text)
    _, text = verdict_of(outcome("svm", [[0, 58]], 10), short("finetune", (0, 62), True))
    assert "no significant difference between svm 91.2 % [88.7, 93.1] and finetune (cut short) 90.5 %" in text
    _, text = verdict_of(outcome("svm", [[0, 58]], 10), short("finetune", (0, 120), False))
    assert "finetune was cut short after 2 of 24 epochs" in text
    assert "no better than earlier ones on the validation images" in text
    assert "(cut short)" not in text


def test_the_recommendation_says_what_more_epochs_may_change() -> None:
    outcomes = [outcome("svm", [[0, 58]], 10), short("finetune", (0, 62), True)]
    chosen = recommend([Candidate(o.name, o.correct, o.seconds) for o in outcomes], LABELS)
    text = verdict_sentences(compare_strategies(outcomes, LABELS, recommendation=chosen))[-1]
    assert text.endswith("finetune may do better with more epochs, and the choice may change.")


def record(epoch: int, loss: float, accuracy: float) -> EpochRecord:
    return EpochRecord(epoch, epoch, 0.0, loss, accuracy, 1e-3, False)


@pytest.mark.parametrize(
    ("epochs", "improving"),
    [
        ([(0.9, 0.5)], True),
        ([(0.9, 0.5), (0.8, 0.5)], True),
        ([(0.9, 0.5), (0.9, 0.6)], True),
        ([(0.9, 0.5), (0.7, 0.7), (0.8, 0.7)], False),
    ],
)
def test_a_training_still_improves_if_its_last_epoch_is_the_best(
    epochs: list[tuple[float, float]], improving: bool
) -> None:
    history = [record(i, *values) for i, values in enumerate(epochs, 1)]
    found = find_cut_short(history, 24, len(history), "minutes")
    assert found == CutShort(len(history), 24, "minutes", improving)
    assert find_cut_short(history, 24, 24, "minutes") == CutShort(len(history), 24, "patience", improving)
    assert find_cut_short(history, len(history), len(history), "minutes") is None
    assert find_cut_short([], None, 0, "cpu") is None


def test_strategies_no_better_than_guessing_are_named() -> None:
    labels = np.concatenate([np.zeros(456, dtype=int), np.ones(200, dtype=int)])
    _, text = verdict_of(outcome("svm", [[0, 20]], 1), outcome("scratch", [[456, 656]], 9), labels=labels)
    assert "scratch is not shown to be better than always predicting the most frequent class" in text
    assert "which has an accuracy of 69.5 %" in text


def test_variation_between_seeds_is_not_that_between_images() -> None:
    a = outcome("a", [[0, 40], [0, 42], [0, 44]], 1)
    b = outcome("b", [[0, 41], [0, 38], [0, 60]], 1)
    verdict, text = verdict_of(a, b)
    assert verdict.results[0].by_repeat == pytest.approx([1 - 40 / 656, 1 - 42 / 656, 1 - 44 / 656])
    assert verdict.results[0].std == pytest.approx(2 / 656)
    assert "sign-flip" in text
    assert "Means over 3 seeds; standard deviation between seeds, in points: a 0.3 and b 1.8" in text
    assert "The ranking differs between seeds: a > b; b > a." in text
    _, text = verdict_of(a, outcome("b", [[0, 141], [0, 138], [0, 160]], 1))
    assert "All seeds give the same ranking." in text
    assert "a 93.6 % [91.5, 95.2] is significantly better than b" in text


def test_a_strategy_that_does_not_depend_on_the_seed_is_compared_with_every_seed() -> None:
    a, svm = outcome("a", [[0, 40], [0, 42], [0, 44]], 9), outcome("svm", [[0, 41]], 1)
    verdict, text = verdict_of(a, svm)
    repeated = verdict_of(a, outcome("svm", [[0, 41]] * 3, 1))[0]
    assert verdict.pairs == repeated.pairs
    assert verdict.rankings == repeated.rankings == (("a", "svm"), ("svm", "a"), ("svm", "a"))
    assert [s.std for s in verdict.results if s.name == "svm"] == [None]
    assert "in points: a 0.3 (the intervals" in text
    assert "svm does not depend on the seed and was fitted once." in text


def test_a_difference_that_a_seed_contradicts_is_not_conclusive() -> None:
    correct = np.ones((2, 656), dtype=bool)
    worse = correct.copy()
    worse[0, :100] = False
    correct[1, 0] = False
    _, text = verdict_of(Outcome("a", correct), Outcome("b", worse))
    assert "There is no significant difference" in text
    assert "The order of a and b changes between seeds, so this is not conclusive." in text


def test_folds_are_pooled_and_their_deviation_is_named() -> None:
    folds = np.repeat([0, 1, 2, 3], 164)
    verdict, text = verdict_of(outcome("a", [[0, 40]], 1), outcome("b", [[0, 90]], 1), folds=folds)
    assert verdict.repeats == ("folds", 4)
    assert verdict.results[0].by_repeat == pytest.approx([1 - 40 / 164, 1, 1, 1])
    assert "Every image was tested once, in one of 4 folds" in text
    assert "McNemar" in text


def test_one_strategy_alone_has_its_accuracy() -> None:
    _, text = verdict_of(outcome("svm", [[0, 58]], 10))
    assert text == "svm classifies 91.2 % [88.7, 93.1] of 656 test images correctly."


@pytest.mark.parametrize(("value", "text"), [(0.036, "3.6"), (-0.012, f"{MINUS}1.2"), (-0.0002, "0.0"), (0.0, "0.0")])
def test_points(value: float, text: str) -> None:
    assert percentage_points(value) == text
