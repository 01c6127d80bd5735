"""The processes that topwork starts itself: ``topwork worker FILE``, whose JSON payload says what to do.

``train``: one of the processes of ``topwork train --devices N``; rank 0 runs the job, the others train together with it
and write nothing. ``comparison``: one training of ``topwork compare --parallel N``.
"""

from __future__ import annotations

import sys
import tempfile
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork.compute import collectives, devices
from topwork.compute.ranks import world
from topwork.core import storage
from topwork.core.artifacts import read_run_info
from topwork.core.config import Config, validate
from topwork.core.errors import Interrupted
from topwork.core.names import model_of
from topwork.core.progress import Progress, make_progress
from topwork.core.signals import Signals, exit_with_parent
from topwork.data.manifest import build_manifest
from topwork.data.splits import splits_of
from topwork.features import FeatureStore
from topwork.pipeline.comparison import TrainingJob
from topwork.pipeline.job import Job
from topwork.pipeline.outputs import evaluate_as_worker
from topwork.pipeline.process_group import process_group, receive_manifest
from topwork.pipeline.setup import make_context, repeat_contexts, with_model
from topwork.strategies import STRATEGIES, load
from topwork.training.callbacks import Notifier, make_callbacks
from topwork.training.context import RunContext


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
        config, progress = validate(Config, job.pop("config")), make_progress(job.pop("quiet"))
        Job(config, "run", progress=progress, **job).run()
    else:
        train_with_rank_0()


def _train_job(payload: dict[str, Any]) -> None:
    folder, job = Path(payload["folder"]), TrainingJob(payload["repeat"], payload["name"])
    info = read_run_info(folder)
    config = validate(Config, {**info.details["config"], "compute": payload["compute"]})
    progress, silent = Progress(payload["quiet"]), make_progress(quiet=True)
    progress.log_file = folder / "train.log"
    notifier = Notifier(make_callbacks(info.details.get("log_to", ()), ()), progress.log, folder)
    try:
        with Signals("the comparison") as signals:
            manifest = build_manifest(config.data, progress=silent)
            folds, device = splits_of(config, manifest), devices.resolve(config.compute)
            config = with_model(config, model_of(job.name, config.models, config.backbone.model))
            context = make_context(config, manifest, folds[0], device, folder, silent, signals, notifier)
            context = repeat_contexts(replace(context, progress=progress), folds)[job.repeat]
            job.run(context, info)
    except Interrupted as error:  # the comparison says so
        sys.exit(error.exit_status)


def train_with_rank_0() -> None:
    """The other processes: train together with rank 0 until it has finished the run.

    Raises:
        PeerLost: Rank 0, or another process, has died.
        Interrupted: A signal came to any process.
    """
    with Signals() as signals, process_group(signals):
        config, manifest = receive_manifest()
        (splits,) = splits_of(config, manifest)
        device, progress = devices.resolve(config.compute), make_progress(quiet=True)
        folder = Path(tempfile.gettempdir()) / uuid.uuid4().hex  # never created
        context = make_context(config, manifest, splits, device, folder, progress, signals, Notifier())
        _train_strategy(config.strategies[0], context)


def _train_strategy(name: str, context: RunContext) -> None:
    if not STRATEGIES[name].trains_network:
        assert isinstance(context.features, FeatureStore)
        context.features.extract_as_worker()
        return
    strategy = load(name)
    settings = collectives.receive_broadcast()[0]
    if settings is None:  # the run is already done
        return
    trained = strategy.fit(validate(strategy.Config, settings, name), context)
    evaluate_as_worker(trained, context.splits, context.seed)
