"""Compare two strategies on a folder of class folders: python compare_in_python.py IMAGES OUT."""

from __future__ import annotations

import sys

import topwork


def main(images: str, out: str) -> None:
    """Train heads on frozen features, print their accuracy, and list the errors of the recommended one."""
    comparison = topwork.compare(images, strategies=["mlp", "svm"], out=out, img_size=64)
    for run in comparison:
        accuracy = run.metrics["test"]["accuracy"]
        print(f"{run.strategy}: {accuracy['value']:.1%} [{accuracy['low']:.1%}, {accuracy['high']:.1%}]")
    best = comparison.recommended_run()
    predictions = best.predictions
    for i, (predicted, label) in enumerate(zip(predictions.predicted, predictions.labels, strict=True)):
        if predicted != label:
            print(f"{best.strategy} predicts {predictions.classes[predicted]} for {predictions.ids[i]}")
    print(f"Report: {comparison.report}")


if __name__ == "__main__":
    main(*sys.argv[1:])
