"""Callbacks that are notified of trainings, only on request: ``--log-to NAME``, or objects passed from Python.

A tracker is one file here and one line in ``TRACKERS``; users subclass ``Callback`` for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from topwork.core.errors import UnknownName, UsageError
from topwork.training.callbacks.base import Callback, Notifier, TrainingRun
from topwork.training.callbacks.tensorboard import TensorBoard

__all__ = ["TRACKERS", "Callback", "Notifier", "TrainingRun", "make_callbacks"]

TRACKERS: dict[str, type[Callback]] = {"tensorboard": TensorBoard}
_HOOKS = ("on_start", "on_epoch", "on_end")


def make_callbacks(names: Sequence[str], callbacks: Sequence[Any]) -> list[Any]:
    """The callbacks of a command.

    Args:
        names: Keys of ``TRACKERS``.
        callbacks: Objects with some of the methods of ``Callback``.

    Raises:
        UnknownName: There is no such tracker.
        UsageError: A callback has none of the methods.
        MissingDependency: A tracker needs a package that is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS, "Others are callbacks from Python: docs/how-to/tracking.md.")
    for callback in callbacks:
        if isinstance(callback, type) or not any(hasattr(callback, hook) for hook in _HOOKS):
            raise UsageError(
                f"{callback!r} is not a callback. It needs at least one of the methods {', '.join(_HOOKS)}."
            )
    return [*(TRACKERS[name]() for name in dict.fromkeys(names)), *callbacks]
