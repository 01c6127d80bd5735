"""All one-vs-rest machines at once against LIBLINEAR through scikit-learn, on made-up features of many classes."""

from __future__ import annotations

import time
import warnings

import numpy as np
from sklearn.svm import LinearSVC

from topwork.training.linear_svm import fit_path

IMAGES, FEATURES, CLASSES = 2000, 1280, 66
GRID = (1e-4, 3e-4, 1e-3, 3e-3)


def main() -> None:
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, 2 * IMAGES - CLASSES)])
    features = rng.normal(0, 1, (CLASSES, FEATURES))[labels] * 0.35 + rng.normal(0, 1, (2 * IMAGES, FEATURES))
    x, y, new, truth = features[:IMAGES], labels[:IMAGES], features[IMAGES:], labels[IMAGES:]
    start = time.perf_counter()
    machines = list(fit_path(x, y, GRID))
    ours = time.perf_counter() - start
    start = time.perf_counter()
    references = [LinearSVC(C=c, dual="auto", max_iter=300).fit(x, y) for c in GRID]
    theirs = time.perf_counter() - start
    for c, machine, reference in zip(GRID, machines, references, strict=True):
        mine, other = machine.margins(new).argmax(axis=1), reference.predict(new)
        right = f"{(mine == truth).mean():.4f} and {(other == truth).mean():.4f}"
        print(f"C {c:g}: right {right}, equal {(mine == other).mean():.4f}")
    print(f"{len(GRID)} values of C: topwork {ours:.1f} s, LinearSVC {theirs:.1f} s, ratio {theirs / ours:.1f}")


if __name__ == "__main__":
    main()
