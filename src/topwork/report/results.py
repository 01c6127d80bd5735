"""What ``topwork.train`` and ``topwork.compare`` return: run folders, read lazily. Imports no torch."""

from __future__ import annotations

import textwrap
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from topwork.core import commands, run_folders
from topwork.core.artifacts import EpochRecord, read_history, read_metrics, read_run_info
from topwork.core.errors import DataError
from topwork.core.predictions import Predictions, read_predictions
from topwork.core.progress import aligned, duration

if TYPE_CHECKING:
    from topwork.evaluation.recommend import Recommendation
    from topwork.evaluation.verdict import Verdict
    from topwork.report.folder_evaluation import FolderEvaluation
    from topwork.report.plots import Figure


class Run:
    """The folder of one training of one strategy.

    Attributes:
        name: In a comparison: the strategy, or STRATEGY@MODEL where several backbones are compared.
        strategy, status, path: Of the run.

    Raises:
        DataError: The folder is not a run.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = run_folders.check_links(Path(path))
        info = read_run_info(self.path)
        if info.kind != "run":
            raise DataError(f"{path} is a {info.kind}, not a run; its runs are the folders in it.")
        self.strategy, self.status = info.strategies[0], info.status
        self.name = name or self.strategy
        self._requested: dict[str, Any] = info.details.get("config") or {}

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``: metrics on ``val`` and ``test`` with intervals, costs, selection."""
        if not (self.path / "metrics.json").is_file():
            raise DataError(f"{self.path} is not finished. Resume with: {commands.resume(self.path)}")
        return read_metrics(self.path)

    @cached_property
    def history(self) -> list[EpochRecord]:
        """The epochs; empty for a strategy without epochs."""
        return read_history(self.path / "history.jsonl")

    @cached_property
    def predictions(self) -> Predictions:
        """Scores and probabilities of every test image."""
        return read_predictions(self.path / "predictions.csv")

    @cached_property
    def metric(self) -> str:
        """The metric that decides, a key of ``target_metric.NAMES``."""
        from topwork.report.folder_recommendation import requested_metric

        return requested_metric(self._requested)

    @property
    def report(self) -> Path:
        """Path of ``report.html``."""
        return self.path / "report.html"

    def row(self, metric: str, test: dict[str, Any] | None = None) -> tuple[str, ...]:
        """A row of a table of results; test metrics other than its own are those over all folds."""
        test, costs = test or self.metrics.get("test") or {}, self.metrics.get("costs") or {}
        return (
            self.name,
            *_value_and_interval(metric, test),
            _value_and_interval(_beside(metric), test)[0],
            _training_time(costs),
            f"{costs.get('trained_parameters') or 0:,}",
        )

    def plot(self) -> Figure:
        """Losses and validation accuracy by epoch, if there are epochs, and the confusion matrix of the test images.

        >>> figure = Run(Path(run)).plot()
        >>> figure.savefig("run.png")
        """
        from topwork.evaluation.metrics import confusion_matrix
        from topwork.report.plots import plot_training

        predictions, history = self.predictions, self.history if (self.path / "history.jsonl").is_file() else []
        matrix = confusion_matrix(predictions.labels, predictions.predicted, len(predictions.classes))
        return plot_training(self.name, history, matrix, predictions.classes)

    def __repr__(self) -> str:
        return f"Run({self.name}, {self.status}, {self.path})"

    def _repr_html_(self) -> str:
        is_finished = (self.path / "metrics.json").is_file()
        return _html([self], self.path) + _picture(self.plot()) if is_finished else escape(repr(self))


