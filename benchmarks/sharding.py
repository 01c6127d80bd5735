"""What cutting a network over two processes saves and costs: `python benchmarks/sharding.py [MODEL]`.

Each process takes steps of AdamW with an average on random images: with a copy of the model (DistributedDataParallel),
and with its piece of it (FSDP2). Memory is what the process holds at most above what it held when the model was made;
freed memory goes back at once, as it does not in topwork on a CPU.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional

from topwork.backbones import build
from topwork.compute import collectives, devices
from topwork.core.strategy_config import TrainingConfig
from topwork.strategies.base import param_groups
from topwork.training.data_parallel import DataParallel
from topwork.training.fully_sharded import FullySharded
from topwork.training.image_task import Classifier
from topwork.training.loop import make_optimizer
from topwork.training.state import EMA

MODEL = "vit_base_patch16_224"
BATCH, STEPS = 2, 6  # of a process


def train(model: str, kind: str) -> None:
    """One process: take the steps, and say what they took."""
    collectives.init_process_group()
    torch.set_num_threads(1)
    compute = devices.DeviceContext(torch.device("cpu"), "float32", 0, 1, "CPU")
    backbone = build.create(model, None, None, 1)
    network = Classifier(backbone.module, nn.Linear(backbone.feature_dim, 10))
    groups = param_groups(network, 0.05, 1.0)
    size = backbone.spec.size
    images, labels = torch.randn(BATCH, 3, size, size), torch.zeros(BATCH, dtype=torch.long)
    devices.reset_peak_memory(compute)
    before = devices.peak_memory(compute)["memory"]
    replicas = FullySharded(network, groups, compute) if kind == "cut" else DataParallel(network, None, True)
    optimizer = make_optimizer(groups, TrainingConfig(epochs=1))
    ema = EMA(network, 0.98)
    took = []
    for step in range(STEPS):
        if step == 1:  # what is made once is made
            devices.reset_peak_memory(compute)
        start = time.monotonic()
        optimizer.zero_grad()
        functional.cross_entropy(replicas(images), labels).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        ema.update(step + 1)
        took.append(time.monotonic() - start)
    held = devices.peak_memory(compute)["memory"] - before
    outputs = {"bytes": held, "seconds": statistics.median(took[1:]), "parameters": backbone.parameters}
    print(json.dumps(outputs), flush=True)
    collectives.destroy_process_group()


def run(model: str, kind: str) -> dict[str, float]:
    """What process 0 of two says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    variables = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    lean = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "131072"}
    started = [
        subprocess.Popen(
            [sys.executable, __file__, model, kind],
            env={**os.environ, **variables, **lean, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        for rank in ("0", "1")
    ]
    outputs = [process.communicate()[0] for process in started]
    return json.loads(outputs[0].splitlines()[-1])


def main(model: str) -> None:
    """Print a table."""
    print(f"{model}, float32, {BATCH} images a process, two processes of one thread")
    print(f"{'':8}{'memory':>12}{'a parameter':>14}{'a step':>10}")
    for kind in ("copies", "cut"):
        found = run(model, kind)
        each = found["bytes"] / found["parameters"]
        print(f"{kind:8}{found['bytes'] / 1e9:9.2f} GB{each:8.1f} bytes{found['seconds']:8.2f} s", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        train(*sys.argv[1:])
    else:
        main(*(sys.argv[1:] or [MODEL]))
