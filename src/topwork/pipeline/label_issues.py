"""Labels that look wrong, by the predictions of classifiers that were not trained on the image."""

from __future__ import annotations

import numpy as np

from topwork.data.findings import Finding
from topwork.data.split_units import list_first
from topwork.evaluation.intervals import wilson
from topwork.evaluation.label_issues import rank_label_issues
from topwork.pipeline.held_out import MIN_IMAGES_PER_CLASS, ImageFeatures, predict_held_out, without_small_classes


def find_label_issues(features: ImageFeatures, seed: int, notes: list[str]) -> list[Finding]:
    """The finding on labels that look wrong, if there are any; adds to ``notes`` what was not checked, and why."""
    manifest, small = without_small_classes(features.manifest)
    if small:
        which = f" of {list_first(small)}" if len(manifest.classes) > 1 else ""
        notes.append(f"Labels{which} were not checked: fewer than {MIN_IMAGES_PER_CLASS} different images of a class.")
    if len(manifest.classes) < 2:
        return []
    held_out, rows, classes = predict_held_out(features, manifest, seed), manifest.used, manifest.classes
    labels, probabilities = held_out.labels, held_out.probabilities
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
        f"review, from a classifier that predicts {accuracy:.0%} of held-out images correctly"
    )
    return [Finding("label", text, tuple((rows[i].id,) for i in found), True, details)]
