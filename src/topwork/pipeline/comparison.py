"""A comparison: its strategies one after another, or several at once, each in a process with a device of its own.

Needs torch; ``job`` calls it when torch is loaded.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from topwork.compute import devices, process_pool
from topwork.core import config, storage
from topwork.core.artifacts import RunInfo, Splits
from topwork.core.config import Config
from topwork.core.errors import Interrupted
from topwork.core.progress import PlainProgress, make_progress
from topwork.core.signals import Signals, exit_with_parent
from topwork.data import images
from topwork.data.inspect_dataset import look_at_images
from topwork.data.splits import splits_of
from topwork.pipeline import setup as preparing
from topwork.pipeline import strategy_run
from topwork.pipeline.setup import Setup
from topwork.report.judge import REPEATS
from topwork.report.render import write_report
from topwork.report.thumbnails import write_disagreements
from topwork.strategies import STRATEGIES
from topwork.training.callbacks import Notifier, make_callbacks


@dataclass(frozen=True)
class Surroundings:
    """Where a comparison stands.

    Attributes:
        folder: Of the comparison.
        info: For the ``run.json`` of each run.
        splits: One, or all folds.
        signals: From people.
        log_to: Programs that are told, by name.
        parallel: Trainings at the same time.
        quiet: Whether these say nothing.
    """

    folder: Path
    info: RunInfo
    folds: Sequence[Splits]
    signals: Signals
    log_to: Sequence[str] = ()
    parallel: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class Part:
    """One training of a comparison.

    Attributes:
        label: Of the seed or fold; empty for the first.
        name: Of the strategy.
    """

    label: str
    name: str

    def title(self, number: int, parts: int) -> str:
        """``[2/4] svm``, ``[seed 1] svm``."""
        return f"[{self.label.replace('-', ' ') or f'{number}/{parts}'}] {self.name}"

    def folder(self, comparison: Path) -> Path:
        """Its run folder."""
        return comparison / REPEATS / self.label / self.name if self.label else comparison / self.name

    def like(self, asked: Config, comparison: Path) -> Path | None:
        """The run whose settings it takes; none if it searches its own: those of another fold have seen its test."""
        return comparison / self.name if self.label and not (asked.folds and asked.trials) else None


def compare(setup: Setup, around: Surroundings) -> None:
    """Train all, or what is not done yet, and put them side by side."""
    folder, info, asked = around.folder, around.info, setup.config
    strategy_run.write_inputs(folder, setup, info)
    start = time.monotonic()
    setups = dict([("", setup), *preparing.repeats(setup, around.folds, around.signals)])
    for labels in [""], [label for label in setups if label]:  # repeats take the settings of the first
        parts = [Part(label, name) for label in labels for name in asked.strategies]
        if around.parallel > 1 and len(parts) > 1:
            _at_once(parts, setup, around)
        else:
            _in_turn(parts, setups, around)
    strategy_run.learn_curves(curve_names(asked), setup, folder, around.signals)
    settings = {name: config.read(folder / name / "config.toml").settings[name] for name in info.strategies}
    config.write(asked.model_copy(update={"settings": settings}), folder / "config.toml")
    replace(info, status="done", details={**info.details, "seconds": time.monotonic() - start}).write(folder)
    write_disagreements(folder, lambda image: images.load_image(setup.manifest.root / image))
    write_report(folder)


def _in_turn(parts: Sequence[Part], setups: dict[str, Setup], around: Surroundings) -> None:
    for number, part in enumerate(parts, 1):
        setup, folder = setups[part.label], around.folder
        setup.progress.log(part.title(number, len(parts)))
        like, info = part.like(setup.config, folder), replace(around.info, name=part.name)
        strategy_run.run_strategy(part.name, setup, part.folder(folder), info, around.signals, like)
        around.signals.raise_if_stopped()


def _at_once(parts: Sequence[Part], setup: Setup, around: Surroundings) -> None:
    """Features first, by this process; then each training in a process of its own."""
    hungry = next((part for part in parts if STRATEGIES[part.name].features), None)
    if hungry and not (hungry.folder(around.folder) / "metrics.json").is_file():
        setup.features.load("train")
    payloads = {}
    for number, part in enumerate(parts, 1):
        payloads[part.title(number, len(parts))] = {
            "folder": str(around.folder),
            "part": [part.label, part.name],
            "info": asdict(around.info),
            "log_to": list(around.log_to),
            "paid": setup.features.seconds if part == hungry and not part.label else 0.0,
            "quiet": around.quiet,
            "parent": os.getpid(),
        }

    def words(title: str, place: int) -> list[str]:
        asked = _share(around.info.details["asked"], setup, place, around.parallel)
        return [sys.executable, "-m", "topwork", "part", json.dumps({**payloads[title], "asked": asked})]

    process_pool.run(list(payloads), words, around.parallel, around.signals, setup.progress.log)


def _share(asked: dict[str, Any], setup: Setup, place: int, devices: int) -> dict[str, Any]:
    """What was asked, with the device of one of several places, or with its share of the cores."""
    compute = dict(asked.get("compute", {}))
    cores = max(1, len(os.sched_getaffinity(0)) // devices) if hasattr(os, "sched_getaffinity") else 1
    if compute.get("threads", "auto") == "auto":
        compute["threads"] = cores
    if compute.get("workers", "auto") == "auto":
        compute["workers"] = cores if setup.compute.device.type != "cpu" else cores // 2
    if setup.compute.device.type == "cuda":
        compute["device"] = f"cuda:{place}"
    return {**asked, "compute": compute}


def train_part(payload: str) -> None:
    """What one of these processes does.

    Args:
        payload: From ``_at_once``, as JSON.
    """
    given = json.loads(payload)
    asked, folder, part = config.validate(Config, given["asked"]), Path(given["folder"]), Part(*given["part"])
    exit_with_parent(given["parent"])
    progress, silent = PlainProgress(given["quiet"]), make_progress(quiet=True)
    progress.log_file.attach(folder / "train.log")
    known: dict[str, Any] = given["info"]
    info = RunInfo(**(known | {"name": part.name, "strategies": tuple(known["strategies"])}))
    try:
        with Signals("the comparison") as signals:
            manifest = look_at_images(asked.data, silent)
            folds = splits_of(asked, manifest)
            setup = preparing.prepare(asked, manifest, folds[0], devices.resolve(asked.compute), silent, signals)
            setup.progress, setup.tracking = (
                progress,
                Notifier(make_callbacks(given["log_to"], ()), progress.log, folder),
            )
            setup.paid = given["paid"]
            own = {"": setup, **dict(preparing.repeats(setup, folds, signals))}[part.label]
            with storage.FolderLock(part.folder(folder)):
                strategy_run.run_strategy(
                    part.name, own, part.folder(folder), info, signals, part.like(setup.config, folder)
                )
    except Interrupted as error:  # the comparison says so
        sys.exit(error.exit_status)


def curve_names(asked: Config) -> list[str]:
    """Strategies whose learning curve over labels is made: those that are quick, and those that were asked for."""
    if asked.folds or "none" in asked.learning_curve:
        return []
    return [name for name in asked.strategies if STRATEGIES[name].quick or name in asked.learning_curve]
