"""The files of a run or comparison folder -> ``ReportData``. Reads files only; renders nothing.

Apart from ``run.json`` every file may be missing and every key of a JSON file too: a comparison that is still under way
has a report as well.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from topwork.core import artifacts, storage
from topwork.core.artifacts import EpochRecord, Predictions, RunInfo
from topwork.core.errors import CorruptFile
from topwork.evaluation.learning_curve import Curve
from topwork.evaluation.verdict import Verdict
from topwork.report.differences import disagreements
from topwork.report.judge import judge_folder

WORST = 12
THUMBNAILS = "thumbnails"


@dataclass(frozen=True)
class Figure:
    """A figure with the ends of its 95 % interval; None where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PerClass:
    """One class of one strategy: images in the part, and fractions in [0, 1] or None."""

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Scores:
    """What ``evaluation.evaluate`` said about one part.

    Attributes:
        images: N.
        figures: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``log_loss`` and ``roc_auc`` or ``top5``.
        per_class: In the order of the class index.
        confusion: (K, K), rows true, columns predicted.
    """

    images: int
    figures: Mapping[str, Figure]
    per_class: tuple[PerClass, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> Figure:
        """Share of right images."""
        return self.figures.get("accuracy", Figure(None))


@dataclass(frozen=True)
class WorstError:
    """A wrong image: its id, its class, the class predicted instead and the probability of that, in [0, 1].

    ``picture`` is a ``data:`` address of a JPEG, or empty.
    """

    id: str
    label: str
    predicted: str
    probability: float
    picture: str = ""


@dataclass(frozen=True)
class StrategyData:
    """One strategy of the folder; ``test`` is None as long as it has not finished."""

    name: str
    status: str
    test: Scores | None = None
    val: Scores | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history: tuple[EpochRecord, ...] = ()
    worst: tuple[WorstError, ...] = ()


@dataclass(frozen=True)
class DataAccount:
    """What is known about the images; the fields are those of ``details["data"]`` in ``run.json``."""

    name: str
    images: int
    counts: Mapping[str, Mapping[str, int]]
    set_aside: tuple[tuple[str, str], ...] = ()
    converted: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    split_note: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order."""
        return tuple(sorted({name for split in self.counts.values() for name in split}))

    def total(self, split: str) -> int:
        """Images of a part."""
        return sum(self.counts.get(split, {}).values())

    @property
    def majority(self) -> float | None:
        """Accuracy on test of always answering its most frequent class; None if nothing is known about test."""
        test = self.counts.get("test", {})
        return max(test.values()) / sum(test.values()) if sum(test.values()) else None


@dataclass(frozen=True)
class ReportData:
    """All that a report says, before any of it is turned into text.

    Attributes:
        asked: What the command asked for; keys as in ``config.toml``, and ``n_seeds``, ``folds``, ``trials``.
        split_hash: SHA-256 of ``split.csv``, or empty.
        predictions: Those on test, by strategy: of the first seed, or of all folds together.
        curves: Over labels.
        pictures: Image id to the ``data:`` address of a JPEG, of images on which the strategies disagree.
    """

    kind: str
    name: str
    created: str
    status: str
    command: str
    version: str
    data: DataAccount
    backbone: Mapping[str, Any]
    device: Mapping[str, Any]
    strategies: tuple[StrategyData, ...]
    config: str
    environment: Mapping[str, Any]
    verdict: Verdict | None = None
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)
    split_hash: str = ""
    pictures: Mapping[str, str] = field(default_factory=dict)

    @property
    def finished(self) -> tuple[StrategyData, ...]:
        """The strategies that have figures of test."""
        return tuple(strategy for strategy in self.strategies if strategy.test)


def gather(folder: Path) -> ReportData:
    """Read a run or comparison folder.

    Args:
        folder: Has a ``run.json``. A comparison has one run folder per strategy, named after it.

    Returns:
        The content of its report. A strategy without ``metrics.json`` has no scores.

    Raises:
        DataError: The folder has no ``run.json``, or one of a newer format.
        DamagedFile: A file in it is not what its name says.
    """
    info = artifacts.read_run_info(folder)
    details = info.details
    if info.kind == "comparison":
        strategies = tuple(_strategy(_inside(folder, name), name, "waiting") for name in info.strategies)
    else:
        name = info.strategies[0] if info.strategies else info.name
        strategies = (_strategy(folder, name, info.status),)
    config, environment = folder / "config.toml", folder / "environment.json"
    judged = judge_folder(folder)
    return ReportData(
        kind=info.kind,
        name=info.name,
        created=info.created,
        status=info.status,
        command=str(details.get("command") or ""),
        version=str(details.get("topwork") or ""),
        data=_data_account(folder, info),
        backbone=details.get("backbone") or {},
        device=details.get("device") or {},
        strategies=strategies,
        config=config.read_text("utf-8", "surrogateescape") if config.is_file() else "",
        environment=storage.read_json(environment) if environment.is_file() else {},
        verdict=judged.verdict,
        predictions=judged.predictions,
        curves=judged.curves,
        asked=details.get("asked") or {},
        split_hash=storage.sha256_file(folder / "split.csv") if (folder / "split.csv").is_file() else "",
        pictures=_pictures(folder, info.strategies, [d.id for d in disagreements(judged.predictions)]),
    )


def worst_errors(predictions: Predictions, most: int = WORST) -> list[WorstError]:
    """The wrong images with the highest probability of the wrong class, worst first; ties in the order of ids."""
    predicted = predictions.predicted
    wrong = np.flatnonzero(predicted != predictions.labels)
    certainty = np.nan_to_num(predictions.probabilities[np.arange(len(predicted)), predicted])
    order = sorted(wrong.tolist(), key=lambda i: (-certainty[i], predictions.ids[i]))[:most]
    names = predictions.classes
    return [
        WorstError(predictions.ids[i], names[predictions.labels[i]], names[predicted[i]], float(certainty[i]))
        for i in order
    ]


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name or name in {".", ".."}:
        raise CorruptFile(f"{folder / 'run.json'} names a strategy {name!r}, which is not a folder in it. Restore it.")
    return folder / name


def _strategy(folder: Path, name: str, status: str) -> StrategyData:
    if (folder / "run.json").is_file():
        status = artifacts.read_run_info(folder).status
    history = tuple(artifacts.read_history(folder / "history.jsonl"))
    if not (folder / "metrics.json").is_file():
        return StrategyData(name, status, history=history)
    metrics = storage.read_json(folder / "metrics.json")
    return StrategyData(
        name=name,
        status=status,
        test=_scores(metrics.get("test")),
        val=_scores(metrics.get("val")),
        costs=metrics.get("costs") or {},
        selection=metrics.get("selection") or {},
        decision=metrics.get("decision") or {},
        notes=tuple(metrics.get("notes") or ()),
        history=history,
        worst=_worst(folder),
    )


def _scores(value: Mapping[str, Any] | None) -> Scores | None:
    if not value:
        return None
    figures = {
        name: Figure(entry.get("value"), entry.get("low"), entry.get("high"))
        for name, entry in value.items()
        if isinstance(entry, dict) and "value" in entry
    }
    rows = tuple(
        PerClass(row["class"], row.get("images", 0), row.get("precision"), row.get("recall"), row.get("f1"))
        for row in value.get("per_class") or ()
    )
    return Scores(value.get("images", 0), figures, rows, tuple(tuple(row) for row in value.get("confusion") or ()))


def _worst(folder: Path) -> tuple[WorstError, ...]:
    path, index = folder / "predictions.csv", folder / THUMBNAILS / "index.json"
    if not path.is_file():
        return ()
    files: dict[str, str] = storage.read_json(index) if index.is_file() else {}
    errors = worst_errors(artifacts.read_predictions(path))
    return tuple(
        WorstError(e.id, e.label, e.predicted, e.probability, _picture(folder, files.get(e.id, ""))) for e in errors
    )


def _picture(folder: Path, name: str) -> str:
    # A run folder may come from someone else: its index must not reach for files outside of it.
    if not name or Path(name).name != name or not (folder / THUMBNAILS / name).is_file():
        return ""
    data = (folder / THUMBNAILS / name).read_bytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data.startswith(b"\xff\xd8\xff") else ""


def _pictures(folder: Path, names: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """Pictures that lie in the folder or in one of its runs, by image id."""
    found: dict[str, str] = {}
    for place in (folder, *(_inside(folder, name) for name in names)):
        path = place / THUMBNAILS / "index.json"
        files: dict[str, str] = storage.read_json(path) if path.is_file() else {}
        for image in ids:
            if image in files and not found.get(image):
                found[image] = _picture(place, files[image])
    return found


def _data_account(folder: Path, info: RunInfo) -> DataAccount:
    data = info.details.get("data") or {}
    counts = data.get("counts") or {}
    set_aside = data.get("set_aside")
    if set_aside is None and (folder / "manifest.csv").is_file():
        rows = artifacts.read_manifest_rows(folder / "manifest.csv")
        set_aside = [{"id": row.id, "reason": row.reason} for row in rows if row.status != "used"]
    return DataAccount(
        name=str(data.get("name") or info.name),
        images=data.get("images") or sum(sum(split.values()) for split in counts.values()),
        counts=counts,
        set_aside=tuple((row.get("id", ""), row.get("reason", "")) for row in set_aside or ()),
        converted=data.get("converted") or {},
        ignored=data.get("ignored") or {},
        license=data.get("license") or "",
        note=data.get("note") or "",
        split_note=data.get("split_note") or "",
    )
