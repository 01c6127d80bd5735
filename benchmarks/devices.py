"""Features extracted by two processes of one thread against one: `python benchmarks/devices.py DATA`.

Rounds alternate, so that what else the machine does falls on both. Seconds on the clock say how fast it is on
a quiet machine; seconds of the cores say what sharing costs on any.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from topwork.backbones import build
from topwork.backbones.weights import find_weights
from topwork.compute import collectives
from topwork.compute.devices import resolve
from topwork.core.config import ComputeConfig, DataConfig
from topwork.core.progress import Progress
from topwork.core.signals import Signals
from topwork.data.manifest import build_manifest
from topwork.data.splits import make_split
from topwork.features import FeatureStore
from topwork.strategies.linear_head import on_main_process

ROUNDS = 5
MODEL = "tf_efficientnet_lite0"


def extract(data: str, place: Path) -> None:
    """One process: extract all features and say what it took."""
    world = collectives.init_process_group()
    compute, _ = resolve(ComputeConfig(device="cpu", threads=1, workers=0, engine="torch"))
    manifest = build_manifest(DataConfig(path=data), place)
    splits = make_split(manifest, 0)
    backbone = build.create(MODEL, find_weights(MODEL, "pretrained"))
    cache = place / f"features-{os.getpid()}"
    store = FeatureStore(backbone, manifest, splits, compute, cache, Progress(quiet=True), Signals())

    def work() -> dict[str, bytes]:
        store.load("train")
        return {}

    collectives.all_reduce_mean(collectives.torch.zeros(1))  # all begin together
    clock, cores = time.monotonic(), time.process_time()
    on_main_process(store, work)
    took = {"clock": time.monotonic() - clock, "cores": time.process_time() - cores, "images": len(manifest.used)}
    print(json.dumps(took), flush=True)
    if world.size > 1:
        collectives.destroy_process_group()


def run(data: str, place: Path, processes: int) -> tuple[float, float]:
    """Images per second of the clock, and core milliseconds per image."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(processes):
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        env = {**os.environ, **{name: str(value) for name, value in variables.items()}, "OMP_NUM_THREADS": "1"}
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCH_CPP_LOG_LEVEL": "ERROR"}
        words = [sys.executable, __file__, data, str(place)]
        started.append(subprocess.Popen(words, env=env, stdout=subprocess.PIPE, text=True))
    took = [json.loads(process.communicate()[0].splitlines()[-1]) for process in started]
    images = took[0]["images"]
    return images / max(t["clock"] for t in took), 1000 * sum(t["cores"] for t in took) / images


def main(data: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        build_manifest(DataConfig(path=data), Path(folder))
        found: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(ROUNDS):
            for processes in (1, 2):
                found[processes].append(run(data, Path(folder), processes))
                print(processes, *(f"{value:.2f}" for value in found[processes][-1]), flush=True)
    for processes, rounds in found.items():
        rate, cost = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(f"{processes} process(es): {rate:.1f} images per second, {cost:.2f} core milliseconds per image")
    ratio = statistics.median(two[0] / 2 / one[0] for one, two in zip(found[1], found[2], strict=True))
    cost = statistics.median(one[1] / two[1] for one, two in zip(found[1], found[2], strict=True))
    print(f"speed per core of two against one: {ratio:.2f} by the clock, {cost:.2f} by the work of the cores")


if __name__ == "__main__":
    extract(sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 2 else main(sys.argv[1])
