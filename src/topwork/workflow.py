"""``compare`` and ``train``: the stages in order. What needs torch lies in ``execution`` and is imported when needed.

    images -> manifest -> split -> (device, backbone) -> strategy after strategy -> report

Each stage writes its own files atomically and is skipped when they are there: that is how an interrupted comparison
goes on.
"""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from topwork import config as configuration
from topwork import folders, options, storage
from topwork.artifacts import Manifest, RunInfo, Split, read_run_info, read_split
from topwork.backbones.packaged import find
from topwork.config import Config
from topwork.data.manifest import build_manifest
from topwork.data.sources import Listing
from topwork.data.split import make_split
from topwork.errors import ChangedSettings, UsageError
from topwork.progress import PlainProgress, Progress, RichProgress, choose
from topwork.results import Comparison, Run, table
from topwork.signals import Signals
from topwork.strategies import STRATEGIES


def compare(
    data: str | Path | None = None,
    *,
    strategies: Sequence[str] | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    quiet: bool = False,
    **flags: Any,
) -> Comparison:
    """Train several strategies on one backbone and one split, and put them side by side.

    Args:
        data: A folder of class folders, or the name of a data set that a source knows.
        strategies: Names; the usual four if None, or those of the configuration file.
        out: Folder to write to; ``runs/<data>-compare-<model>`` if None.
        resume: Go on with the comparison there; the settings must be the same.
        overwrite: Replace it.
        config: A TOML file of settings.
        sets: Assignments such as ``"finetune.lr=1e-4"``.
        quiet: Print nothing.
        **flags: Single settings by the names of the command line: ``model``, ``epochs``, ``seed``, ...

    Returns:
        The comparison, with ``.metrics``, ``.history``, ``.path`` and a table in notebooks.

    Raises:
        TopworkError: See ``errors``; every message is one line with a way out.
    """
    asked = options.build(data, strategies, config, sets, **flags)
    job = _Job(asked, "comparison", _path(out), resume, overwrite, choose(quiet))
    job.run()
    return Comparison(job.folder)


def train(
    data: str | Path | None = None,
    strategy: str | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    overwrite: bool = False,
    config: str | Path | None = None,
    sets: Sequence[str] = (),
    quiet: bool = False,
    **flags: Any,
) -> Run:
    """Train one strategy; see ``compare`` for the arguments.

    Args:
        data: The images; may be left out with ``resume``.
        strategy: ``scratch``, ``mlp``, ``svm`` or ``finetune``; the last if None.
        resume: Folder of a run to go on with; everything is taken from it.
    """
    if resume is not None:
        asked = _asked(Path(resume))
        given = {k: v for k, v in flags.items() if v is not None}
        if data is not None or strategy is not None or config is not None or sets or given:
            name = strategy or asked.strategies[0]
            again = _only_given(options.build(data or asked.data.path, [name], config, sets, **given), asked)
            _refuse_changes(again, asked, Path(resume))
            asked = again  # the same, or more epochs
        out = resume
    else:
        asked = options.build(data, [strategy] if strategy else None if config else ["finetune"], config, sets, **flags)
        if len(asked.strategies) != 1:
            raise UsageError("train takes one strategy; use --strategy NAME, or `topwork compare` for several.")
    job = _Job(asked, "run", _path(out), resume is not None, overwrite, choose(quiet))
    job.run()
    return Run(job.folder)


def _path(out: str | Path | None) -> Path | None:
    return Path(out) if out is not None else None


def _asked(folder: Path) -> Config:
    """The configuration that a run was started with."""
    info = read_run_info(folder)
    if info.kind != "run":
        raise UsageError(f"{folder} is a {info.kind}. Go on with `topwork compare DATA --out {folder} --resume`.")
    return configuration.validate(Config, info.details["asked"])


def _only_given(again: Config, asked: Config) -> Config:
    """``again`` where it departs from the defaults, else ``asked``: what was not said on resume is not a change."""
    base = Config(data=again.data, strategies=again.strategies).model_dump(mode="json")
    merged = asked.model_dump(mode="json")

    def merge(into: dict[str, Any], new: dict[str, Any], default: dict[str, Any]) -> None:
        for key, value in new.items():
            if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
                merge(into.setdefault(key, {}), value, default.get(key, {}))
            elif value != default.get(key):
                into[key] = value

    merge(merged, again.model_dump(mode="json"), base)
    return configuration.validate(Config, merged)


def _refuse_changes(new: Config, old: Config, folder: Path) -> None:
    """Refuse all but more epochs of a single run, which then goes on with a schedule stretched to them."""
    changed = configuration.differences(old, new)
    more = _more_epochs(new, folder)
    if more:
        changed = [line for line in changed if not line.startswith(f"settings.{new.strategies[0]}.epochs:")]
    if changed:
        raise ChangedSettings(
            f"{folder} was started with other settings ({'; '.join(changed)}). Resume without them, or choose another "
            "--out for a new run."
        )


