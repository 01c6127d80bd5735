"""torch's data loader, whose worker processes leave signals to this one from their first moment on."""

from __future__ import annotations

from typing import Any, TypeVar

from torch.utils.data import DataLoader

from topwork.data.child_process import sheltered

Made = TypeVar("Made", covariant=True)


class Loader(DataLoader[Made]):
    """As torch's; what ``worker_init_fn`` does must include ``child.serve_parent``."""

    def __iter__(self) -> Any:
        """Start the processes. A signal to all of the group must not kill one before it can leave it to its parent."""
        with sheltered():
            return super().__iter__()
