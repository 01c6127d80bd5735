"""One command: its stages in order. Modules that need torch are imported when their stage begins.

    images -> manifest -> splits -> (device, backbone) -> strategy after strategy -> report

Each stage writes its files atomically and is skipped when they exist: that is how an interrupted command resumes.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from topwork.backbones.packaged import find_packaged
from topwork.compute.ranks import is_restart, launch_id, restarts, world
from topwork.core import commands, folder_lock, run_folders, storage
from topwork.core.artifacts import ImageRow, Manifest, RunInfo, Splits, read_manifest_rows, read_run_info, read_split
from topwork.core.config import Config, validate
from topwork.core.errors import DataError, SettingNeeded, SettingsChanged, UsageError
from topwork.core.names import slug, split_models, strategy_of
from topwork.core.progress import Progress, redact
from topwork.core.signals import Signals
from topwork.data.findings import dataset_summary, describe_split
from topwork.data.manifest import build_manifest
from topwork.data.run_images import relative_root
from topwork.data.splits import splits_of
from topwork.pipeline.configure import describe_metric, describe_settings, more_epochs, refuse_changes
from topwork.pipeline.interim import describe_plan
from topwork.pipeline.process_group import broadcast_manifest, process_group
from topwork.pipeline.unnamed_groups import warn_of_unnamed_groups
from topwork.strategies import DEFAULT_STRATEGIES, need_pretrained, work_order
from topwork.training.callbacks import Notifier, make_callbacks


@dataclass
class Job:
    """One command: a folder, a configuration, and the stages.

    Attributes:
        config: As requested, with its ``auto`` values.
        kind: ``"run"`` or ``"comparison"``.
        out, resume, overwrite: See ``resolve_output_folder``; a training that torchrun restarts resumes what it finds.
        progress: Messages to the user.
        log_to, callbacks: See ``make_callbacks``.
        devices: Processes that train together.
        parallel: Trainings of a comparison at the same time; None: as many as at its start, or 1.
    """

    config: Config
    kind: str
    out: str | Path | None
    resume: bool
    overwrite: bool
    progress: Progress
    log_to: Sequence[str] = ()
    callbacks: Sequence[Any] = ()
    devices: int = 1
    parallel: int | None = None

    def __post_init__(self) -> None:
        make_callbacks(self.log_to, self.callbacks)  # refused before anything is written
        out = Path(self.out) if self.out is not None else None
        if out is not None and launch_id() and (out / "run.json").is_file():
            self.resume |= is_restart(read_run_info(out).details.get("launch", ""))
        what = "compare" if self.kind == "comparison" else self.config.strategies[0]
        model = f"{len(self.config.models)} backbones" if self.config.models else self.config.backbone.model
        name = "-".join(map(slug, (Path(self.config.data.path).name, what, model)))
        self.overwrite = self.overwrite and not self.resume
        self.folder = run_folders.resolve_output_folder(name, out, self.resume, self.overwrite)
        started = read_run_info(self.folder).details if self.resume else {}
        self.log_to = self.log_to or started.get("log_to", ())
        self.parallel = self.parallel or started.get("parallel", 1)
        self.torch_import = threading.Thread(target=_import_torch, daemon=True)

    def resume_command(self) -> str:
        """The command that resumes it."""
        return commands.command(
            "compare" if self.kind == "comparison" else "train", "--resume", self.folder, *self._several()
        )

    def _several(self) -> list[str]:
        return ["--devices", str(self.devices)] if self.devices > 1 else []

    def launch(self, max_restarts: int) -> None:
        """Run it in several processes of this machine."""
        from topwork.compute.launch import launch

        job = {
            "config": self.config.model_dump(mode="json"),
            "out": str(self.folder),
            "resume": self.resume,
            "overwrite": self.overwrite,
            "quiet": self.progress.quiet,
            "log_to": list(self.log_to),
            "devices": self.devices,
        }
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "worker.json"
            storage.write_json(file, {"kind": "train", "parent": os.getpid(), "job": job})
            info = self.folder / "run.json"
            replaced = info.read_bytes() if self.overwrite and info.is_file() else b""

            def resume_command() -> str:
                begun = info.is_file() and info.read_bytes() != replaced
                return self.resume_command() if begun else ""

            try:
                launch(["-m", "topwork", "worker", str(file)], self.devices, max_restarts, resume_command)
            except BaseException:
                run_folders.remove_empty_run(self.folder)
                raise

    def run(self) -> None:
        """Run all stages."""
        try:
            cache = folder_lock.share_folder(run_folders.cache_folder())
            with folder_lock.lock_folder(self.folder), cache, Signals() as signals, process_group(signals):
                try:
                    self._prepare_folder(signals)
                    self._stages(signals)
                except BaseException:
                    run_folders.remove_empty_run(self.folder)
                    raise
        finally:
            self.progress.log_file = self.progress.unlogged = None
            self._wait_for_torch()  # an exit while native code is loaded can crash

    def _wait_for_torch(self) -> None:
        """Until the other thread has imported; two that import the same packages can see them half initialized."""
        if self.torch_import.ident:
            self.torch_import.join()

    def _prepare_folder(self, signals: Signals) -> None:
        """Decide again, now under the lock; a run that is to be replaced gets no line in its log."""
        if self.resume:
            run_folders.finish_replacement(self.folder)
            signals.resume_command = self.resume_command()
            old = validate(Config, read_run_info(self.folder).details["config"])
            refuse_changes(self.config, old, self.folder)
        else:
            run_folders.check_output_folder(self.folder, self.overwrite)
        storage.sweep_temporary(self.folder)
        if self.overwrite:
            self.progress.unlogged = []
        else:
            self.progress.log_file = self.folder / "train.log"

    def _stages(self, signals: Signals) -> None:
        self.progress.log(f"topwork {version('topwork')}; output goes to {self.folder}")
        if restarts():
            self.progress.log(f"Restarted because a process died (restart {restarts()})")
        for line in describe_settings(self.config):
            self.progress.log(line)
        manifest, folds = self._read_images()
        warning = warn_of_unnamed_groups(self.config, manifest) if self.kind == "comparison" else ""
        if warning:
            manifest = replace(manifest, remarks=(*manifest.remarks, warning))
        for line in describe_split(manifest, folds[0], commands.check(self.config)):
            self.progress.log(line)
        if line := describe_metric(self.config, manifest):
            self.progress.log(line)
        self._refuse_changed_images(manifest, folds[0])
        signals.raise_if_stopped()
        self._wait_for_torch()
        from topwork.compute import devices
        from topwork.pipeline.setup import make_contexts, run_details
        from topwork.pipeline.strategy_run import check_settings, run_strategy

        config, device = self.config, devices.resolve(self.config.compute)
        if world().size > 1:
            broadcast_manifest(config, manifest, device[0].precision)
        notifier = Notifier(make_callbacks(self.log_to, self.callbacks), self.progress.log, self.folder)
        contexts = make_contexts(config, manifest, folds[0], device, self.folder, self.progress, signals, notifier)
        for name, context in contexts.items():
            check_settings(strategy_of(name), context)
        details = run_details(contexts)
        self._refuse_other_weights(details)
        root = relative_root(manifest.root, config.data.path)
        info = self._info({**details, "data": {**dataset_summary(manifest, folds[0]), "root": root}})
        if self.overwrite:
            run_folders.replace_run(self.folder, info)
            self.progress.log_file = self.folder / "train.log"
        signals.resume_command = self.resume_command()
        if self.kind == "run":
            epochs = more_epochs(config, self.folder) if self.resume else None
            run_strategy(config.strategies[0], contexts[config.strategies[0]], info, epochs=epochs)
        else:
            from topwork.pipeline.comparison import compare

            compare(contexts, info, folds, self.parallel or 1)
        self.progress.log(f"All files are in {self.folder}")

    def _read_images(self) -> tuple[Manifest, list[Splits]]:
        """The images and the split of each fold; an error says what helps, which on a resume is the same images."""
        try:
            manifest = build_manifest(self.config.data, progress=self.progress, on_listing=self._on_listing)
            return manifest, splits_of(self.config, manifest)
        except (DataError, UsageError) as error:
            if self.resume:
                raise (DataError if isinstance(error, DataError) else UsageError)(
                    f"{error} A resume needs the images that {self.folder} was started with: restore them, or name "
                    "their new place as DATA."
                ) from error
            if not isinstance(error, SettingNeeded):
                raise
            data = self.config.data.model_copy(update=error.change)
            words = ["--out", str(self.out), *self._several()] if self.out is not None else self._several()
            config = self.config.model_copy(update={"data": data})
            command = commands.training(self.kind, config, DEFAULT_STRATEGIES, *words)
            raise DataError(f"{error.problem}: {command}") from error

    def _on_listing(self, listing: Manifest) -> None:
        """Log, and refuse, what is known before the images are decoded and timm is loaded: both may take long."""
        self.torch_import.start()
        classes = len(listing.classes)
        self.progress.log(f"Data      {listing.name}: {len(listing.rows):,} images found, {classes} classes")
        self.progress.log(f"Read as: {listing.reading}")
        if listing.license:
            self.progress.log(f"          license of the images: {listing.license}")
        from topwork.compute import devices

        device = devices.resolve(self.config.compute)[0]
        devices.check_parallel(device, self.config.compute.device, self.parallel or 1)
        self.progress.log(f"Device    {device}")
        if self.kind == "comparison":
            for line in describe_plan(self.config, device.device.type, self.folder, self.parallel or 1):
                self.progress.log(line)
        backbone = self.config.backbone
        models = self.config.models or (backbone.model,)
        found = {name: find_packaged(name, backbone.weights) for model in models for name in split_models(model)}
        if all(found.values()):
            needed = need_pretrained(self.config.strategies)
            for name, packaged in found.items():
                self.progress.log(f"Backbone  {name}; weights: {packaged.summary if packaged and needed else 'random'}")
        else:
            self._wait_for_torch()
            from topwork.pipeline.setup import check

            check(self.config, self.progress)

    def _refuse_changed_images(self, manifest: Manifest, splits: Splits) -> None:
        """Refuse to resume with other images; one that cannot be used, then and now, is no change."""
        files = self.folder / "manifest.csv", self.folder / "split.csv"
        if not (self.resume and all(file.is_file() for file in files)):  # else nothing was trained yet
            return
        stored = read_split(files[1])
        old, new = _used(read_manifest_rows(files[0]), stored), _used(manifest.rows, splits)
        changed = sorted(image for image in old.keys() | new.keys() if old.get(image) != new.get(image))
        if changed:
            raise SettingsChanged(
                f"The images in {self.config.data.path} are not those that {self.folder} was started with: "
                f"{_describe_change(changed[0], old, new)}{f', and {len(changed) - 1} more' if changed[1:] else ''}. "
                "Restore them, or choose another --out for a new run."
            )

    def _refuse_other_weights(self, details: dict[str, Any]) -> None:
        stored = read_run_info(self.folder).details if self.resume else details
        if "backbone" not in stored:  # nothing was trained yet
            return
        for old, new in zip(*(one.get("backbones") or [one["backbone"]] for one in (stored, details)), strict=True):
            if old["digest"] != new["digest"]:
                raise SettingsChanged(
                    f"The weights of {new['model']} are not those that {self.folder} was started with "
                    f"({old['weights']}; now {new['weights']}). Restore them, or choose another --out for a new run."
                )

    def _info(self, details: dict[str, Any]) -> RunInfo:
        created = read_run_info(self.folder).created if self.resume else run_folders.now()
        details = {
            "config": self.config.model_dump(mode="json", exclude_none=True),
            "command": redact(commands.training(self.kind, self.config, DEFAULT_STRATEGIES, *self._several())),
            "topwork": version("topwork"),
            **({"log_to": list(self.log_to)} if self.log_to else {}),
            **(
                {"parallel": self.parallel, "order": work_order(self.config.strategies)}
                if self.kind == "comparison"
                else {}
            ),
            **({"launch": launch_id()} if launch_id() else {}),
            **details,
        }
        return RunInfo(self.kind, self.folder.name, created, "running", self.config.strategies, details)


def _used(rows: Sequence[ImageRow], splits: Splits) -> dict[str, dict[str, Any]]:
    """What a training depends on, of each image that is used."""
    split_of = {image: split for split, ids in splits.ids.items() for image in ids}
    return {
        row.id: {
            "content": row.sha256, "label": row.label, "split": split_of.get(row.id), "group": row.group,
            "weight": row.weight,
        }
        for row in rows
        if row.status == "used"
    }  # fmt: skip


def _describe_change(image: str, old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]]) -> str:
    if image not in old:
        return f"{image} is new"
    if image not in new:
        return f"{image} is missing or cannot be read"
    name = next(name for name, value in old[image].items() if new[image][name] != value)
    values = "" if name == "content" else f" ({old[image][name]!r} -> {new[image][name]!r})"
    return f"{image} has another {name}{values}"


def _import_torch() -> None:
    from topwork.pipeline import strategy_run  # noqa: F401 - torch and timm load while images are decoded