def _more_epochs(asked: Config, folder: Path) -> int | None:
    """The epochs asked for, if they are more than a run that has begun was resolved to."""
    path, name = folder / "config.toml", asked.strategies[0]
    wanted = asked.settings.get(name, {}).get("epochs")
    if not path.is_file() or len(asked.strategies) > 1 or not isinstance(wanted, int):
        return None
    planned = configuration.read(path).settings.get(name, {}).get("epochs")
    return wanted if isinstance(planned, int) and wanted > planned else None


def _extend(asked: Config, folder: Path) -> None:
    """Plan more epochs for a run, finished or not; a kill in between leaves it resumable as it was."""
    epochs, name = _more_epochs(asked, folder), asked.strategies[0]
    if epochs is None:
        return
    (folder / "metrics.json").unlink(missing_ok=True)  # it is not finished any more
    resolved = configuration.read(folder / "config.toml")
    settings = {name: {**resolved.settings[name], "epochs": epochs}}
    configuration.write(resolved.model_copy(update={"settings": settings}), folder / "config.toml")


class _Job:
    """One command: a folder, a configuration, and the stages."""

    def __init__(
        self,
        asked: Config,
        kind: str,
        out: Path | None,
        resume: bool,
        overwrite: bool,
        progress: PlainProgress | RichProgress,
    ) -> None:
        self.asked, self.kind, self.progress = asked, kind, progress
        self.resume = resume
        self.loading = threading.Thread(target=_load_torch, daemon=True)
        self.device: Any = None  # resolved when the images are found, for torch is not loaded before
        self.folder = folders.choose(self._name(), out, resume, overwrite)

    def _name(self) -> str:
        what = "compare" if self.kind == "comparison" else self.asked.strategies[0]
        return "-".join(map(storage.slug, (Path(self.asked.data.path).name, what, self.asked.backbone.model)))

    def _advice(self) -> str:
        if self.kind == "run":
            return f"topwork train --resume {shlex.quote(str(self.folder))}"
        return f"topwork compare {shlex.quote(self.asked.data.path)} --out {shlex.quote(str(self.folder))} --resume"

    def run(self) -> None:
        """All stages."""
        try:
            with storage.FolderLock(self.folder), Signals() as signals:
                storage.sweep_temporary(self.folder)
                if self.resume:
                    signals.advice = self._advice()
                    old = configuration.validate(Config, read_run_info(self.folder).details["asked"])
                    _refuse_changes(self.asked, old, self.folder)  # under the lock, for good
                    _extend(self.asked, self.folder)
                self.progress.log.attach(self.folder / "train.log")
                self._stages(signals)
        except BaseException:
            folders.remove_barren(self.folder)
            raise
        finally:
            self.progress.log.attach(None)
            if self.loading.ident:
                self.loading.join()  # an end in the middle of loading native code can crash

    def _stages(self, signals: Signals) -> None:
        from importlib.metadata import version

        self.progress.say(f"topwork {version('topwork')}; output goes to {self.folder}")
        manifest, split = self._data()
        signals.check()
        from topwork import execution

        setup = execution.prepare(self.asked, manifest, split, self.device, self.progress, signals)
        signals.advice = self._advice()
        info = self._info(version("topwork"), {**setup.details(), "data": _data_account(manifest, split)})
        if self.kind == "run":
            execution.run_strategy(self.asked.strategies[0], setup, self.folder, info, signals)
        else:
            self._compare(setup, info, signals)
        self._end()

    def _found(self, listing: Listing) -> None:
        """What can be said, and refused, before the images are decoded and timm is loaded: both may take long."""
        self.loading.start()
        classes = len({image.label for image in listing.images})
        self.progress.say(f"Data      {listing.name}: {len(listing.images):,} images found, {classes} classes")
        if listing.license:
            self.progress.say(f"          licence of the images: {listing.license}")
        from topwork import devices

        self.device = devices.resolve(self.asked.compute)
        self.progress.say(f"Device    {self.device[0]}")
        backbone = self.asked.backbone
        packaged = find(backbone.model, backbone.weights)
        if packaged:
            self.progress.say(f"Backbone  {backbone.model}; weights: {packaged.account}")
        if not packaged or self.asked.settings:
            from topwork import execution

            execution.check(self.asked, self.progress)

    def _data(self) -> tuple[Manifest, Split]:
        manifest = _look_at(self.asked, self.progress, self._found)
        fraction = self.asked.data.test_fraction
        split = make_split(
            manifest, self.asked.seed, self.asked.data.val_fraction, None if fraction == "auto" else fraction
        )
        for line in _split_lines(manifest, split):
            self.progress.say(line)
        stored = self.folder / "split.csv"
        if self.resume and stored.is_file() and read_split(stored).ids != split.ids:
            raise ChangedSettings(
                f"The images in {self.asked.data.path} are not those that {self.folder} was started with. Restore "
                "them, or choose another --out for a new run."
            )
        return manifest, split

    def _info(self, version: str, details: dict[str, Any]) -> RunInfo:
        created = folders.now()
        if (self.folder / "run.json").is_file():
            created = read_run_info(self.folder).created
        command = shlex.join(["topwork", *sys.argv[1:]]) if "topwork" in Path(sys.argv[0]).name else "from Python"
        details = {
            "asked": self.asked.model_dump(mode="json", exclude_none=True),
            "command": command,
            "topwork": version,
            **details,
        }
        return RunInfo(self.kind, self.folder.name, created, "running", self.asked.strategies, details)

    def _compare(self, setup: Any, info: RunInfo, signals: Signals) -> None:
        from topwork import execution
        from topwork.report.render import write_report

        execution.write_inputs(self.folder, setup, info)
        start = time.monotonic()
        for number, name in enumerate(self.asked.strategies, 1):
            self.progress.say(f"[{number}/{len(self.asked.strategies)}] {name}")
            execution.run_strategy(name, setup, self.folder / name, replace(info, name=name), signals)
            signals.check()
        settings = {
            name: configuration.read(self.folder / name / "config.toml").settings[name] for name in info.strategies
        }
        configuration.write(setup.config.model_copy(update={"settings": settings}), self.folder / "config.toml")
        replace(info, status="done", details={**info.details, "seconds": time.monotonic() - start}).write(self.folder)
        write_report(self.folder)

    def _end(self) -> None:
        self.progress.say(f"All files are in {self.folder}")


