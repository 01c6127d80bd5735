"""``--devices N``: processes of this machine that train together, started and restarted by torch's elastic agent.

``torchrun -m topwork train ...`` starts the same processes, also on several machines.
"""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable

from topwork.core.errors import Interrupted, ProcessFailed


def launch(arguments: list[str], processes: int, max_restarts: int, resume_command: Callable[[], str]) -> None:
    """Run Python in several processes of this machine until all have finished.

    Args:
        arguments: Of Python.
        processes: Their number.
        max_restarts: How often all are restarted, from the last checkpoint, when one has died.
        resume_command: For the error message; gives nothing as long as nothing was saved.

    Raises:
        ProcessFailed: One died, and no restart was left.
        Interrupted: A signal came to this process, which passed it on.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in list(logging.root.manager.loggerDict):  # each has its own level; the error below says the same
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    settings = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, max_restarts=max_restarts,
        rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1",
    )  # fmt: skip
    try:
        elastic_launch(settings, sys.executable)(*arguments)
    except SignalException as error:
        raise Interrupted("", error.sigval) from error
    except ChildFailedError as error:
        rank, failure = min(error.failures.items(), key=lambda item: (item[1].timestamp, item[1].exitcode))
        raise ProcessFailed(f"Process {rank} of {processes}", failure.exitcode, resume_command()) from error
