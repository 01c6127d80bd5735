"""Whole trainings, killed again and again at random instants: they must end as the unbroken one does, bit for bit."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import safetensors.numpy

import topwork
from tests.commands import Started
from tests.torture.calls import Tally
from topwork.core import storage
from topwork.core.errors import Interrupted
from topwork.training import loop

VARIANTS: dict[str, tuple[str, ...]] = {
    "adamw": (),
    "sgd": ("finetune.optimizer=sgd",),
    "mixed": ("finetune.mixup=0.2", "finetune.cutmix=1.0"),
    "plain average": ("finetune.ema_decay=0.0", "finetune.micro_batches=2"),
    "patience": ("finetune.patience=1",),
    "thawed statistics": ("finetune.batch_norm=update",),
    "frozen stages": ("finetune.freeze_stages=3", "finetune.views=2"),
    "growing crops": ("finetune.resize_from=32", "finetune.train_size=64"),
    "augmented": ("finetune.randaugment=5", "finetune.flip=both"),
}


QUICK = ("compute.threads=1", "compute.engine=torch")  # which starts at once


def command(photos: Path, out: Path, variant: str, workers: int, epochs: int, options: Sequence[str] = ()) -> list[str]:
    """One small training: the words after ``topwork``."""
    words = ["train", str(photos), "--strategy", "finetune", "--out", str(out)]
    words += ["--img-size", "32", "--precision", "float32", "-b", "8", "--epochs", str(epochs), "-j", str(workers)]
    for setting in (*QUICK, *VARIANTS[variant]):
        words += ["--set", setting]
    return [*words, *options]


def _tensors(path: Path) -> str:
    """A hash of tensors, not of the file: torch's distributed checkpoint writes them in any order."""
    tensors = safetensors.numpy.load_file(path)
    return storage.sha256_json({name: storage.sha256_bytes(tensors[name].tobytes()) for name in tensors})


def fingerprint(run: Path) -> dict[str, str]:
    """Hashes of all that must be equal."""
    names = ("history.jsonl", "predictions.csv", "model/weights.safetensors")
    last = max((run / "checkpoints").glob("last-*"))
    return {name: storage.sha256_file(run / name) for name in names} | {
        **{path.name: _tensors(path) for path in last.glob("*.safetensors")},
        "step": last.name,
    }


def kill_at_random(
    photos: Path,
    place: Path,
    trainings: int,
    kills: int,
    seed: int = 0,
    variants: Sequence[str] = tuple(VARIANTS),
    epochs: int = 3,
    options: Sequence[str] = (),
) -> Tally:
    """Kill each training about so many times before it may end; the cache of features dies with it.

    Args:
        photos: A small folder of class folders.
        place: For the runs; emptied as they pass.
        trainings: How many.
        kills: Of each.
        seed: Of the instants.
        variants: Keys of ``VARIANTS``, in turn.
        epochs: Of each training.
        options: Of the command, such as a smaller network.
    """
    tally, rng = Tally(), random.Random(seed)
    expected, seconds = {}, {}
    for variant in variants:
        start = time.monotonic()
        words = command(photos, place / "unbroken", variant, 0, epochs, options)
        if _start(words, place, "unbroken-cache").wait() != 0:
            raise RuntimeError((place / "words").read_text())
        seconds[variant] = time.monotonic() - start
        expected[variant] = fingerprint(place / "unbroken")
        shutil.rmtree(place / "unbroken")
    for number in range(trainings):
        variant, out = variants[number % len(variants)], place / "killed"
        words = command(photos, out, variant, number % 3, epochs, options)
        for _ in range(kills):
            tally.tried += 1
            tally.hit += _kill_after(rng.uniform(0.02, 0.5) * seconds[variant], _start(words, place, "cache"))
            if (out / "run.json").is_file():
                words = ["train", "--resume", str(out)]
        if _start(words, place, "cache").wait() != 0:
            last = (place / "words").read_text().strip().splitlines()[-1:]
            tally.wrong.append(f"training {number} ({variant}): {last}")
        elif fingerprint(out) != expected[variant]:
            differs = [k for k, v in fingerprint(out).items() if expected[variant][k] != v]
            tally.wrong.append(f"training {number} ({variant}): {', '.join(differs)} differ from the unbroken one's")
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(place / "cache", ignore_errors=True)
    return tally


def _start(words: list[str], place: Path, cache: str) -> Started:
    return Started(words, place / "words", {"TOPWORK_CACHE": str(place / cache)})


def _kill_after(seconds: float, started: Started) -> bool:
    """kill -9; whether there was anything to kill."""
    alive = started.wait(seconds) is None
    started.kill()
    return alive


def stop_at_every_step(
    photos: Path, place: Path, variants: Sequence[str], workers: Sequence[int], epochs: int = 3, **options: Any
) -> Tally:
    """Send SIGTERM after each step of a training; resumed, it must end as the unbroken one."""
    tally = Tally()
    for variant in variants:
        flags = {"img_size": 32, "precision": "float32", "batch_size": 8, "quiet": True, **options}
        flags["epochs"], sets = epochs, (*QUICK, *VARIANTS[variant])
        unbroken = topwork.train(photos, "finetune", out=place / "unbroken", sets=sets, workers=0, **flags)
        expected, steps = fingerprint(unbroken.path), unbroken.history[-1].step
        for count in workers:
            for step in range(1, steps):
                tally.tried += 1
                out = place / "stopped"
                with signal_after(step):
                    try:
                        topwork.train(photos, "finetune", out=out, sets=sets, workers=count, **flags)
                    except Interrupted:
                        tally.hit += 1
                topwork.train(resume=out, quiet=True)
                if fingerprint(out) != expected:
                    tally.wrong.append(f"{variant}, {count} workers, step {step}: differs")
                shutil.rmtree(out)
        shutil.rmtree(unbroken.path)
    return tally


@contextlib.contextmanager
def signal_after(step: int) -> Iterator[None]:
    """A real SIGTERM to this process, sent when a training has done so many steps."""
    real = loop._Training._step

    def stepping(self: Any, batch: Any) -> None:
        real(self, batch)
        if self.state.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    loop._Training._step = stepping
    try:
        yield
    finally:
        loop._Training._step = real