def _load_torch() -> None:
    from topwork import execution  # noqa: F401 - only to have torch and timm in memory while images are decoded


def _look_at(asked: Config, progress: Progress, found: Callable[[Listing], None]) -> Manifest:
    state: dict[str, Any] = {"done": 0}
    opened = None

    def advance(done: int, total: int) -> None:
        nonlocal opened
        if opened is None:
            opened = progress.step("images looked at", total)
            state["bar"] = opened.__enter__()
        state["bar"].advance(done - state["done"])
        state["done"] = done

    try:
        source, path = asked.data.source, asked.data.path
        return build_manifest(source, path, folders.cache_folder(), found=found, progress=advance)
    finally:
        if opened is not None:
            opened.__exit__(None, None, None)


def _split_lines(manifest: Manifest, split: Split) -> list[str]:
    parts = " / ".join(f"{part} {len(split.ids[part]):,}" for part in split.ids)
    lines = [f"Split     {parts} of {len(manifest.used):,} usable images; {split.note}"]
    for row in manifest.set_aside[:5]:
        lines.append(f"          set aside: {row.id}: {row.reason}")
    if len(manifest.set_aside) > 5:
        lines.append(f"          ... and {len(manifest.set_aside) - 5:,} more set aside; manifest.csv names each")
    if manifest.ignored:
        name, reason = next(iter(manifest.ignored.items()))
        more = f", and {len(manifest.ignored) - 1:,} more" if len(manifest.ignored) > 1 else ""
        lines.append(f"          passed over: {name} ({reason}){more}")
    return lines


def _data_account(manifest: Manifest, split: Split) -> dict[str, Any]:
    converted: dict[str, int] = {}
    for row in manifest.used:
        if row.reason:
            converted[row.reason] = converted.get(row.reason, 0) + 1
    counts = {
        part: {name: int((split.labels[part] == i).sum()) for i, name in enumerate(split.classes)} for part in split.ids
    }
    return {
        "name": manifest.name,
        "images": len(manifest.rows),
        "set_aside": [{"id": row.id, "reason": row.reason} for row in manifest.set_aside],
        "converted": converted,
        "ignored": manifest.ignored,
        "license": manifest.license,
        "note": manifest.note,
        "split_note": split.note,
        "counts": counts,
    }


def summary(result: Run | Comparison) -> str:
    """The table and the two last lines of a command."""
    runs = [result] if isinstance(result, Run) else list(result)
    return "\n".join([table(runs), "", f"Report: {result.report}", f"Next: {_next_step(result)}"])


def _next_step(result: Run | Comparison) -> str:
    """The command that most likely gives more: what was best on val for longer, or fine-tuning after heads only."""
    best = result if isinstance(result, Run) else result.best_on_val()
    asked = configuration.read(best.path / "config.toml")
    words = ["topwork", "train", asked.data.path]
    if asked.backbone.model != configuration.DEFAULT_MODEL:
        words += ["--model", asked.backbone.model]
    on_images = STRATEGIES[best.strategy].on_images
    strategy, epochs = (best.strategy, 3 * len(best.history)) if on_images else ("finetune", 20)
    return shlex.join([*words, "--strategy", strategy, "--epochs", str(epochs)])