class Comparison:
    """The folder of several runs on one split."""

    def __init__(self, path: Path) -> None:
        self.path = run_folders.check_links(Path(path))
        info = read_run_info(self.path)
        if info.kind != "comparison":
            raise DataError(f"{path} is a {info.kind}, not a comparison.")
        self.status, self.strategies = info.status, info.strategies
        self.runs = {
            name: Run(self.path / name, name) for name in info.strategies if (self.path / name / "run.json").is_file()
        }

    def __getitem__(self, strategy: str) -> Run:
        return self.runs[strategy]

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs.values())

    @property
    def metrics(self) -> dict[str, dict[str, Any]]:
        """Strategy to the content of its ``metrics.json``; with folds the test metrics are over all of them."""
        over_folds = self.test_over_folds
        return {
            name: run.metrics | ({"test": over_folds[name]} if name in over_folds else {})
            for name, run in self.runs.items()
        }

    @cached_property
    def test_over_folds(self) -> dict[str, dict[str, Any]]:
        """Strategy to its test metrics over all folds; empty without cross-validation."""
        from topwork.report.folder_evaluation import evaluate_folds

        return evaluate_folds(self.path, self._evaluation)

    @property
    def history(self) -> dict[str, list[EpochRecord]]:
        """Strategy to its epochs."""
        return {name: run.history for name, run in self.runs.items()}

    @property
    def report(self) -> Path:
        """Path of ``report.html``."""
        return self.path / "report.html"

    @cached_property
    def _evaluation(self) -> FolderEvaluation:
        from topwork.report.folder_evaluation import evaluate_folder

        return evaluate_folder(self.path)

    @property
    def verdict(self) -> Verdict | None:
        """Which strategy is better, by how much, and at what cost; None if none has finished."""
        return self._evaluation.verdict

    @cached_property
    def recommendation(self) -> Recommendation | None:
        """The strategy that the validation images choose, with the reasons; None if none has finished."""
        from topwork.report.folder_recommendation import recommend_in_folder

        return recommend_in_folder(self.path)

    def recommended_run(self) -> Run:
        """The run of the strategy that the validation images choose: the one that ``predict`` and ``serve`` use.

        Raises:
            DataError: No strategy has finished, or the run of this one is damaged.
        """
        if self.recommendation is None:
            raise DataError(f"No strategy in {self.path} has finished. Resume with: {commands.resume(self.path)}")
        if self.recommendation.name not in self.runs:
            raise DataError(f"{self.path / self.recommendation.name} has no run.json. Restore it or train again.")
        return self.runs[self.recommendation.name]

    def plot(self) -> Figure:
        """The metric that decides on the test images with its 95 % interval, and the training time, by strategy.

        Raises:
            DataError: No strategy has finished.
        """
        from topwork.evaluation import target_metric
        from topwork.report.folder_recommendation import run_seconds
        from topwork.report.plots import Bar, plot_bars

        runs, metric = self._finished(), self.recommended_run().metric
        found = [(run, (self.metrics[run.name].get("test") or {}).get(target_metric.key(metric)) or {}) for run in runs]
        bars = [
            Bar(run.name, value["value"], value.get("low"), value.get("high"), run_seconds(run.path))
            for run, value in found
            if value.get("value") is not None
        ]
        return plot_bars(bars, target_metric.NAMES[metric], target_metric.in_percent(metric))

    def _finished(self) -> list[Run]:
        return [run for run in self.runs.values() if (run.path / "metrics.json").is_file()]

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.runs)}, {self.status}, {self.path})"

    def _repr_html_(self) -> str:
        from topwork.evaluation.answer import answer

        if not self.verdict:
            return escape(repr(self))
        sentences = escape(" ".join(answer(self.verdict)))
        pictures = _picture(self.plot()) + _examples(self.path)
        return f"<p><b>{sentences}</b></p>{pictures}{_html(self._finished(), self.path, self.test_over_folds)}"


def _picture(figure: Figure) -> str:
    """A figure in a page of Jupyter, as an image, so that a dark page does not change its colors."""
    from topwork.report.plots import svg

    return f'<img style="max-width: 100%" src="data:image/svg+xml;base64,{b64encode(svg(figure).encode()).decode()}">'


def _examples(path: Path, limit: int = 8) -> str:
    """Some of the images that the report shows."""
    from topwork.report.thumbnails import data_url, read_thumbnails

    found = list(read_thumbnails(path).images.items())[:limit]
    images = (f'<img height="96" title="{escape(name)}" src="{data_url(jpeg)}">' for name, jpeg in found)
    return f"<p>{' '.join(images)}</p>"


def _training_time(costs: dict[str, Any]) -> str:
    """``42 s + 1 min 03 s features + 8 min 10 s search``."""
    parts = (("feature_seconds", " features"), ("tune_seconds", " search"))
    return " + ".join(
        [
            duration(costs.get("train_seconds") or 0.0),
            *(duration(costs[key]) + name for key, name in parts if costs.get(key)),
        ]
    )


