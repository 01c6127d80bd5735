"""Labels that look wrong, by the predictions of classifiers that were not trained on the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from topwork.data.findings import Finding
from topwork.data.split_units import list_first
from topwork.evaluation.intervals import wilson
from topwork.evaluation.label_issues import rank_label_issues
from topwork.pipeline.held_out import MIN_IMAGES_PER_CLASS, ImageFeatures, predict_held_out, without_small_classes

if TYPE_CHECKING:
    from topwork.evaluation.label_noise import LabelNoise

FIRST = 50  # of the ranked labels, of which the expected errors are stated


def describe_yield(noise: LabelNoise, ranked: np.ndarray) -> str:
    """How many errors to expect among ranked images int (n,), and after how many to stop looking."""
    first, enough = noise.expect(ranked[:FIRST]), noise.number_to_inspect(ranked)
    which, number = f"the first {first.images}" if first.images > 1 else "it", round(first.value)
    errors = f"{number} real error{'' if number == 1 else 's'}"
    text = f"of {which} expect {errors}, at least {first.at_least} (95 % confidence)"
    if enough == len(ranked):
        return text
    if not enough:
        return f"{text}: fewer than 1 in 5, so they may be hard images with correct labels"
    return f"{text}; stop looking after {enough:,}, since fewer than 1 in 5 of the next are errors"


def find_label_issues(features: ImageFeatures, notes: list[str]) -> list[Finding]:
    """The finding on labels that look wrong, if there are any; adds to ``notes`` what was not checked, and why."""
    from topwork.evaluation.label_noise import fit_label_noise, probabilities_of  # loads SciPy

    manifest, small = without_small_classes(features.manifest)
    if small:
        which = f" of {list_first(small)}" if len(manifest.classes) > 1 else ""
        notes.append(f"Labels{which} were not checked: fewer than {MIN_IMAGES_PER_CLASS} different images of a class.")
    if len(manifest.classes) < 2:
        return []
    held_out, rows, classes = predict_held_out(features, manifest), manifest.used, manifest.classes
    labels, probabilities = held_out.labels, probabilities_of(held_out.scores, held_out.labels)
    predicted = probabilities.argmax(axis=1)
    correct, majority = int((predicted == labels).sum()), int(np.bincount(labels).max())
    accuracy, baseline = correct / len(labels), majority / len(labels)
    if wilson(correct, len(labels))[0] <= baseline:
        notes.append(
            f"Labels were not checked: a classifier predicts {accuracy:.0%} of held-out images correctly, which is not "
            f"significantly more than the largest class would give ({baseline:.0%})."
        )
        return []
    found, method = rank_label_issues(labels, probabilities)
    if not len(found):
        return []
    details = tuple(
        f"labelled {rows[i].label}, looks like {classes[predicted[i]]} ({probabilities[i, predicted[i]]:.0%})"
        for i in found
    )
    text = (
        f"{len(found):,} {'label looks' if len(found) == 1 else 'labels look'} wrong, by {method}: candidates for "
        f"review, from a classifier that predicts {accuracy:.0%} of held-out images correctly; "
        f"{describe_yield(fit_label_noise(labels, probabilities), found)}"
    )
    return [Finding("label", text, tuple((rows[i].id,) for i in found), True, details)]
