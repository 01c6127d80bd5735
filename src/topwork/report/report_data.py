"""The files of a run or comparison folder -> ``ReportData``. Reads files only; renders nothing.

Every file except ``run.json`` may be missing, and so may every key of a JSON file: an unfinished comparison has a
report, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from topwork.core import artifacts, commands, storage
from topwork.core.artifacts import EpochRecord, RunInfo
from topwork.core.predictions import Predictions
from topwork.core.run_folders import RUNS
from topwork.evaluation import target_metric
from topwork.evaluation.cut_short import CutShort
from topwork.evaluation.learning_curve import Curve
from topwork.evaluation.verdict import Verdict
from topwork.report.folder_evaluation import evaluate_folder, evaluate_folds
from topwork.report.folder_recommendation import requested_metric, training_seconds
from topwork.report.shown_images import ShownImages, read_shown_images


@dataclass(frozen=True)
class Metric:
    """A metric with its 95 % interval; None where it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PerClass:
    """One class of one strategy: images in the split, and fractions in [0, 1] or None."""

    name: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Scores:
    """The result of ``evaluation.evaluate`` on one split.

    Attributes:
        images: N.
        metrics: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``log_loss`` and ``roc_auc`` or ``top5``.
        per_class: In the order of the class index.
        confusion: (K, K), rows true, columns predicted.
    """

    images: int
    metrics: Mapping[str, Metric]
    per_class: tuple[PerClass, ...]
    confusion: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> Metric:
        """Share of correct predictions."""
        return self.metrics.get("accuracy", Metric(None))


@dataclass(frozen=True)
class StrategyData:
    """One strategy of the folder; ``test`` is None until it has finished."""

    name: str
    status: str
    test: Scores | None = None
    val: Scores | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)
    decision: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history: tuple[EpochRecord, ...] = ()
    cut_short: CutShort | None = None

    @property
    def folds(self) -> int:
        """Folds whose out-of-fold predictions chose and calibrated; 0: the validation set did."""
        return int(self.decision.get("folds") or 0)

    @property
    def training_seconds(self) -> float:
        """With the features that it needs and the search for its settings."""
        return training_seconds(self.costs)


