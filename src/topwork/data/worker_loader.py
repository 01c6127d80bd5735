"""PyTorch's data loader with worker processes that never react to signals themselves."""

from __future__ import annotations

from typing import Any, TypeVar

from torch.utils.data import DataLoader

from topwork.data.child_process import signals_blocked

T_co = TypeVar("T_co", covariant=True)


class SignalSafeDataLoader(DataLoader[T_co]):
    """A ``DataLoader`` whose ``worker_init_fn`` must call ``child_process.exit_with_parent``."""

    def __iter__(self) -> Any:
        """Start the processes with signals blocked: one that arrives before ``worker_init_fn`` would kill them."""
        with signals_blocked():
            return super().__iter__()
