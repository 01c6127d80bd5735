"""The processes that topwork starts itself: ``topwork worker FILE``, whose JSON payload says what to do.

``train``: one of the processes of ``topwork train --devices N``; rank 0 runs the job, the others are ``peers`` of it.
``comparison``: one training of ``topwork compare --devices N``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork.compute import devices
from topwork.compute.ranks import world
from topwork.core import storage
from topwork.core.artifacts import read_run_info
from topwork.core.config import Config, validate
from topwork.core.errors import Interrupted
from topwork.core.progress import PlainProgress, make_progress
from topwork.core.signals import Signals, exit_with_parent
from topwork.data.manifest import load_manifest
from topwork.data.splits import splits_of
from topwork.pipeline.comparison import TrainingJob
from topwork.pipeline.job import Job
from topwork.pipeline.peers import train_with_rank_0
from topwork.pipeline.setup import make_context, repeat_contexts
from topwork.training.callbacks import Notifier, make_callbacks


def run_worker(file: Path) -> None:
    """Do what a payload says.

    Args:
        file: JSON: ``kind``, ``parent`` (a process id), and the fields that ``Job.launch`` or ``comparison`` writes.
    """
    payload: dict[str, Any] = storage.read_json(file)
    exit_with_parent(payload["parent"])
    if payload["kind"] == "comparison":
        _train_job(payload)
    elif world().is_main:
        job: dict[str, Any] = payload["job"]
        config, folder, progress = (
            validate(Config, job.pop("config")),
            Path(job.pop("out")),
            make_progress(job.pop("quiet")),
        )
        Job(config, "run", folder, overwrite=False, progress=progress, **job).run()
    else:
        train_with_rank_0()


def _train_job(payload: dict[str, Any]) -> None:
    folder, job = Path(payload["folder"]), TrainingJob(payload["repeat"], payload["strategy"])
    info = read_run_info(folder)
    config = validate(Config, {**info.details["config"], "compute": payload["compute"]})
    progress, silent = PlainProgress(payload["quiet"]), make_progress(quiet=True)
    progress.log_file.attach(folder / "train.log")
    notifier = Notifier(make_callbacks(info.details.get("log_to", ()), ()), progress.log, folder)
    try:
        with Signals("the comparison") as signals:
            manifest = load_manifest(config.data, silent)
            folds, device = splits_of(config, manifest), devices.resolve(config.compute)
            context = make_context(config, manifest, folds[0], device, folder, silent, signals, notifier)
            context = replace(context, progress=progress)
            context = {"": context, **dict(repeat_contexts(context, folds))}[job.repeat]
            with storage.FolderLock(job.folder(folder)):
                job.run(context, info, payload["feature_seconds"])
    except Interrupted as error:  # the comparison says so
        sys.exit(error.exit_status)
