"""Which rule for the epoch of a network loses least: every epoch of trainings on drawn splits, evaluated on test too.

    python benchmarks/epoch_rule.py train --cars FOLDER --out OUT
    python benchmarks/epoch_rule.py table --out OUT

``train`` writes the logits of every epoch on the validation and test images, one ``.npz`` per training, and skips those
that exist. A seed draws other splits; the seed of the training is 0, so that all share the output of frozen stages.
``table`` compares rules by their regret.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.special import log_softmax
from sklearn.model_selection import train_test_split

import topwork
from topwork.core.config import DataConfig
from topwork.data.images import read_image_bytes
from topwork.data.manifest import build_manifest
from topwork.evaluation.calibration import fit_temperature
from topwork.strategies import finetune, mlp
from topwork.strategies.cached_stages import StageCache, stage_task
from topwork.training import loop
from topwork.training.context import RunContext
from topwork.training.epoch_choice import is_worse
from topwork.training.image_task import EVAL_BATCH, outputs

SIDE = 128  # of the shrunk copies, so that decoding costs little
N_TRAIN, N_VAL, N_TEST = 500, 150, 1500
BODIES = ("SUV", "Sedan", "Coupe", "Convertible", "Hatchback", "Van", "Minivan", "Cab")
NOISY = "body, noisy labels"
WRONG = 0.3  # of the labels of its training and validation images, drawn from all images
TASKS = ("cells", "cells by type", "cars", "body", "make", NOISY)
SETTINGS: dict[str, dict[str, Any]] = {
    "frozen": {"strategy": "finetune", "epochs": 8, "freeze_stages": 6},  # whose output is cached: half a minute
    "finetune": {"strategy": "finetune", "epochs": 8},
    "mlp": {"strategy": "mlp"},
}
Labelled = list[tuple[Path, str]]


@cache
def shrunk(data: str, folder: Path) -> list[tuple[Path, str, str]]:
    """Copies of all images of a data set, with label and stratum."""
    found = []
    for row in build_manifest(DataConfig(path=data)).rows:
        copy = folder / Path(row.id).with_suffix(".jpg").name
        if not copy.exists():
            image = Image.open(BytesIO(read_image_bytes(row.ref))).convert("RGB")
            scale = SIDE / min(image.size)
            copy.parent.mkdir(parents=True, exist_ok=True)
            image.resize((round(image.width * scale), round(image.height * scale))).save(copy, quality=95)
        found.append((copy, row.label, row.stratum))
    return found


def label(task: str, name: str, stratum: str) -> str:
    """The label of an image in a task."""
    if task == "cells by type":
        return f"{stratum.partition('|')[2]} {name}"
    if task == "make":
        return name.split()[0]
    if task.startswith("body"):
        return next((word for word in name.split() if word in BODIES), "other")
    return name


def write_table(task: str, seed: int, cars: Path, out: Path) -> Path:
    """Draw splits in proportion to the classes; path, label and split of their images."""
    data, name = ("elpv", "cells") if task.startswith("cells") else (str(cars), "cars")
    images = shrunk(data, out / name)
    labels = np.array([label(task, *names) for _, *names in images])
    rest, test = train_test_split(
        np.arange(len(images)), train_size=N_TRAIN + N_VAL, test_size=N_TEST, stratify=labels, random_state=seed
    )
    train, val = train_test_split(rest, train_size=N_TRAIN, stratify=labels[rest], random_state=seed)
    if task == NOISY:
        rng = np.random.default_rng(zlib.crc32(f"{task} {seed}".encode()))
        wrong = rest[rng.random(len(rest)) < WRONG]
        labels[wrong] = rng.choice(labels, len(wrong))
    table = out / f"{name}.csv"  # one name, so that the inspection of the images is found again
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for split, rows in (("train", train), ("val", val), ("test", test)):
            writer.writerows((images[i][0].relative_to(out).as_posix(), labels[i], split) for i in sorted(rows))
    return table


class Done(Exception):
    """The training is over; nothing after it is needed."""


class Recorder:
    """Stands for ``loop.fit`` and keeps the logits of every epoch on the validation and test images."""

    def __init__(self) -> None:
        self.logits: dict[str, list[np.ndarray]] = {"val": [], "test": []}
        self.labels: dict[str, np.ndarray] = {}
        self.stages: StageCache | None = None

    def stage_task(self, *args: Any) -> loop.TrainingTask:
        """That of topwork; remembers what computes the frozen stages."""
        self.stages = args[-1]
        return stage_task(*args)

    def fit(self, task: loop.TrainingTask, config: Any, context: RunContext, name: str) -> None:
        """Train as topwork does, without checkpoints on the way."""
        evaluate = task.evaluate

        def record() -> Any:
            for split, kept in self.logits.items():
                kept.append(self._logits(task, split, context))
            return evaluate()

        task.evaluate, task.quick = record, True
        self.labels = {split: context.splits.labels[split] for split in self.logits}
        loop.fit(task, config, context, name)
        raise Done

    def _logits(self, task: loop.TrainingTask, split: str, context: RunContext) -> np.ndarray:
        ids = context.splits.ids[split]
        if self.stages and task.forward:
            self.stages.ensure_cached([0], ids)
            batches = [self.stages.read(0, ids[i : i + EVAL_BATCH]) for i in range(0, len(ids), EVAL_BATCH)]
            with torch.inference_mode(), context.compute.autocast():
                return torch.cat([task.forward(batch).float() for batch in batches]).numpy()
        if hasattr(task.model, "backbone"):
            return outputs(task.model, ids, context)[0]
        with torch.inference_mode():
            return task.model.logits(0, torch.from_numpy(context.features.load(split))).numpy()


def train(options: argparse.Namespace) -> None:
    """All trainings that are not there yet, seed by seed."""
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for task in options.tasks:
            for name in options.settings:
                path = options.out / f"{name}, {task}, {seed}.npz"
                if path.exists():
                    continue
                recorder = Recorder()
                finetune.fit = mlp.fit = recorder.fit  # pyrefly: ignore[bad-assignment]
                finetune.stage_task = recorder.stage_task
                finetune.STAGES = str(options.out.resolve() / "stages")  # shared: every training has the same views
                table, run = write_table(task, seed, options.cars, options.out), options.out / "run"
                shutil.rmtree(run, ignore_errors=True)
                with contextlib.suppress(Done):
                    topwork.train(
                        table, out=run, seed=0, img_size=options.size, quiet=True, threads=1,
                        sets=["compute.workers=0", "data.near_duplicates=false", "finetune.views=2", "mlp.folds=0"],
                        **SETTINGS[name],
                    )  # fmt: skip
                found = {split: np.stack(logits) for split, logits in recorder.logits.items()}
                found |= {f"{split}_labels": labels for split, labels in recorder.labels.items()}
                np.savez_compressed(path, **found)
                print(path.stem, accuracies(found["test"], found["test_labels"]).round(1).tolist(), flush=True)


def accuracies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Accuracy of each epoch in percent, float (E,), of logits (E, N, K)."""
    return 100 * (logits.argmax(2) == labels).mean(1)


