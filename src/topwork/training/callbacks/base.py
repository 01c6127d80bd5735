"""Callbacks and their notifier: an error in a callback is logged once and ends no training; no epoch is sent twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from topwork.core import storage
from topwork.core.artifacts import EpochRecord
from topwork.core.errors import CorruptFile, StorageError

SENT_FILE = "callbacks.json"  # in a run folder: the last epoch that callbacks were notified of


@dataclass(frozen=True)
class TrainingRun:
    """A training, as callbacks get it.

    Attributes:
        name: Its folder in the comparison, ``finetune`` or ``repeats/seed-1/finetune``; of a single run its strategy.
        strategy: Its strategy.
        path: The run folder, absolute; what a callback writes there is kept for a resume.
        config: Every setting as resolved, the content of ``config.toml``.
        resumed: Whether an earlier process has already notified callbacks of its start.
    """

    name: str
    strategy: str
    path: Path
    config: dict[str, Any]
    resumed: bool


class Callback:
    """Base class of callbacks; any object with some of these methods works as well.

    They are called in the training's own process and thread, one run after the other, and only by rank 0 of several
    processes. A slow callback slows the training down. An exception is logged once and ends nothing.
    """

    def on_start(self, run: TrainingRun) -> None:
        """A training starts or, if ``run.resumed``, resumes."""

    def on_epoch(self, run: TrainingRun, epoch: dict[str, Any]) -> None:
        """An epoch is over and saved.

        ``epoch`` has the fields of ``EpochRecord``: ``epoch``, ``step``, ``train_loss``, ``val_loss``,
        ``val_accuracy``, ``lr``, ``best``.
        """

    def on_end(self, run: TrainingRun, metrics: dict[str, Any]) -> None:
        """A training is finished; not called if it is interrupted.

        ``metrics`` is the content of its ``metrics.json``: validation and test metrics with intervals, costs.
        """


@dataclass
class Notifier:
    """Calls the callbacks of a command.

    Attributes:
        log: Receives the first error of each callback.
        base: The folder that names of runs are relative to.
    """

    callbacks: Sequence[Any] = ()
    log: Callable[[str], None] = print
    base: Path = Path()
    _failed: set[int] = field(default_factory=set)

    def begin(self, strategy: str, path: Path, config: dict[str, Any]) -> RunNotifier:
        """Notify the callbacks that a training starts; for the arguments see ``TrainingRun``."""
        path, base = path.absolute(), self.base.absolute()
        name = path.relative_to(base).as_posix() if path.is_relative_to(base) else "."
        sent = _last_sent(path) if self.callbacks else None
        run = TrainingRun(strategy if name == "." else name, strategy, path, config, sent is not None)
        if self.callbacks and sent is None:
            _write_sent(path, 0)
        started = [callback for callback in self.callbacks if self.call(callback, "on_start", run)]
        return RunNotifier(run, started, self.call, sent or 0)

    def call(self, callback: Any, hook: str, *args: Any) -> bool:
        """Call a method if there is one; False if it failed."""
        method = getattr(callback, hook, None)
        if method is None:
            return True
        try:
            method(*args)
        except Exception as error:  # anything that user code or a remote server raises
            if id(callback) not in self._failed:
                self._failed.add(id(callback))
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self.log(
                    f"  {args[0].name}: {type(callback).__name__}.{hook} failed ({reason}). The training "
                    "continues; later failures of this callback are not logged."
                )
            return False
        return True


@dataclass
class RunNotifier:
    """Notifies callbacks of one training.

    Attributes:
        callbacks: Those whose ``on_start`` succeeded.
        call: ``Notifier.call``.
        last: The last epoch that was sent.
    """

    run: TrainingRun
    callbacks: Sequence[Any]
    call: Callable[..., bool]
    last: int = 0

    def epoch(self, record: EpochRecord) -> None:
        """Notify of an epoch, unless an earlier process has: a resume may train an epoch again.

        The number is written first: a kill in between loses the notification instead of repeating it.
        """
        if not self.callbacks or record.epoch <= self.last:
            return
        self.last = record.epoch
        _write_sent(self.run.path, record.epoch)
        for callback in self.callbacks:
            self.call(callback, "on_epoch", self.run, asdict(record))

    def end(self) -> None:
        """Notify of the metrics, when all files are written."""
        if self.callbacks:
            metrics = storage.read_json(self.run.path / "metrics.json")
            for callback in self.callbacks:
                self.call(callback, "on_end", self.run, metrics)


def _last_sent(path: Path) -> int | None:
    """The last epoch that was sent; None if nothing was."""
    with suppress(OSError, CorruptFile, KeyError, TypeError, ValueError):
        return int(storage.read_json(path / SENT_FILE)["epoch"])
    return None


def _write_sent(path: Path, epoch: int) -> None:
    with suppress(StorageError):  # saving a checkpoint reports a full disk
        storage.write_json(path / SENT_FILE, {"epoch": epoch})
