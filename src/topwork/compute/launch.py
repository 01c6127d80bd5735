"""``--devices N``: several processes of this machine that train together, started and watched by torch's elastic agent.

``torchrun -m topwork train ...`` starts the same processes, also on several machines.
"""

from __future__ import annotations

import logging
import sys
import uuid

from topwork.core.errors import Interrupted, ProcessFailed


def launch(payload: str, resume_command: str, processes: int, restarts: int) -> None:
    """Run ``topwork worker PAYLOAD`` in several processes, until all have ended well.

    Args:
        payload: What they do, for ``workflow.work``.
        resume_command: The command that goes on with it.
        processes: How many.
        restarts: How often all start again, from the last checkpoint, when one has ended badly.

    Raises:
        Ended: One ended badly, and there was no restart left.
        Interrupted: A signal came to this process, which passed it on.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in list(logging.root.manager.loggerDict):  # each has a level of its own; they say what is said below
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
    settings = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=processes, run_id=uuid.uuid4().hex, max_restarts=restarts,
        rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1",
    )  # fmt: skip
    try:
        elastic_launch(settings, sys.executable)("-m", "topwork", "worker", payload)
    except SignalException as error:
        raise Interrupted("", error.sigval) from error
    except ChildFailedError as error:
        rank, failure = min(error.failures.items(), key=lambda item: (item[1].timestamp, item[1].exitcode))
        raise ProcessFailed(f"Process {rank} of {processes}", failure.exitcode, resume_command) from error