@dataclass(frozen=True)
class Training:
    """What is known of every epoch of a training.

    Attributes:
        task: Its name.
        accuracy, loss, scaled_loss: On the validation set, float (E,); the last after the temperature that suits it.
        correct: Validation images that are classified correctly, bool (E, N).
        test: The same of the test images.
    """

    task: str
    accuracy: np.ndarray
    loss: np.ndarray
    scaled_loss: np.ndarray
    correct: np.ndarray
    test: np.ndarray


def read(path: Path) -> Training:
    """The training that ``train`` wrote."""
    with np.load(path) as found:
        val, labels, test = found["val"].astype(float), found["val_labels"], found["test"].argmax(2)
        test = test == found["test_labels"]
    correct = val.argmax(2) == labels
    temperatures = [fit_temperature(logits, labels) for logits in val]
    loss, scaled = (
        np.array(
            [-log_softmax(x / t, axis=1)[np.arange(len(labels)), labels].mean() for x, t in zip(val, by, strict=True)]
        )
        for by in (np.ones(len(val)), temperatures)
    )
    return Training(path.stem.split(", ", 1)[1].rpartition(", ")[0], correct.mean(1), loss, scaled, correct, test)


def best_accuracy(t: Training) -> int:
    """The highest accuracy, of equals that with the lower loss."""
    return max(range(len(t.loss)), key=lambda epoch: (t.accuracy[epoch], -t.loss[epoch]))