def table(runs: list[Run], over_folds: Mapping[str, dict[str, Any]] | None = None) -> str:
    """The runs as aligned text; ``over_folds``: see ``Comparison.test_over_folds``."""
    rows = _rows(runs, over_folds)
    lines = aligned(rows, right=range(1, len(rows[0])))
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def format_verdict(comparison: Comparison, width: int = 100) -> str:
    """The verdict of a comparison as wrapped text, with a table of differences; empty if no strategy has finished."""
    from topwork.evaluation.answer import answer  # SciPy is not needed before the end
    from topwork.evaluation.verdict_text import cautions, join_names

    verdict = comparison.verdict
    if not verdict:
        return ""
    repeats, number = verdict.repeats
    notes = {
        "seeds": f"The table shows the first of {number} seeds.",
        "folds": f"The table is over {number} folds; training times are those of the first.",
    }
    names = {result.name for result in verdict.results}
    missing = [name for name in comparison.strategies if name not in names]
    lead = " ".join(answer(verdict))
    if missing:
        verb = "has" if len(missing) == 1 else "have"
        lead = f"So far: {lead} {join_names(missing)} {verb} not finished."
    texts = [notes.get(repeats, ""), lead, " ".join(cautions(verdict))]
    above, lead, below = (textwrap.fill(text, width, break_on_hyphens=False) for text in texts)
    return "\n\n".join(filter(None, [above, lead, _format_differences(verdict), below]))


def format_answer(run: Run, width: int = 100) -> str:
    """How good a run is on new images, as wrapped text; empty if it has not finished."""
    from topwork.evaluation.answer import answer  # SciPy is not needed before the end
    from topwork.report.folder_evaluation import evaluate_folder

    verdict = evaluate_folder(run.path).verdict
    return textwrap.fill(" ".join(answer(verdict)), width, break_on_hyphens=False) if verdict else ""


def _format_differences(verdict: Verdict) -> str:
    """The other strategies compared with the recommended one, as aligned text; empty without others."""
    from topwork.evaluation.answer import differences, main_result

    rows = [
        (d.name, d.difference, d.interval, d.p.removeprefix("p ").removeprefix("= "), d.conclusion, d.cost)
        for d in differences(verdict)
    ]
    if not rows:
        return ""
    p = "corrected p" if len(verdict.pairs) > 1 else "p"  # which can be 1 where the interval, of one pair, has no 0
    head = (f"compared with {main_result(verdict).name}", "better by", "95 % interval", p, "on the test images", "")
    lines = aligned([head, *rows], right=(1, 2, 3))
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def _rows(runs: list[Run], over_folds: Mapping[str, dict[str, Any]] | None) -> list[tuple[str, ...]]:
    """The heading and a row for each run, with the metric that decided first."""
    from topwork.evaluation import target_metric  # which loads SciPy

    metric = runs[0].metric if runs else "accuracy"
    names = metric, _beside(metric)
    heading = ("strategy", names[0], "95 % interval", names[1], "training time", "trained parameters")
    return [
        tuple(target_metric.NAMES.get(cell, cell) for cell in heading),
        *(run.row(metric, (over_folds or {}).get(run.name)) for run in runs),
    ]


def _beside(metric: str) -> str:
    """The metric that is shown beside the one that decided."""
    return "macro-f1" if metric == "accuracy" else "accuracy"


def _value_and_interval(metric: str, test: dict[str, Any]) -> tuple[str, str]:
    """``85.0%``, ``[80.1, 89.9]``; ``0.457``, ``[0.401, 0.520]``; ``-`` where it is not defined."""
    from topwork.evaluation import target_metric

    found = test.get(target_metric.key(metric)) or {"value": None}
    if found.get("value") is None:
        return "-", "-"
    scale, digits = (100, 1) if target_metric.in_percent(metric) else (1, 3)
    ends = [f"{scale * end:.{digits}f}" for end in (found.get("low"), found.get("high")) if end is not None]
    return target_metric.describe(metric, found["value"]), f"[{', '.join(ends)}]" if len(ends) == 2 else "-"


def _html(runs: list[Run], path: Path, over_folds: Mapping[str, dict[str, Any]] | None = None) -> str:
    heading, *rows = _rows(runs, over_folds)
    head = "".join(f"<th>{escape(name)}</th>" for name in heading)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{escape(str(path))}</p>"
