"""Two processes of one thread against one, extracting and training: `python benchmarks/devices.py DATA`.

Rounds alternate, so that what else the machine does falls on both; the ratio is that of the medians.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 3


def run(data: str, place: Path, number: int, *words: str) -> str:
    """One training by the command line with a cache of its own; what it said."""
    shared = [sys.executable, "-m", "topwork", "train", data, "--out", str(place / f"run-{number}"), "-j", "0"]
    settings = ["--set", "compute.threads=1", "--set", "compute.engine=folded", *words]
    env = {**os.environ, "TOPWORK_CACHE": str(place / f"cache-{number}"), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*shared, *settings], env=env, check=True, capture_output=True, text=True).stderr


def main(data: str) -> None:
    rates: dict[tuple[str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        place, number = Path(folder), 0
        for _ in range(ROUNDS):
            for devices in (1, 2):
                number += 1
                said = run(data, place, number, "--strategy", "knn", "--devices", str(devices))
                found = re.search(r"Features: ([\d,]+) images in ([\d.]+) s", said)
                assert found, said
                rates.setdefault(("images extracted", devices), []).append(
                    int(found[1].replace(",", "")) / float(found[2])
                )
                number += 1
                run(data, place, number, "--strategy", "scratch", "--epochs", "1", "--devices", str(devices))
                run_folder = place / f"run-{number}"
                seconds = json.loads((run_folder / "metrics.json").read_text())["costs"]["train_seconds"]
                rows = (run_folder / "split.csv").read_text().splitlines()
                images = sum(row.endswith((",train", ",val")) for row in rows)
                rates.setdefault(("images trained and validated", devices), []).append(images / seconds)
    for what in ("images extracted", "images trained and validated"):
        one, two = (statistics.median(rates[what, devices]) for devices in (1, 2))
        print(f"{what}: {one:.1f} a second by one process, {two:.1f} by two; per core {two / 2 / one:.2f} of one")


if __name__ == "__main__":
    main(sys.argv[1])
