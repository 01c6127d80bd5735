"""Whether topwork works on a GPU, and how fast: `python benchmarks/gpu.py [--device cuda] [--quick]`.

In less than eight minutes on one GPU: every strategy, a resume to the last bit, frozen stages, a budget of minutes,
mixed precision, compilation, the speed of extraction and of a training against a plain loop, and NCCL with one process.
It draws its own images, needs the default weights only, and prints one table with PASS or FAIL; exit status 1 if
anything failed. On a CPU (`--device cpu`) it runs as far as it can.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import safetensors.numpy
import torch
import torch.distributed as dist
from PIL import Image
from torch.nn import functional

import topwork
from topwork.backbones import build
from topwork.backbones.weights import find_weights
from topwork.compute import devices
from topwork.core.config import ComputeConfig
from topwork.features import engines
from topwork.strategies import STRATEGIES
from topwork.training import loop

MODEL = "tf_efficientnet_lite0"
BATCH = 32
SLOWEST = 1.5  # times that topwork may take as long as a plain loop


@dataclass(frozen=True)
class Setup:
    """What all parts use: the device, folders, image size, and whether this is only a rehearsal."""

    device: str
    photos: Path
    place: Path
    quick: bool

    @property
    def size(self) -> int:
        """Side of the input."""
        return 32 if self.quick else 224

    def train(self, strategy: str, name: str, *sets: str, **options: object) -> topwork.Run:
        """One training in a folder of its own."""
        workers = 0 if self.quick else 4
        plain = {"device": self.device, "img_size": self.size, "workers": workers, "quiet": True}
        return topwork.train(self.photos, strategy, out=self.place / name, sets=sets, **(plain | options))  # pyrefly: ignore


def draw(folder: Path, classes: int, each: int, size: int) -> Path:
    """Images of stripes, whose direction and color say the class."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(each):
            y, x = np.mgrid[:size, :size] / size
            wave = np.sin(20 * (x * np.cos(label) + y * np.sin(label)) + rng.uniform(0, 6))
            pixels = 128 + 80 * wave[..., None] * np.cos(label + np.arange(3)) + rng.normal(0, 20, (size, size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"class{label}" / f"{number:03d}.png")
    return folder


def every_strategy(setup: Setup) -> str:
    """Each trains, predicts, and is better than chance."""
    found = []
    for name in STRATEGIES:
        epochs = [f"{name}.epochs={1 if setup.quick else 4}"] if name in ("scratch", "finetune", "mlp") else []
        run = setup.train(name, name, *epochs)
        list(topwork.predict(run.path, next(setup.photos.rglob("*.png")), device=setup.device, workers=0))
        found.append((name, run.metrics["test"]["accuracy"]["value"]))
    weak = [name for name, accuracy in found if accuracy < 0.4 and name != "scratch" and not setup.quick]
    assert not weak, f"no better than chance: {weak}"
    return ", ".join(f"{name} {accuracy:.0%}" for name, accuracy in found)


def resume_is_equal(setup: Setup) -> str:
    """A training that is killed in its second epoch and resumed ends with the same weights."""
    sets = ("finetune.epochs=2", "finetune.batch_size=8")
    whole = setup.train("finetune", "whole", *sets)
    step, steps = loop._Training._step, whole.history[0].step

    def killed(self: loop._Training, batch: loop.Batch) -> None:
        if self.state.step > steps:
            raise KeyboardInterrupt
        step(self, batch)

    with mock.patch.object(loop._Training, "_step", killed), contextlib.suppress(KeyboardInterrupt):
        setup.train("finetune", "again", *sets)
    again = topwork.train(resume=setup.place / "again", quiet=True)
    weights = [safetensors.numpy.load_file(run.path / "model" / "weights.safetensors") for run in (whole, again)]
    different = [name for name in weights[0] if not np.array_equal(weights[0][name], weights[1][name])]
    assert not different, f"{len(different)} tensors differ, e.g. {different[0]}"
    return f"{len(weights[0])} tensors equal to the last bit"


def frozen_stages(setup: Setup) -> str:
    """``freeze_stages`` trains the last stages on cached activations."""
    run = setup.train("finetune", "frozen", "finetune.freeze_stages=3", "finetune.views=1", "finetune.epochs=2")
    return f"accuracy {run.metrics['test']['accuracy']['value']:.0%} in {run.metrics['costs']['train_seconds']:.1f} s"


def minutes(setup: Setup) -> str:
    """A budget of time is kept, to half of it."""
    budget = 0.02 if setup.quick else 0.5
    start = time.monotonic()
    run = setup.train("scratch", "minutes", "scratch.batch_size=16", minutes=budget)
    took = run.metrics["costs"]["train_seconds"] / 60
    assert setup.quick or took < 1.5 * budget, f"{took:.2f} of {budget} min"
    return f"{took:.2f} of {budget} min ({(time.monotonic() - start) / 60:.2f} in all)"


def mixed_precision(setup: Setup) -> str:
    """bfloat16 and float16 where the device has them."""
    kinds = {"cpu": ["bfloat16"], "mps": ["float16"]}.get(setup.device, ["bfloat16", "float16"])
    found = []
    for kind in kinds:
        run = setup.train("finetune", kind, "finetune.epochs=1", precision=kind)
        found.append(f"{kind} {run.metrics['test']['accuracy']['value']:.0%}")
    return ", ".join(found)


def compiled(setup: Setup) -> str:
    """``torch.compile`` of a training."""
    if not devices.has_compiler() or setup.quick:
        return "skipped: no compiler, or a rehearsal"
    run = setup.train("finetune", "compiled", "finetune.compile=true", "finetune.epochs=1")
    return f"{run.metrics['costs']['train_seconds']:.0f} s with compilation"


def speed(setup: Setup) -> str:
    """Forward passes and training steps of topwork against a plain loop in PyTorch."""
    compute, _ = devices.resolve(ComputeConfig(device=setup.device, workers=0))
    backbone = build.create(MODEL, find_weights(MODEL, "pretrained"), setup.size)
    x = torch.randn(BATCH, 3, setup.size, setup.size, device=compute.device)
    plain = compute.to_channels_last(build.create(MODEL, None, setup.size).module).eval()
    fast = engines.build_engines("torch", backbone, compute, [BATCH])[BATCH]

    def seconds(run: Callable[[], object]) -> float:
        for _ in range(2):
            run()
        compute.synchronize()
        start, rounds = time.monotonic(), 2 if setup.quick else 20
        for _ in range(rounds):
            run()
        compute.synchronize()
        return (time.monotonic() - start) / rounds

    with torch.inference_mode(), compute.autocast():
        ours, theirs = seconds(lambda: fast(x)), seconds(lambda: plain(x))
    train = plain.train()
    optimizer = torch.optim.AdamW(train.parameters(), fused=True)
    target = torch.zeros(BATCH, dtype=torch.int64, device=compute.device)

    def step() -> None:
        optimizer.zero_grad()
        with compute.autocast():
            logits = train(x)
        functional.cross_entropy(logits.float(), target).backward()
        optimizer.step()

    per_step = seconds(step)
    run = setup.train("finetune", "speed", f"finetune.batch_size={BATCH}", "finetune.epochs=2", "finetune.patience=0")
    steps = max(1, run.history[-1].step)
    of_run = run.metrics["costs"]["train_seconds"] / steps
    assert setup.quick or ours < SLOWEST * theirs, f"extraction {ours / theirs:.2f} times a plain loop"
    return (
        f"extraction {BATCH / ours:.0f} images per second, {ours / theirs:.2f} times a plain loop; a step "
        f"{1000 * per_step:.0f} ms plain, {1000 * of_run:.0f} ms in a training with decoding and evaluation"
    )


def one_process_group(setup: Setup) -> str:
    """Collectives of one process: NCCL on CUDA, gloo elsewhere."""
    backend = "nccl" if setup.device.startswith("cuda") else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, init_method=f"file://{folder}/group", rank=0, world_size=1)
        try:
            device = setup.device if backend == "nccl" else "cpu"
            value = torch.ones(4, device=device)
            dist.all_reduce(value)
            assert value.tolist() == [1.0] * 4
        finally:
            dist.destroy_process_group()
    return backend


