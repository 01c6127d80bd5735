"""Recipes of fine-tuning against each other, on several tasks and seeds.

    python benchmarks/recipe.py train --out OUT --seeds 10 11 --data cars=FOLDER --data signs=FOLDER \
        --recipe today= --recipe "small batches=finetune.batch_size=16"
    python benchmarks/recipe.py table --out OUT

``train`` adds a line per training to ``OUT/results.jsonl`` and skips those that are there. A seed draws other splits.
Solar cells are the package elpv. ``table`` gives the mean of each recipe and its difference to the first.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

import topwork
from topwork.core.config import DataConfig
from topwork.data.manifest import build_manifest


@dataclass(frozen=True)
class Task:
    """Images drawn from a data set.

    Attributes:
        data: Its name on the command line.
        train: Images for training, or of each class if ``per_class``.
        epochs: Of a training.
        classes: How many classes at most, by name.
        per_class: Whether ``train`` counts the images of one class.
        strata: Whether labels are joined with the kind of the module (solar cells).
    """

    data: str
    train: int
    epochs: int
    classes: int = 1000
    per_class: bool = False
    strata: bool = False


TASKS = {
    "cells": Task("elpv", 800, 8),
    "cells, 4 labels": Task("elpv", 800, 8, strata=True),
    "cars": Task("cars", 1850, 5),
    "cars, 10 classes": Task("cars", 220, 12, classes=10),
    "cars, 5 a class": Task("cars", 5, 10, per_class=True),
    "faces": Task("faces", 500, 8),
    "signs": Task("signs", 200, 12),
}
N_VAL, N_TEST = 200, 500  # at most


def write_table(task: Task, seed: int, data: str, place: Path) -> Path:
    """Draw the splits of a task in proportion to its classes; path, label and split of their images."""
    rows = build_manifest(DataConfig(path=data)).rows
    labels = np.array([f"{row.stratum} {row.label}" if task.strata else row.label for row in rows])
    names = sorted(set(labels))[: task.classes]
    usable = np.flatnonzero(np.isin(labels, names))
    train = task.train * len(names) if task.per_class else task.train
    held = min(len(usable) - train, N_VAL + N_TEST)
    used = usable
    if train + held < len(usable):
        used, _ = train_test_split(usable, train_size=train + held, stratify=labels[usable], random_state=seed)
    fit, others = train_test_split(used, train_size=train, stratify=labels[used], random_state=seed)
    val, test = train_test_split(others, train_size=max(held * 2 // 7, len(names)), random_state=seed)
    place.mkdir(parents=True, exist_ok=True)
    table = place / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for split, chosen in (("train", fit), ("val", val), ("test", test)):
            writer.writerows((str(rows[i].ref), labels[i], split) for i in sorted(chosen))
    return table


def train(options: argparse.Namespace) -> None:
    """All trainings that are not there yet, recipe by recipe."""
    results, data = options.out / "results.jsonl", dict(word.split("=", 1) for word in options.data) | {"elpv": "elpv"}
    done = {(row["task"], row["recipe"], row["seed"]) for row in read(results)}
    for seed in options.seeds:
        for recipe in options.recipe:
            name, _, settings = recipe.partition("=")
            for title, task in TASKS.items():
                if task.data not in data or (options.task and title not in options.task) or (title, name, seed) in done:
                    continue
                place = options.out / f"{title} {seed}".replace(",", "").replace(" ", "-")
                table = write_table(task, seed, data[task.data], place)
                sets = [f"{options.strategy}.epochs={task.epochs}", *options.set, *settings.split()]
                run = topwork.train(
                    str(table),
                    strategy=options.strategy,
                    seed=seed,
                    sets=sets,
                    out=place / "run",
                    overwrite=True,
                    quiet=True,
                )
                row = {"task": title, "recipe": name, "seed": seed} | numbers(run)
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)


def numbers(run: Any) -> dict[str, float]:
    """Accuracy in percent and log-loss on the test and validation images, and seconds."""
    found = {"seconds": run.metrics["costs"]["train_seconds"]}
    for split in ("val", "test"):
        found[split] = 100 * run.metrics[split]["accuracy"]["value"]
        found[f"{split} log-loss"] = run.metrics[split]["log_loss"]["value"]
    return found


def read(results: Path) -> list[dict[str, Any]]:
    """What is in ``results.jsonl``."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def table(options: argparse.Namespace) -> None:
    """Mean over the seeds that the first recipe has too, and the mean difference to it."""
    scores: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    for row in read(options.out / "results.jsonl"):
        scores[row["task"], row["recipe"]][row["seed"]] = row[options.metric]
    tasks = list(dict.fromkeys(task for task, _ in scores))
    recipes = list(dict.fromkeys(recipe for _, recipe in scores))
    print("| recipe | " + " | ".join(tasks) + " |\n|---" + "|---" * len(tasks) + "|")
    for recipe in recipes:
        cells = []
        for task in tasks:
            own, first = scores[task, recipe], scores[task, recipes[0]]
            common = own.keys() & first.keys()
            cells.append(f"{mean(own.values()):.2f} ({len(own)})" if own else "")
            if common and recipe != recipes[0]:
                cells[-1] += f" {mean(own[seed] - first[seed] for seed in common):+.2f}"
        print(f"| {recipe} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--recipe", action="append", default=[], metavar="NAME=[SETTING ...]")
    parser.add_argument("--task", action="append", choices=list(TASKS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[10])
    parser.add_argument("--set", action="append", default=[], help="of every recipe")
    parser.add_argument("--strategy", choices=("finetune", "scratch"), default="finetune")
    parser.add_argument("--metric", default="test")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    {"train": train, "table": table}[options.what](options)


if __name__ == "__main__":
    main()
