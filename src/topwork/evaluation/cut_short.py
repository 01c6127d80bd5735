"""Whether a training ended before its ordinary number of epochs, and while it was still improving. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from topwork.core.artifacts import EpochRecord

Limit = Literal["minutes", "cpu", "epochs", "patience"]
LIMITS: dict[str, str] = {
    "minutes": "--minutes", "cpu": "the time budget on a CPU", "epochs": "--epochs", "patience": "--patience",
}  # fmt: skip


@dataclass(frozen=True)
class CutShort:
    """A training of fewer epochs than its strategy ordinarily has for as many images.

    Attributes:
        epochs: Trained.
        ordinary: What the strategy trains without a limit.
        limit: What made them fewer.
        improving: Whether the last epoch was the best yet on the validation set; of one epoch nobody knows, so True.
    """

    epochs: int
    ordinary: int
    limit: Limit
    improving: bool

    def describe(self) -> str:
        """``after 2 of 24 epochs by --minutes``."""
        return f"after {self.epochs} of {self.ordinary} epochs by {LIMITS[self.limit]}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, which makes it again as keyword arguments."""
        return asdict(self)


def find_cut_short(history: Sequence[EpochRecord], ordinary: int | None, planned: int, limit: Limit) -> CutShort | None:
    """Compare a training with its ordinary length; None if it was as long, or has no epochs.

    Args:
        history: Its epochs.
        ordinary: What its strategy trains without a limit; None without epochs.
        planned: Epochs in its settings.
        limit: Why fewer than ordinary were planned, if they were.
    """
    if ordinary is None or not history or len(history) >= ordinary:
        return None
    return CutShort(len(history), ordinary, "patience" if len(history) < planned else limit, still_improving(history))


def still_improving(history: Sequence[EpochRecord]) -> bool:
    """Whether validation loss or accuracy was better in the last epoch than in every earlier one."""
    *earlier, last = history
    return not earlier or (
        last.val_loss < min(e.val_loss for e in earlier) or last.val_accuracy > max(e.val_accuracy for e in earlier)
    )
