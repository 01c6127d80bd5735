"""Accuracy over seeds: python accuracy.py DATA [--seeds 3] [--strategy NAME ...] [--long] [SETTING ...].

A seed changes the split, the random weights, the orders and the augmentation. Settings go to topwork as they are, for
instance finetune.epochs=10. ``--long`` fine-tunes for 16 epochs at 300 pixels in a way that suits things without a
top and a bottom, filling the frame: no crop at the end, small ones and both flips in training.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import mean, stdev

import topwork
from topwork.strategies import STRATEGIES

LONG = (
    "backbone.img_size=300",
    "backbone.crop_pct=1.0",
    "finetune.epochs=16",
    "finetune.train_size=256",
    "finetune.min_crop_area=0.8",
    "finetune.flip=both",
    "finetune.label_smoothing=0.0",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("settings", nargs="*")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategy", action="append", choices=list(STRATEGIES))
    parser.add_argument("--long", action="store_true")
    args = parser.parse_args()
    strategies = ["finetune"] if args.long else args.strategy or list(STRATEGIES)
    sets = [*(LONG if args.long else ()), *args.settings]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in strategies}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.seeds):
            result = topwork.compare(
                args.data, strategies=strategies, seed=seed, sets=sets, out=Path(folder) / str(seed)
            )
            for run in result:
                test = run.metrics["test"]
                metrics = {name: test[name]["value"] for name in ("accuracy", "macro_f1", "roc_auc") if name in test}
                rows[run.strategy].append(metrics | {"seconds": run.metrics["costs"]["train_seconds"]})
            report(rows)


def report(rows: dict[str, list[dict[str, float]]]) -> None:
    """Mean and standard deviation over the seeds so far."""
    for name, metrics in rows.items():
        cells = []
        for key in metrics[0]:
            values = [row[key] for row in metrics]
            spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
            cells.append(f"{key} {mean(values):.4f}{spread}")
        print(f"{name:9} {len(metrics)} seeds  " + "  ".join(cells), flush=True)


if __name__ == "__main__":
    main()
