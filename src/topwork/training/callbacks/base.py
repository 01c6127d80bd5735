"""Callbacks, and who calls them: an error in one is said once and ends no training; no epoch is told twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from topwork.core import storage
from topwork.core.artifacts import EpochRecord
from topwork.core.errors import CorruptFile, StorageError

NOTE = "callbacks.json"  # in a run folder: how far its epochs have been told


@dataclass(frozen=True)
class TrainingRun:
    """One training that callbacks hear of.

    Attributes:
        name: Its folder in the comparison, ``finetune`` or ``repeats/seed-1/finetune``; of a single run its strategy.
        strategy: Its strategy.
        path: The run folder, absolute; what a callback keeps there is there after a resume.
        config: Every setting as resolved, the content of ``config.toml``.
        resumed: Whether it went on after an interruption, so that an earlier process has begun to tell of it.
    """

    name: str
    strategy: str
    path: Path
    config: dict[str, Any]
    resumed: bool


class Callback:
    """What a training tells, to subclass; an object with some of these methods does as well.

    They are called in the training's own process and thread, one run after the other, and only by rank 0 of several
    processes. A slow one slows the training down. An exception is said once and ends nothing.
    """

    def on_start(self, run: TrainingRun) -> None:
        """A training begins, or goes on: ``run.resumed``."""

    def on_epoch(self, run: TrainingRun, epoch: dict[str, Any]) -> None:
        """An epoch is over and saved.

        Args:
            run: The training.
            epoch: The fields of ``EpochRecord``: ``epoch``, ``step``, ``train_loss``, ``val_loss``, ``val_accuracy``,
                ``lr``, ``best``.
        """

    def on_end(self, run: TrainingRun, metrics: dict[str, Any]) -> None:
        """A training is finished; not called if it is interrupted.

        Args:
            run: The training.
            metrics: The content of its ``metrics.json``: figures on ``val`` and ``test`` with intervals, costs.
        """


@dataclass
class Notifier:
    """Who is told about the trainings of a command.

    Attributes:
        listeners: The callbacks.
        log: Where an error in one is reported to, once each.
        base: The folder that runs are named from.
    """

    callbacks: Sequence[Any] = ()
    log: Callable[[str], None] = print
    base: Path = Path()
    _said: set[int] = field(default_factory=set)

    def begin(self, strategy: str, path: Path, config: dict[str, Any]) -> RunNotifier:
        """Tell that a training begins.

        Args:
            strategy, path, config: See ``TrainingRun``.
        """
        path = path.absolute()
        name = path.relative_to(self.base.absolute()).as_posix() if path.is_relative_to(self.base.absolute()) else "."
        run = TrainingRun(strategy if name == "." else name, strategy, path, config, False)
        if not self.callbacks:
            return RunNotifier(run, (), self.tell)
        told = _told(path)
        run = replace(run, resumed=told is not None)
        if told is None:
            _note(path, 0)
        able = [listener for listener in self.callbacks if self.tell(listener, "on_start", run)]
        return RunNotifier(run, able, self.tell, told or 0)

    def tell(self, listener: Any, hook: str, *given: Any) -> bool:
        """Call a method if there is one; False if it failed."""
        call = getattr(listener, hook, None)
        if call is None:
            return True
        try:
            call(*given)
        except Exception as error:  # whatever a user's code or a server far away may raise
            if id(listener) not in self._said:
                self._said.add(id(listener))
                reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
                self.log(
                    f"  {given[0].name}: {type(listener).__name__}.{hook} failed ({reason}). The training goes on; "
                    "later failures of it are not said."
                )
            return False
        return True


@dataclass
class RunNotifier:
    """A training that is told of.

    Attributes:
        run: Which.
        listeners: Those that have heard of its beginning.
        tell: From ``Notifier``.
        last: The last epoch that was told.
    """

    run: TrainingRun
    callbacks: Sequence[Any]
    tell: Callable[..., bool]
    last: int = 0

    def epoch(self, record: EpochRecord) -> None:
        """Tell of an epoch, unless an earlier process has: a resume may train an epoch again.

        It is noted first: an epoch is rather missed, if a kill comes in between, than told twice.
        """
        if not self.callbacks or record.epoch <= self.last:
            return
        self.last = record.epoch
        _note(self.run.path, record.epoch)
        for listener in self.callbacks:
            self.tell(listener, "on_epoch", self.run, asdict(record))

    def end(self) -> None:
        """Tell of its figures, when all files are written."""
        if self.callbacks:
            metrics = storage.read_json(self.run.path / "metrics.json")
            for listener in self.callbacks:
                self.tell(listener, "on_end", self.run, metrics)


def _told(path: Path) -> int | None:
    """The last epoch that was told; None if nothing was."""
    with suppress(OSError, CorruptFile, KeyError, TypeError, ValueError):
        return int(storage.read_json(path / NOTE)["epoch"])
    return None


def _note(path: Path, epoch: int) -> None:
    with suppress(StorageError):  # a full disk is told of where checkpoints are saved
        storage.write_json(path / NOTE, {"epoch": epoch})