def within_standard_error(t: Training, pick: Callable[[np.ndarray], int]) -> int:
    """One of the epochs within a standard error of the highest accuracy."""
    top = t.accuracy.max()
    return pick(np.flatnonzero(t.accuracy >= top - np.sqrt(top * (1 - top) / t.correct.shape[1])))


def paired(t: Training, alpha: float) -> int:
    """The latest epoch that is not significantly worse than the best before it, as the loop finds it."""
    best = kept = 0
    for epoch in range(len(t.loss)):
        if (t.accuracy[epoch], -t.loss[epoch]) > (t.accuracy[best], -t.loss[best]):
            best = kept = epoch
        elif not is_worse(t.correct[epoch], t.correct[best], alpha=alpha):
            kept = epoch
    return kept


RULES: dict[str, Callable[[Training], int]] = {
    "accuracy": best_accuracy,
    "log-loss": lambda t: int(t.loss.argmin()),
    "log-loss after temperature": lambda t: int(t.scaled_loss.argmin()),
    "last": lambda t: len(t.loss) - 1,
    "first within one standard error": lambda t: within_standard_error(t, min),
    "last within one standard error": lambda t: within_standard_error(t, max),
    "not worse, paired, 5 %": lambda t: paired(t, 0.05),
    "not worse, paired, 32 %": lambda t: paired(t, 0.32),
}


def half_regrets(t: Training, rng: np.random.Generator, draws: int = 200) -> tuple[float, dict[str, float]]:
    """Regret, measured on one half of the test images, of the epoch that is best on the other half; mean of draws.

    Returns:
        Against the best epoch of the measuring half, and by rule what this epoch gains on the rule's.
    """
    own, gains = [], {name: [] for name in RULES}
    chosen = {name: rule(t) for name, rule in RULES.items()}
    for _ in range(draws):
        half = rng.permutation(t.test.shape[1]) % 2 == 0
        known, measured = 100 * t.test[:, half].mean(1), 100 * t.test[:, ~half].mean(1)
        own.append(measured.max() - measured[known.argmax()])
        for name, epoch in chosen.items():
            gains[name].append(measured[known.argmax()] - measured[epoch])
    return float(np.mean(own)), {name: float(np.mean(values)) for name, values in gains.items()}


def table(options: argparse.Namespace) -> None:
    """Regrets of the rules in points of accuracy, for each of the settings."""
    rng = np.random.default_rng(0)
    for setting in options.settings:
        trainings = [read(path) for path in sorted(options.out.glob(f"{setting}, *.npz"))]
        if not trainings:
            continue
        tests = [100 * t.test.mean(1) for t in trainings]
        best = np.array([test.max() for test in tests])
        error = np.sqrt(best * (100 - best) / trainings[0].test.shape[1])
        halves = [half_regrets(t, rng) for t in trainings]
        print(
            f"\n{setting}: {len(trainings)} trainings; standard error of an accuracy on test {error.mean():.2f} points;"
        )
        print(f"best on one half of test, regret on the other: mean {np.mean([own for own, _ in halves]):.2f}\n")
        tasks = [task for task in TASKS if any(t.task == task for t in trainings)]
        print("| rule | mean | worst | against half | against last three | epoch | " + " | ".join(tasks) + " |")
        print("|---" * (6 + len(tasks)) + "|")
        for name, rule in RULES.items():
            epochs = [rule(t) for t in trainings]
            regret = best - [test[epoch] for test, epoch in zip(tests, epochs, strict=True)]
            against = np.mean([gains[name] for _, gains in halves])
            ends = np.mean([test[-3:].mean() - test[epoch] for test, epoch in zip(tests, epochs, strict=True)])
            by_task = [np.mean([r for r, t in zip(regret, trainings, strict=True) if t.task == task]) for task in tasks]
            cells = (regret.mean(), regret.max(), against, ends, 1 + np.mean(epochs), *by_task)
            print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


def main() -> None:
    """Train or print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cars", type=Path, help="the 66 classes of Stanford Cars")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--settings", nargs="+", choices=list(SETTINGS), default=["frozen", "mlp"])
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=96)
    options = parser.parse_args()
    {"train": train, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