@dataclass(frozen=True)
class DatasetSummary:
    """The images of the data set; the fields are those of ``details["data"]`` in ``run.json``."""

    name: str
    images: int
    counts: Mapping[str, Mapping[str, int]]
    excluded: tuple[tuple[str, str], ...] = ()
    converted: Mapping[str, int] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    split_note: str = ""
    reading: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in sorted order."""
        return tuple(sorted({name for split in self.counts.values() for name in split}))

    def total(self, split: str) -> int:
        """Number of images of a split."""
        return sum(self.counts.get(split, {}).values())

    @property
    def majority_share(self) -> float | None:
        """Test accuracy of always predicting its most frequent class; None if the counts are unknown."""
        test = self.counts.get("test", {})
        return max(test.values()) / sum(test.values()) if sum(test.values()) else None


@dataclass(frozen=True)
class ReportData:
    """The content of a report, before it is rendered.

    Attributes:
        requested: The configuration of the command; keys as in ``config.toml``, and ``n_seeds``, ``folds``, ``trials``.
        split_hash: SHA-256 of ``split.csv``, or empty.
        predictions: On the test set by strategy: of the first seed, or of all folds together.
        curves: Learning curves.
        images: What is shown of images.
        order: Of the strategies in the work, if it is known.
        folder: Its name in commands, such as ``runs/NAME``.
    """

    kind: str
    name: str
    created: str
    status: str
    command: str
    version: str
    data: DatasetSummary
    backbones: tuple[Mapping[str, Any], ...]
    device: Mapping[str, Any]
    strategies: tuple[StrategyData, ...]
    config: str
    environment: Mapping[str, Any]
    verdict: Verdict | None = None
    predictions: Mapping[str, Predictions] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    requested: Mapping[str, Any] = field(default_factory=dict)
    split_hash: str = ""
    images: ShownImages = field(default_factory=ShownImages)
    folder: str = ""
    order: tuple[str, ...] = ()

    @property
    def majority_share(self) -> float | None:
        """Test accuracy of always predicting the most frequent class; None if it is unknown."""
        over_folds = self.verdict is not None and self.verdict.repeats[0] == "folds"
        return self.verdict.majority_share if self.verdict and over_folds else self.data.majority_share

    @property
    def baseline(self) -> float | None:
        """The metric that decides of ``target_metric.baseline``; None if it is unknown."""
        if self.metric == "accuracy":
            return self.majority_share
        return self.verdict.baseline if self.verdict else None

    @property
    def metric(self) -> str:
        """The metric that decides, a key of ``target_metric.NAMES``."""
        return requested_metric(self.requested)

    @property
    def metric_advice(self) -> str:
        """Why accuracy, which nobody asked for, is a bad choice for these classes; empty if it is not."""
        counts = Counter[str]()
        for split in self.data.counts.values():
            counts.update(split)
        return target_metric.advice(counts) if self.requested.get("metric", "auto") == "auto" else ""

    @property
    def finished(self) -> tuple[StrategyData, ...]:
        """The strategies that have test metrics."""
        return tuple(strategy for strategy in self.strategies if strategy.test)


def read_report_data(folder: Path) -> ReportData:
    """Read a run or comparison folder.

    Args:
        folder: Contains ``run.json``; a comparison has one run folder per strategy, named after it.

    Returns:
        A strategy without ``metrics.json`` has no scores.

    Raises:
        DataError: The folder has no ``run.json``, or one of a newer format.
        CorruptFile: A file in it is not what its name says.
    """
    info = artifacts.read_run_info(folder)
    details = info.details
    if info.kind == "comparison":
        runs = {name: folder / name for name in info.strategies}
    else:
        runs = {info.strategies[0] if info.strategies else info.name: folder}
    strategies = tuple(_strategy(path, name) for name, path in runs.items())
    config, environment = folder / "config.toml", folder / "environment.json"
    evaluation = evaluate_folder(folder)
    folds = evaluate_folds(folder, evaluation)
    strategies = tuple(replace(s, test=_scores(folds[s.name])) if s.name in folds else s for s in strategies)
    return ReportData(
        kind=info.kind,
        name=info.name,
        created=info.created,
        status=info.status,
        command=str(details.get("command") or ""),
        version=str(details.get("topwork") or ""),
        data=_dataset_summary(folder, info),
        backbones=tuple(details.get("backbones") or filter(None, [details.get("backbone")])),
        device=details.get("device") or {},
        strategies=strategies,
        config=storage.read_text(config) if config.is_file() else "",
        environment=storage.read_json(environment, "Environment") if environment.is_file() else {},
        verdict=evaluation.verdict,
        predictions=evaluation.predictions,
        curves=evaluation.curves,
        requested=details.get("config") or {},
        split_hash=storage.sha256_file(folder / "split.csv") if (folder / "split.csv").is_file() else "",
        images=read_shown_images(folder, evaluation.predictions),
        folder=_displayed(folder),
        order=tuple(details.get("order") or ()),
    )


def _displayed(folder: Path) -> str:
    """The name of a folder in commands, from the last parts of its path: a folder can be moved."""
    path, above = folder.absolute(), commands.resumable_folder(folder).absolute()
    top = above.parent.parent if above.parent.name == RUNS.name else above.parent
    return path.relative_to(top).as_posix()


def _strategy(folder: Path, name: str) -> StrategyData:
    status = artifacts.read_run_info(folder).status if (folder / "run.json").is_file() else "waiting"
    metrics = artifacts.read_metrics(folder)
    return StrategyData(
        name=name,
        status=status,
        test=_scores(metrics.get("test")),
        val=_scores(metrics.get("val")),
        costs=metrics.get("costs") or {},
        selection=metrics.get("selection") or {},
        decision=metrics.get("decision") or {},
        notes=tuple(metrics.get("notes") or ()),
        history=tuple(artifacts.read_history(folder / "history.jsonl")),
        cut_short=CutShort(**metrics["cut_short"]) if metrics.get("cut_short") else None,
    )


def _scores(value: Mapping[str, Any] | None) -> Scores | None:
    if not value:
        return None
    metrics = {
        name: Metric(entry.get("value"), entry.get("low"), entry.get("high"))
        for name, entry in value.items()
        if isinstance(entry, dict) and "value" in entry
    }
    rows = tuple(
        PerClass(row["class"], row.get("images", 0), row.get("precision"), row.get("recall"), row.get("f1"))
        for row in value.get("per_class") or ()
    )
    return Scores(value.get("images", 0), metrics, rows, tuple(tuple(row) for row in value.get("confusion") or ()))


def _dataset_summary(folder: Path, info: RunInfo) -> DatasetSummary:
    data = info.details.get("data") or {}
    counts = data.get("counts") or {}
    excluded = data.get("excluded")
    if excluded is None:
        rows = artifacts.read_manifest_rows(folder / "manifest.csv")
        excluded = [{"id": row.id, "reason": row.reason} for row in rows if row.status != "used"]
    return DatasetSummary(
        name=str(data.get("name") or info.name),
        images=data.get("images") or sum(sum(split.values()) for split in counts.values()),
        counts=counts,
        excluded=tuple((row.get("id", ""), row.get("reason", "")) for row in excluded or ()),
        converted=data.get("converted") or {},
        ignored=data.get("ignored") or {},
        license=data.get("license") or "",
        note=data.get("note") or "",
        split_note=data.get("split_note") or "",
        reading=data.get("reading") or "",
    )