PARTS: dict[str, Callable[[Setup], str]] = {
    "every strategy": every_strategy,
    "resume": resume_is_equal,
    "--freeze-stages": frozen_stages,
    "--minutes": minutes,
    "mixed precision": mixed_precision,
    "compilation": compiled,
    "speed": speed,
    "one process of a group": one_process_group,
}


def run_all(
    device: str, quick: bool, place: Path, parts: tuple[str, ...] = tuple(PARTS)
) -> list[tuple[str, bool, str]]:
    """Each part with whether it passed and what it found; a failure ends no other part."""
    side, each = (48, 8) if quick else (224, 80)
    setup = Setup(device, draw(place / "photos", 3 if quick else 5, each, side), place / "runs", quick)
    rows = []
    for name in parts:
        start = time.monotonic()
        try:
            found, passed = PARTS[name](setup), True
        except Exception as error:  # whatever a device that was never seen raises is a row of the table
            found, passed = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", False
        rows.append((name, passed, f"{found} ({time.monotonic() - start:.0f} s)"))
        print(f"{'PASS' if passed else 'FAIL'}  {name:24}{rows[-1][2]}", flush=True)
    return rows


def main() -> int:
    """Run all parts; 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="a rehearsal with tiny images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        os.environ["TOPWORK_CACHE"] = f"{place}/cache"
        compute, _ = devices.resolve(ComputeConfig(device=options.device))
        print(f"{compute}; torch {torch.__version__}", flush=True)
        rows = run_all(options.device, options.quick, Path(place))
    return int(not all(passed for _, passed, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
