"""Learning curves over labels: strategies trained anew on nested parts of the training images.

Each fit is written to ``labels/STRATEGY-DRAW.json`` when it is done, and not made again: that is how an
interrupted curve goes on.
Test judges every fit and chooses nothing: C, k and epochs are chosen on val as ever.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import config, storage
from topwork.core.artifacts import Splits
from topwork.core.progress import make_progress
from topwork.core.seeds import derive_seed
from topwork.evaluation import learning_curve
from topwork.features.subset import Held, Subset
from topwork.strategies import STRATEGIES, load
from topwork.strategies.base import Context

FOLDER = "labels"
DRAWS = 3  # of the subsets, for what trains in seconds; one for what trains on images


def learn(name: str, context: Context, run: Path, folder: Path) -> None:
    """Train one strategy on every subset of every draw that is not there yet.

    Args:
        name: Of the strategy.
        context: Of its run.
        run: Its finished run folder, for the settings.
        folder: Of the comparison.
    """
    splits, strategy = context.splits, load(name)
    labels = splits.labels["train"]
    steps = learning_curve.sizes(len(labels), context.classes)
    draws = 1 if STRATEGIES[name].trains_network else DRAWS
    settings = config.validate(strategy.Config, config.read(run / "config.toml").settings[name], name)
    held = Held(context.features)
    with context.progress.track(f"{name}: learning curve", draws * len(steps), "trainings") as bar:
        for draw in range(draws):
            path = folder / FOLDER / f"{name}-{draw}.json"
            done: dict[str, Any] = storage.read_json(path)["wrong"] if path.is_file() else {}
            order = learning_curve.nested(labels, derive_seed(context.seed, "labels", draw))
            for size in steps:
                if str(size) not in done:
                    rows = np.sort(order[:size])
                    own = folder / FOLDER / f"{name}-{draw}-{size}"
                    inside = replace(
                        context, splits=_part(splits, rows), features=Subset(held, rows), folder=own,
                        progress=make_progress(quiet=True),
                    )  # fmt: skip
                    fitted = strategy.fit(strategy.resolve(settings, inside), inside)
                    wrong = fitted.scores("test").argmax(axis=1) != splits.labels["test"]
                    done[str(size)] = np.flatnonzero(wrong).tolist()
                    storage.write_json(path, {"strategy": name, "draw": draw, "wrong": done})
                    shutil.rmtree(own, ignore_errors=True)
                bar.advance()
                context.signals.raise_if_stopped()


def _part(splits: Splits, rows: np.ndarray) -> Splits:
    ids, labels = splits.ids["train"], splits.labels["train"]
    return replace(
        splits,
        ids={**splits.ids, "train": tuple(ids[i] for i in rows)},
        labels={**splits.labels, "train": labels[rows]},
    )
