"""What the automatic choice of engine and precision costs in accuracy, against the plain network in float32.

The same splits, both ways; a linear SVM and softmax regression, accuracy on test.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import topwork

WAYS = {"as chosen": {}, "plain float32": {"precision": "float32", "sets": ["compute.engine=torch"]}}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="*", default=["elpv"])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    for data in args.data:
        for strategy in ("svm", "linear"):
            accuracies: dict[str, list[float]] = {}
            equal = []
            for seed in range(args.seeds):
                predicted = []
                for way, settings in WAYS.items():
                    with tempfile.TemporaryDirectory() as place:
                        run = topwork.train(
                            data,
                            strategy,
                            seed=seed,
                            out=Path(place) / "out",
                            quiet=True,
                            **settings,  # type: ignore[arg-type]
                        )
                        predicted.append(run.predictions.predicted)
                        accuracies.setdefault(way, []).append(float((predicted[-1] == run.predictions.labels).mean()))
                equal.append(float((predicted[0] == predicted[1]).mean()))
            table = "; ".join(
                f"{way} {np.mean(values):.4f} {np.round(values, 4)}" for way, values in accuracies.items()
            )
            print(
                f"{data} {strategy}: accuracy on test {table}; {np.mean(equal):.4f} of the predictions equal",
                flush=True,
            )


if __name__ == "__main__":
    main()
