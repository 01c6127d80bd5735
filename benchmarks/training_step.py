"""Training steps of the default model on a CPU, with and without what makes them faster, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time

SIZE, BATCH, STEPS = 192, 32, 6
WAYS = ("float32", "bfloat16", "bfloat16 + depthwise in float32", "the same + freed memory kept (topwork)")


def measure(way: str) -> float:
    """Images per second of one way."""
    import torch
    from torch.nn import functional

    from topwork.backbones import build
    from topwork.compute import devices
    from topwork.core.config import ComputeConfig
    from topwork.training.image_task import Classifier

    precision = "float32" if way == "float32" else "bfloat16"
    if "kept" not in way:
        devices.tune_malloc = lambda: None
    compute, _ = devices.resolve(ComputeConfig(device="cpu", precision=precision))
    backbone = build.create("tf_efficientnet_lite0", None)
    model = compute.to_channels_last(Classifier(backbone.module, torch.nn.Linear(backbone.feature_dim, 2))).train()
    if "depthwise" in way or "kept" in way:
        devices.keep_depthwise_in_float32(model, compute)
    optimizer = torch.optim.AdamW(model.parameters())
    x = torch.randn(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    target = torch.zeros(BATCH, dtype=torch.long)
    start = 0.0
    for step in range(STEPS + 2):
        if step == 2:
            start = time.perf_counter()
        with compute.autocast():
            logits = model(x)
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()
        optimizer.zero_grad()
    return BATCH * STEPS / (time.perf_counter() - start)


def main() -> None:
    rates = {}
    for way in WAYS:
        done = subprocess.run([sys.executable, __file__, way], capture_output=True, text=True, check=True)
        rates[way] = float(done.stdout.splitlines()[-1])
        print(f"{way:45} {rates[way]:6.1f} images per second, {rates[way] / rates[WAYS[0]]:.2f} of float32", flush=True)


if __name__ == "__main__":
    print(measure(sys.argv[1])) if len(sys.argv) > 1 else main()
