"""One line per strategy of a comparison: hashes of its weights, scores, metrics and history, whatever their names.

    python benchmarks/fingerprint.py RUNS/COMPARISON

Equal lines before and after a change mean that it altered no result. Names of tensors, columns and fields are left
out, so that a change of file formats can be compared too.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file


def sha(value: Any) -> str:
    """Twelve digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def tensors(model: Path) -> list[str]:
    """Hashes of all tensors of a bundle, sorted."""
    arrays = [np.atleast_1d(array) for file in model.glob("*.safetensors") for array in load_file(file).values()]
    return sorted(
        hashlib.sha256(f"{a.dtype}{a.shape}".encode() + np.ascontiguousarray(a).data).hexdigest() for a in arrays
    )


def numbers(value: Any) -> Iterator[float]:
    """All fractional numbers in a JSON value."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)


def fingerprint(run: Path) -> dict[str, str]:
    """The hashes of one run."""
    with (run / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    scores = (run / "predictions.safetensors").read_bytes()
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    history = run / "history.jsonl"
    epochs = [json.loads(line) for line in history.read_text("utf-8").splitlines()] if history.is_file() else []
    return {
        "weights": sha(tensors(run / "model")),
        "predictions": sha([rows, hashlib.sha256(scores).hexdigest()]),
        "metrics": sha(sorted(numbers({split: metrics[split] for split in ("val", "test")}))),
        "history": sha([list(epoch.values()) for epoch in epochs]),
    }


if __name__ == "__main__":
    for folder in sorted(path.parent for path in Path(sys.argv[1]).glob("*/metrics.json")):
        print(folder.name, *(f"{name} {value}" for name, value in fingerprint(folder).items()))
