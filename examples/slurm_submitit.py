"""Train on a Slurm cluster from Python by submitit (extra 'slurm'): python slurm_submitit.py IMAGES OUT.

OUT must be on a file system that login and compute nodes share. Without Slurm, submitit runs the job on this machine.
"""

from __future__ import annotations

import sys
from pathlib import Path

import submitit

import topwork


class Training:
    """A job that resumes the run in its folder if there is one, so that first start and requeue are the same call."""

    def __call__(self, images: str, out: str, **settings: object) -> str:
        """Train or resume, and return the path of the report."""
        if (Path(out) / "run.json").is_file():
            return str(topwork.train(resume=out).report)
        return str(topwork.train(images, "mlp", out=out, **settings).report)

    def checkpoint(self, images: str, out: str, **settings: object) -> submitit.helpers.DelayedSubmission:
        """What submitit queues when the time limit is near (SIGUSR2): the same call. Finished epochs are saved."""
        return submitit.helpers.DelayedSubmission(self, images, out, **settings)


def main(images: str, out: str) -> None:
    """Queue one training and wait for it."""
    executor = submitit.AutoExecutor(folder=Path(out).parent / "submitit")
    executor.update_parameters(name="topwork", timeout_min=240, cpus_per_task=8, slurm_gpus_per_node=1)
    job = executor.submit(Training(), images, out, img_size=64)
    print(f"Job {job.job_id}; its output: {job.paths.stdout}")
    print(f"Report: {job.result()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
