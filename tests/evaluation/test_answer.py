"""The verdict in everyday words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from topwork.evaluation import target_metric
from topwork.evaluation.answer import answer, differences
from topwork.evaluation.cut_short import CutShort
from topwork.evaluation.recommend import Candidate, recommend
from topwork.evaluation.verdict import Outcome, Verdict, compare_strategies

LABELS = np.arange(600) % 4


def correct(*wrong: int) -> np.ndarray:
    """Correct on all images but the first few, for each seed."""
    return np.arange(600) >= np.array(wrong)[:, None]


def verdict_of(chosen: str, outcomes: dict[str, tuple[int, float]], **options: object) -> Verdict:
    """The verdict of strategies with numbers of mistakes and seconds, of which validation has chosen one."""
    val = [Candidate(name, correct(0 if name == chosen else 100), seconds) for name, (_, seconds) in outcomes.items()]
    found = [Outcome(name, correct(wrong), seconds) for name, (wrong, seconds) in outcomes.items()]
    recommendation = recommend(val, LABELS)
    assert recommendation.name == chosen
    return compare_strategies(found, LABELS, recommendation=recommendation, **options)  # type: ignore[arg-type]


def test_a_cheap_strategy_that_none_was_shown_to_beat() -> None:
    verdict = verdict_of("svm", {"svm": (84, 10), "finetune": (80, 7300), "scratch": (240, 9000), "mlp": (85, 12)})
    assert answer(verdict) == [
        "Use svm: it is right on 86 of 100 new images (83 to 89).",
        "finetune (730 times as long) and mlp (about as long) were not shown to be better; scratch is worse.",
    ]


def test_a_strategy_that_is_worth_its_time() -> None:
    verdict = verdict_of("finetune", {"svm": (84, 10), "finetune": (20, 250), "scratch": (240, 300)})
    assert (
        answer(verdict)[1] == "svm trains 25 times as fast, but is worse (right on 11 fewer of 100); scratch is worse."
    )


def test_a_strategy_that_the_test_images_find_better_is_named() -> None:
    verdict = verdict_of("svm", {"svm": (84, 10), "finetune": (20, 15)})
    assert (
        answer(verdict)[1]
        == "finetune is better on the test images (right on 11 more of 100) and takes 1.5 times as long."
    )


def test_a_training_that_was_stopped_early_is_not_called_beaten() -> None:
    val = [Candidate("svm", correct(0), 1), Candidate("finetune", correct(100), 2)]
    outcomes = [Outcome("svm", correct(84), 1), Outcome("finetune", correct(84), 2, CutShort(2, 20, "cpu", True))]
    text = answer(compare_strategies(outcomes, LABELS, recommendation=recommend(val, LABELS)))[1]
    assert text == (
        "finetune takes twice as long and was not shown to be better, but it was stopped while it was still improving."
    )
    outcomes[1] = replace(outcomes[1], correct=correct(300))
    text = answer(compare_strategies(outcomes, LABELS, recommendation=recommend(val, LABELS)))[1]
    assert text == "finetune (stopped while it was still improving) is worse."


def test_that_the_recommended_training_was_stopped_early_is_said() -> None:
    val = [Candidate("mlp", correct(0), 1), Candidate("svm", correct(100), 2)]
    outcomes = [Outcome("mlp", correct(84), 1, CutShort(2, 20, "cpu", True)), Outcome("svm", correct(84), 2)]
    text = answer(compare_strategies(outcomes, LABELS, recommendation=recommend(val, LABELS)))
    assert text[-1] == "mlp was stopped while it was still improving: more epochs may make it better."


def test_what_is_no_better_than_not_looking_is_not_recommended() -> None:
    labels = np.repeat([0, 1], [420, 180])
    val = recommend([Candidate("svm", correct(0), 1), Candidate("mlp", correct(100), 2)], labels)
    outcomes = [Outcome("svm", correct(190), 1), Outcome("mlp", correct(200), 2)]
    first, second, _ = answer(compare_strategies(outcomes, labels, recommendation=val))
    assert (
        first == "Do not rely on these yet: svm, the recommended strategy, is right on 68 of 100 new images (65 to 72)."
    )
    assert second == (
        "That is not shown to be better than not looking at the image: always predicting the most frequent class would "
        "be right on 70 of 100."
    )


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (0, "svm is right on all 600 test images (99 to 100 of 100 new images)."),
        (2, "svm is right on 997 of 1,000 new images (988 to 999)."),
        (84, "svm is right on 86 of 100 new images (83 to 89)."),
    ],
)
def test_one_strategy_alone(wrong: int, text: str) -> None:
    assert answer(compare_strategies([Outcome("svm", correct(wrong), 1)], LABELS)) == [text]


def test_without_a_recommendation_none_is_given() -> None:
    found = compare_strategies([Outcome("svm", correct(84), 1), Outcome("mlp", correct(90), 1)], LABELS)
    assert answer(found)[0].startswith("No strategy can be recommended, because ")
    assert "svm is right on 86 of 100" in answer(found)[0]


def test_groups_and_seeds_widen_what_is_said() -> None:
    alone = compare_strategies([Outcome("svm", correct(84), 1)], LABELS)
    grouped = compare_strategies([Outcome("svm", correct(84), 1)], LABELS, groups=np.arange(600) // 20)
    assert answer(alone) != answer(grouped)
    seeds = compare_strategies([Outcome("svm", correct(72, 84, 96), 1)], LABELS)
    assert answer(seeds) == ["svm is right on 86 of 100 new images (83 to 88)."]  # the mean over seeds


@pytest.mark.parametrize("metric", list(target_metric.NAMES))
def test_every_metric_is_said_in_its_own_words(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels, scores = np.arange(400) % 2, rng.normal(size=(400, 2))
    scores[np.arange(400), labels] += 2
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    known = target_metric.by_image(metric, labels, scores, probabilities)[None]
    good = scores.argmax(axis=1) == labels
    interval = None if metric == "accuracy" else (0.8, 0.9)
    svm = Outcome("svm", good[None], 1, by_image=known, interval=interval)
    other = Outcome("mlp", good[None], 1, by_image=known, interval=interval)
    verdict = compare_strategies([svm, other], labels, metric=metric, recommendation=None)
    value = target_metric.value(metric, labels, known[0])
    expected = {
        "accuracy": f"is right on {100 * value:.0f} of 100 new images (",
        "balanced-accuracy": f"is right on {100 * value:.0f} of 100 new images (80 to 90, each class counted equally)",
        "macro-f1": f"has a macro-F1 of {100 * value:.1f} % on new images (80.0 to 90.0)",
        "roc-auc": f"puts {1000 * value:.0f} of 1,000 pairs"
        if value > 0.985
        else f"puts {100 * value:.0f} of 100 pairs",
        "log-loss": f"has a log-loss of {value:.3f} on new images (0.800 to 0.900; lower is better)",
    }
    assert expected[metric] in " ".join(answer(verdict))
    (row,) = differences(verdict)
    assert (row.name, row.conclusion, row.cost) == ("mlp", "no significant difference", "takes about as long")


def test_the_table_has_every_other_strategy_with_its_sign() -> None:
    verdict = verdict_of("svm", {"svm": (84, 10), "finetune": (20, 7300), "scratch": (240, 9000)})
    rows = {d.name: d for d in differences(verdict)}
    assert list(rows) == ["finetune", "scratch"]
    assert (rows["finetune"].difference, rows["finetune"].conclusion) == ("+10.7 points", "better")
    assert (rows["scratch"].difference, rows["scratch"].conclusion) == ("\N{MINUS SIGN}26.0 points", "worse")
    assert rows["finetune"].p == "p < 0.001"
    assert rows["finetune"].cost == "takes 730 times as long"
