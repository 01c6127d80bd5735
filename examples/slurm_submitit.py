"""Train on a Slurm cluster from Python by submitit (extra 'slurm'): python slurm_submitit.py PHOTOS OUT.

OUT is a folder that login and compute nodes share. Where there is no Slurm, submitit runs the job on this machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import submitit

import topwork


class Training:
    """A job that goes on with the run in its folder if one has begun there: first start and requeue are the same."""

    def __call__(self, photos: str, out: str, **settings: object) -> str:
        """Train; the path of the report."""
        if (Path(out) / "run.json").is_file():
            return str(topwork.train(resume=out).report)
        return str(topwork.train(photos, "mlp", out=out, **settings).report)

    def checkpoint(self, photos: str, out: str, **settings: object) -> submitit.helpers.DelayedSubmission:
        """What submitit queues when the time is nearly over (SIGUSR2): the same again. Epochs are saved already."""
        return submitit.helpers.DelayedSubmission(self, photos, out, **settings)


def main(photos: str, out: str) -> None:
    """Queue one training and wait for it."""
    executor = submitit.AutoExecutor(folder=Path(out).parent / "submitit")
    executor.update_parameters(name="topwork", timeout_min=240, cpus_per_task=8, slurm_gpus_per_node=1)
    job = executor.submit(Training(), photos, out, img_size=64)
    print(f"Job {job.job_id}; its output: {job.paths.stdout}")
    print(f"Report: {job.result()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
