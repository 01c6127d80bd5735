"""One command: the stages in order. What needs torch lies in ``execution`` and is imported when needed.

    images -> manifest -> split -> (device, backbone) -> strategy after strategy -> report

Each stage writes its own files atomically and is skipped when they are there: that is how an interrupted comparison
goes on.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from topwork.backbones.packaged import find
from topwork.compute.ranks import is_restart, launch_id, restarts, world
from topwork.core import config as configuration
from topwork.core import run_folders, storage
from topwork.core.artifacts import Manifest, RunInfo, Splits, read_manifest_rows, read_run_info, read_split
from topwork.core.config import Config
from topwork.core.errors import SettingsChanged
from topwork.core.progress import PlainProgress, RichProgress
from topwork.core.signals import Signals
from topwork.data.inspect_dataset import look_at_images
from topwork.data.sources import Listing
from topwork.data.splits import splits_of
from topwork.data.summary import data_account, split_lines
from topwork.pipeline.resume import extend, refuse_changes
from topwork.training.callbacks import Notifier, make_callbacks


class Job:
    """One command: a folder, a configuration, and the stages.

    Args:
        asked: The configuration, with its wishes.
        kind: ``"run"`` or ``"comparison"``.
        out, resume, overwrite: See ``folders.choose``; a training that torchrun starts again resumes what it finds.
        progress: To people.
        log_to, callbacks: See ``tracking.make_callbacks``.
        command: What was typed, for ``run.json``; empty for the words of this process.
        parallel: Trainings of a comparison at the same time.

    """

    def __init__(
        self,
        asked: Config,
        kind: str,
        out: Path | None,
        resume: bool,
        overwrite: bool,
        progress: PlainProgress | RichProgress,
        log_to: Sequence[str] = (),
        callbacks: Sequence[Any] = (),
        command: str = "",
        parallel: int = 1,
    ) -> None:
        self.log_to = tuple(log_to)
        self.callbacks = make_callbacks(log_to, callbacks)  # refused before anything is emptied
        self.asked, self.kind, self.progress, self.command = asked, kind, progress, command or _words()
        if out is not None and (out / "run.json").is_file():
            resume |= is_restart(read_run_info(out).details.get("launch", ""))
        self.resume, self.parallel = resume, parallel
        self.loading = threading.Thread(target=_load_torch, daemon=True)
        self.folds: list[Splits] = []
        self.device: Any = None  # resolved when the images are found, for torch is not loaded before
        self.folder = run_folders.resolve_output_folder(self._name(), out, resume, overwrite and not resume)
        if self.resume and not log_to:  # those that it was begun with go on
            self.log_to = tuple(read_run_info(self.folder).details.get("log_to", ()))
            self.callbacks = make_callbacks(self.log_to, callbacks)

    def _name(self) -> str:
        what = "compare" if self.kind == "comparison" else self.asked.strategies[0]
        return "-".join(map(storage.slug, (Path(self.asked.data.path).name, what, self.asked.backbone.model)))

    def resume_command(self) -> str:
        """The command that goes on with it."""
        if self.kind == "run":
            return f"topwork train --resume {shlex.quote(str(self.folder))}"
        return f"topwork compare {shlex.quote(self.asked.data.path)} --out {shlex.quote(str(self.folder))} --resume"

    def run(self) -> None:
        """All stages."""
        try:
            with storage.FolderLock(self.folder), Signals() as signals, _joined(signals):
                storage.sweep_temporary(self.folder)
                if self.resume:
                    signals.resume_command = self.resume_command()
                    old = configuration.validate(Config, read_run_info(self.folder).details["asked"])
                    refuse_changes(self.asked, old, self.folder)  # under the lock, for good
                    extend(self.asked, self.folder)
                self.progress.log_file.attach(self.folder / "train.log")
                self._stages(signals)
        except BaseException:
            run_folders.remove_empty_run(self.folder)
            raise
        finally:
            self.progress.log_file.attach(None)
            if self.loading.ident:
                self.loading.join()  # an end in the middle of loading native code can crash

    def _stages(self, signals: Signals) -> None:
        from importlib.metadata import version

        self.progress.log(f"topwork {version('topwork')}; output goes to {self.folder}")
        if restarts():
            self.progress.log(f"Started again, because a process has ended (restart {restarts()})")
        manifest, splits = self._data()
        signals.raise_if_stopped()
        if world().size > 1:
            from topwork.pipeline.worker import tell_manifest

            tell_manifest(self._exact(), manifest)
        from topwork.pipeline import setup as preparing
        from topwork.pipeline import strategy_run

        setup = preparing.prepare(self.asked, manifest, splits, self.device, self.progress, signals)
        setup.tracking = Notifier(self.callbacks, self.progress.log, self.folder)
        signals.resume_command = self.resume_command()
        info = self._info(version("topwork"), {**setup.details(), "data": data_account(manifest, splits)})
        if self.kind == "run":
            strategy_run.run_strategy(self.asked.strategies[0], setup, self.folder, info, signals)
        else:
            from topwork.pipeline.comparison import Surroundings, compare

            compare(
                setup,
                Surroundings(self.folder, info, self.folds, signals, self.log_to, self.parallel, self.progress.quiet),
            )
        self.progress.log(f"All files are in {self.folder}")

    def _found(self, listing: Listing) -> None:
        """What can be said, and refused, before the images are decoded and timm is loaded: both may take long."""
        self.loading.start()
        classes = len({image.label for image in listing.images})
        self.progress.log(f"Data      {listing.name}: {len(listing.images):,} images found, {classes} classes")
        if listing.license:
            self.progress.log(f"          licence of the images: {listing.license}")
        from topwork.compute import devices

        self.device = devices.resolve(self.asked.compute)
        self.progress.log(f"Device    {self.device[0]}")
        backbone = self.asked.backbone
        packaged = find(backbone.model, backbone.weights)
        if packaged:
            self.progress.log(f"Backbone  {backbone.model}; weights: {packaged.summary}")
        if not packaged or self.asked.settings:
            from topwork.pipeline import setup as preparing

            preparing.check(self.asked, self.progress)

    def _data(self) -> tuple[Manifest, Splits]:
        manifest = look_at_images(self.asked.data, self.progress, self._found)
        self.folds = splits_of(self.asked, manifest)
        splits = self.folds[0]
        for line in split_lines(manifest, splits):
            self.progress.log(line)
        stored = self.folder / "split.csv"
        if self.resume and stored.is_file() and (read_split(stored).ids != splits.ids or self._reweighed(manifest)):
            raise SettingsChanged(
                f"The images in {self.asked.data.path} are not those that {self.folder} was started with. Restore "
                "them, or choose another --out for a new run."
            )
        return manifest, splits

    def _reweighed(self, manifest: Manifest) -> bool:
        """Whether an image counts for something else than when the run was started."""
        stored = self.folder / "manifest.csv"
        before = {row.id: row.weight for row in read_manifest_rows(stored)} if stored.is_file() else {}
        return any(before.get(row.id, row.weight) != row.weight for row in manifest.used)

    def _info(self, version: str, details: dict[str, Any]) -> RunInfo:
        created = run_folders.now()
        if (self.folder / "run.json").is_file():
            created = read_run_info(self.folder).created
        details = {
            "asked": self.asked.model_dump(mode="json", exclude_none=True),
            "command": self.command,
            "topwork": version,
            **({"log_to": list(self.log_to)} if self.log_to else {}),
            **({"launch": launch_id()} if launch_id() else {}),
            **details,
        }
        return RunInfo(self.kind, self.folder.name, created, "running", self.asked.strategies, details)

    def _exact(self) -> Config:
        """What was asked, with the precision that all processes must share."""
        compute = self.asked.compute.model_copy(update={"precision": self.device[0].precision})
        return self.asked.model_copy(update={"compute": compute})


@contextlib.contextmanager
def _joined(signals: Signals) -> Iterator[None]:
    """Meet the other processes if there are any, and part from them at the end."""
    if world().size == 1:
        yield
        return
    from topwork.compute import collectives

    collectives.init_process_group()
    with collectives.translate_lost_peer(signals):
        yield
        collectives.destroy_process_group()


def _words() -> str:
    program = Path(sys.argv[0])
    typed = "topwork" in program.name or program.parts[-2:] == ("topwork", "__main__.py")
    return shlex.join(["topwork", *sys.argv[1:]]) if typed else "from Python"


def _load_torch() -> None:
    from topwork.pipeline import strategy_run  # noqa: F401 - only to have torch and timm in memory while images are decoded
