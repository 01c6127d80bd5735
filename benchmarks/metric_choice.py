"""What choosing by a metric is worth on that metric: python benchmarks/metric_choice.py DATA --frequent CLASS.

    python benchmarks/metric_choice.py elpv --frequent functional

Of two classes 900 and 90 images are drawn to learn from, the others test. C of ``linear`` and ``svm``, and k of
``knn``, are chosen by out-of-fold predictions, once by each metric.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from topwork.core.artifacts import Splits
from topwork.core.config import Config
from topwork.core.progress import make_progress
from topwork.core.signals import Signals
from topwork.data.manifest import build_manifest
from topwork.evaluation import target_metric
from topwork.evaluation.calibration import fit_temperature
from topwork.pipeline import configure
from topwork.pipeline.held_out import ImageFeatures, load_features
from topwork.pipeline.setup import make_context
from topwork.strategies import load
from topwork.training.callbacks import Notifier
from topwork.training.context import RunContext

HEADS = ("linear", "svm", "knn")
METRICS = ("accuracy", "balanced-accuracy", "macro-f1", "roc-auc", "log-loss")


class Drawn:
    """The features of drawn images."""

    engine, seconds = "", 0.0

    def __init__(self, values: dict[str, np.ndarray]) -> None:
        self.values, self.views = values, set[bool]()

    def training_seconds(self) -> float:
        return 0.0

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        return self.values[split]


def draw(context: RunContext, features: ImageFeatures, frequent: str, seed: int, sizes: tuple[int, int]) -> RunContext:
    """A context in which so many images of the frequent and of the other class are learned from."""
    manifest, classes = features.manifest, features.manifest.classes
    labels = np.array([classes.index(row.label) for row in manifest.used])
    rng, common = np.random.default_rng(seed), classes.index(frequent)
    order = rng.permutation(len(labels))
    learned = np.concatenate([order[labels[order] == common][: sizes[0]], order[labels[order] != common][: sizes[1]]])
    parts = {"train": learned, "val": learned[:0], "test": np.setdiff1d(order, learned)}
    ids = {split: tuple(manifest.used[row].id for row in rows) for split, rows in parts.items()}
    splits = Splits(classes, ids, {split: labels[rows] for split, rows in parts.items()})
    values = {split: features.values[rows] for split, rows in parts.items()}
    config = context.config.model_copy(update={"seed": seed})
    return replace(context, splits=splits, features=Drawn(values), config=config)


def run(context: RunContext, metric: str) -> dict[str, dict[str, float]]:
    """Test metrics of each head whose setting is chosen by a metric."""
    context, found = replace(context, config=context.config.model_copy(update={"metric": metric})), {}
    for name in HEADS:
        strategy = load(name)
        trained = strategy.fit(strategy.resolve(context.config.settings[name], context), context)
        held_out, held_out_labels = trained.held_out(context.splits)
        scores, labels = np.asarray(trained.scores("test"), np.float64), context.splits.labels["test"]
        temperature = 1.0
        if trained.kind == "logit":
            temperature = fit_temperature(np.asarray(held_out, np.float64), held_out_labels)
        probabilities = strategy.probabilities(scores, trained.tensors, temperature)
        found[name] = {
            m: target_metric.value(m, labels, target_metric.by_image(m, labels, scores, probabilities)) for m in METRICS
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--frequent", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--metric", action="append", choices=METRICS[1:], help="instead of all")
    parser.add_argument("--sizes", type=int, nargs=2, default=(900, 90))
    args = parser.parse_args()
    config: Config = configure.build(args.data, list(HEADS))
    manifest, progress = build_manifest(config.data, progress=make_progress(True)), make_progress(True)
    from topwork.compute import devices

    with Signals() as signals:
        features = load_features(config, manifest, progress, signals)
        empty = Splits(manifest.classes, {}, {})
        device = devices.resolve(config.compute)
        context = make_context(config, manifest, empty, device, Path(), progress, signals, Notifier())
        compared = ("accuracy", *(args.metric or METRICS[1:]))
        results: dict[str, list[dict[str, dict[str, float]]]] = {metric: [] for metric in compared}
        for seed in range(args.seeds):
            drawn = draw(context, features, args.frequent, seed, tuple(args.sizes))
            for metric in compared:
                results[metric].append(run(drawn, metric))
    print("gain on the metric that chose, over choosing by accuracy: mean [standard error], seeds better / worse")
    for metric in compared[1:]:
        for name in HEADS:
            own, base = (np.array([r[name][metric] for r in results[m]]) for m in (metric, "accuracy"))
            gain = (base - own) if target_metric.lower_is_better(metric) else own - base
            error = gain.std(ddof=1) / np.sqrt(len(gain))
            print(f"{metric:18} {name:7} {base.mean():.4f} -> {own.mean():.4f}  gain {gain.mean():+.4f} [{error:.4f}], "
                  f"{(gain > 0).sum()} / {(gain < 0).sum()} of {len(gain)}")  # fmt: skip


if __name__ == "__main__":
    main()
