"""Compare two strategies on a folder of class folders: python compare_in_python.py PHOTOS OUT."""

from __future__ import annotations

import sys

import topwork


def main(photos: str, out: str) -> None:
    """Train heads on frozen features, print the table, and name the images that the better one gets wrong."""
    comparison = topwork.compare(photos, strategies=["mlp", "svm"], out=out, img_size=64)
    for run in comparison:
        accuracy = run.metrics["test"]["accuracy"]
        print(f"{run.strategy}: {accuracy['value']:.1%} [{accuracy['low']:.1%}, {accuracy['high']:.1%}]")
    best = comparison.best_on_val()
    predictions = best.predictions
    wrong = [i for i in range(len(predictions.ids)) if predictions.predicted[i] != predictions.labels[i]]
    for i in wrong:
        print(f"{best.strategy} takes {predictions.ids[i]} for {predictions.classes[predictions.predicted[i]]}")
    print(f"Report: {comparison.report}")


if __name__ == "__main__":
    main(*sys.argv[1:])
