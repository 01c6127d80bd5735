"""Event files for TensorBoard in ``RUN/tensorboard/``, written by torch's own writer. Needs the extra."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from topwork.core.errors import MissingDependency
from topwork.training.callbacks.base import Callback, TrainingRun

FOLDER = "tensorboard"
_NAMES = {"train_loss": "loss/train", "val_loss": "loss/val", "val_accuracy": "accuracy/val", "lr": "learning rate"}


class TensorBoard(Callback):
    """Losses, accuracy and learning rate by epoch, the settings as text, test metrics at the end.

    ``tensorboard --logdir COMPARISON`` shows all strategies side by side. A resumed run writes another file that
    starts with the first epoch not yet written.

    Raises:
        MissingDependency: The package is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingDependency("--log-to tensorboard", "tensorboard")
        self._writers: dict[Path, Any] = {}

    def on_start(self, run: TrainingRun) -> None:
        """Open a file; the settings are written once."""
        from torch.utils.tensorboard import SummaryWriter

        self._writers[run.path] = writer = SummaryWriter(str(run.path / FOLDER))
        if not run.resumed:
            text = (run.path / "config.toml").read_text("utf-8", "replace")
            writer.add_text("settings", "".join(f"    {line}\n" for line in text.splitlines()))
        writer.flush()

    def on_epoch(self, run: TrainingRun, epoch: dict[str, Any]) -> None:
        """Write and flush the metrics of an epoch."""
        writer = self._writers[run.path]
        for name, tag in _NAMES.items():
            writer.add_scalar(tag, epoch[name], epoch["epoch"])
        writer.flush()

    def on_end(self, run: TrainingRun, metrics: dict[str, Any]) -> None:
        """Write the test metrics at the kept epoch, or at 0 for a strategy without epochs."""
        writer = self._writers.pop(run.path)
        best = int(metrics.get("selection", {}).get("epoch", 0))
        for name in ("accuracy", "macro_f1"):
            writer.add_scalar(f"{name.replace('_', ' ')}/test", metrics["test"][name]["value"], best)
        writer.close()
