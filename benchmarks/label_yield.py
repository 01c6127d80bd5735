"""How often the stated number of label errors is right: python benchmarks/label_yield.py digits elpv FOLDER ...

Labels are planted wrong by confusion: a share of the images, the new class drawn as a classifier confuses that class.
They are ranked as ``topwork check`` does, and of the first 50 and 100 the planted ones are counted. TASK is a data set,
``digits`` or ``cancer`` (of scikit-learn), ``drawn-K`` (K classes drawn with heavy tails), ``DATA+N`` (N groups of
classes as classes), ``DATA-N`` (the first N classes), ``elpv-sure`` (cells that the experts agreed on) or ``elpv-four``
(these by type of cell, too).
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.metrics import average_precision_score

from topwork.core.progress import make_progress
from topwork.core.signals import Signals
from topwork.data.manifest import build_manifest
from topwork.data.split_units import dependent_images
from topwork.evaluation.label_noise import fit_label_noise, probabilities_of
from topwork.linear.leave_out import LeaveOut
from topwork.linear.normalize import fit_normalizer
from topwork.pipeline import configure
from topwork.pipeline.held_out import load_features

Task = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def load(name: str) -> Task:
    """Features, labels and units."""
    if name in ("digits", "cancer"):
        found = datasets.load_digits() if name == "digits" else datasets.load_breast_cancer()
        x = found.data if name == "digits" else (found.data - found.data.mean(axis=0)) / found.data.std(axis=0)
        return x.astype(np.float32), found.target, None
    if name.startswith("drawn-"):
        return drawn(int(name.removeprefix("drawn-")))
    data, kind, number = re.fullmatch(r"(.+?)(?:([+-])(\d+|sure|four))?", name).groups()
    config = configure.build(data, ["linear"])
    manifest = build_manifest(config.data, progress=make_progress(True), trainable=False)
    with Signals() as signals:
        values = load_features(config, manifest, make_progress(True), signals).values
    rows = manifest.used
    labels = np.array([manifest.classes.index(row.label) for row in rows])
    keep = np.ones(len(rows), dtype=bool)
    if number in ("sure", "four"):
        keep = np.array([row.stratum.split("|")[0] in ("0.000", "1.000") for row in rows])
        if number == "four":
            labels = 2 * labels + np.array(["mono" in row.stratum for row in rows])
    elif kind == "+":
        labels = labels * int(number) // len(manifest.classes)
    elif kind == "-":
        keep = labels < int(number)
    kept = [row for row, used in zip(rows, keep, strict=True) if used]
    return values[keep], labels[keep], dependent_images(kept, [row.id for row in kept])


def drawn(classes: int, images: int = 2000, size: int = 200) -> Task:
    """Normal classes whose images are of unequal difficulty."""
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, images)
    centers = rng.normal(size=(classes, size)) * 2.5 / np.sqrt(size)
    scale = 1 / np.sqrt(rng.chisquare(4, images) / 4)
    noise = rng.normal(size=(images, size)) * scale[:, None] * np.linspace(0.2, 2, size)
    return (centers[labels] + noise).astype(np.float32), labels, None


def measure(name: str, draws: int, first: int, rates: list[float]) -> None:
    """Print a line for each rate and number of images."""
    x, labels, units = load(name)
    classes, fit = int(labels.max()) + 1, LeaveOut(fit_normalizer(x)(x))
    clean = probabilities_of(fit.scores(labels, classes, units), labels)
    confused = clean.T @ clean
    np.fill_diagonal(confused, 0)
    confused /= confused.sum(axis=1, keepdims=True)
    accuracy = (clean.argmax(axis=1) == labels).mean()
    for rate in rates:
        found: dict[int, list[tuple[float, ...]]] = {50: [], 100: []}
        precision, stops, start = [], [], time.process_time()
        for seed in range(first, first + draws):
            rng = np.random.default_rng(seed)
            wrong = np.zeros(len(labels), dtype=bool)
            wrong[rng.choice(len(labels), round(rate * len(labels)), replace=False)] = True
            given = labels.copy()
            for i in np.flatnonzero(wrong):
                given[i] = rng.choice(classes, p=confused[labels[i]])
            probabilities = probabilities_of(fit.scores(given, classes, units), given)
            noise, own = fit_label_noise(given, probabilities), probabilities[np.arange(len(given)), given]
            ranked = np.argsort(own, kind="stable")
            for number, lines in found.items():
                expected, real = noise.expect(ranked[:number]), int(wrong[ranked[:number]].sum())
                lines.append((expected.at_least <= real, expected.value, expected.at_least, real))
            stop = noise.number_to_inspect(ranked[:2000])
            stops.append((stop, wrong[ranked[stop : stop + 20]].mean()))
            precision.append(average_precision_score(wrong, -own) if rate else 0)
        seconds, (stop, after) = (time.process_time() - start) / draws, np.mean(stops, axis=0)
        for number, lines in found.items():
            covered, expected, low, real = np.mean(lines, axis=0)
            cells = f"{covered:.1%} | {expected:.1f} | {low:.1f} | {real:.1f} | {stop:.0f} | {after:.2f}"
            task = f"{Path(name).name} | {classes} | {len(labels):,} | {accuracy:.3f} | {rate:.0%} | {number}"
            print(f"| {task} | {cells} | {np.mean(precision):.3f} | {seconds:.2f} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="+")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first draw")
    parser.add_argument("--rates", type=float, nargs="+", default=[0.05, 0.1])
    options = parser.parse_args()
    columns = (
        "task | classes | images | accuracy | planted | first | at least holds | expected | at least | real | stop"
    )
    print(f"| {columns} | wrong after it | average precision | seconds |\n" + "|---" * 14 + "|")
    for task in options.tasks:
        measure(task, options.draws, options.first, options.rates)


if __name__ == "__main__":
    main()
