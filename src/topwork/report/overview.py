"""The first screen of the report: the answer, example images, what to do next. Pure functions of ``ReportData``."""

from __future__ import annotations

from dataclasses import dataclass, replace

from topwork.evaluation.answer import answer, main_result
from topwork.evaluation.verdict_text import join_names
from topwork.report import image_choice
from topwork.report.image_choice import Cell, ShownPrediction
from topwork.report.next_steps import Step, next_steps
from topwork.report.report_data import ReportData, StrategyData
from topwork.report.shown_images import MAX_ERRORS


@dataclass(frozen=True)
class Overview:
    """The first screen.

    Attributes:
        answer: Sentences; empty if nothing has finished.
        waiting: Which strategies are not finished, a sentence; empty if all are.
        strategy: That the examples are of; empty without one.
        right, wrong: Examples of test images with thumbnails.
        n_right, n_wrong: Test images that it classifies correctly, and the others.
        steps: What to do next.
    """

    answer: tuple[str, ...]
    waiting: str
    strategy: str
    right: tuple[ShownPrediction, ...]
    wrong: tuple[ShownPrediction, ...]
    n_right: int
    n_wrong: int
    steps: tuple[Step, ...]


def overview(data: ReportData) -> Overview:
    """The first screen of a report."""
    name = main_result(data.verdict).name if data.verdict else data.finished[0].name if data.finished else ""
    predictions = data.predictions.get(name)
    right, wrong, correct, total = [], [], 0, 0
    if predictions is not None:
        right, wrong = image_choice.examples(predictions)
        correct, total = int((predictions.predicted == predictions.labels).sum()), len(predictions.ids)
    return Overview(
        _so_far(answer(data.verdict) if data.verdict else [], data),
        waiting(data),
        name,
        tuple(image for image in right if image.id in data.images.thumbnails),
        tuple(image for image in wrong if image.id in data.images.thumbnails),
        correct,
        total - correct,
        tuple(next_steps(data)),
    )


def _so_far(sentences: list[str], data: ReportData) -> tuple[str, ...]:
    """The answer, marked as preliminary while strategies are missing."""
    missing = sentences and any(not s.test for s in data.strategies)
    return (f"So far: {sentences[0]}", *sentences[1:]) if missing else tuple(sentences)


def waiting(data: ReportData) -> str:
    """Which strategies have not finished, in one or two sentences."""
    names = [s.name for s in data.strategies if not s.test]
    names.sort(key=lambda name: data.order.index(name) if name in data.order else 0)
    if not names:
        return ""
    verb = "has" if len(names) == 1 else "have"
    if data.status != "running":
        return f"{join_names(names)} {verb} not finished, so this report is incomplete."
    return f"{join_names(names)} {verb} not finished yet. This page is written again after each: reload it then."


def shown_cells(data: ReportData) -> list[tuple[StrategyData, dict[tuple[int, int], Cell]]]:
    """Strategies with a confusion matrix, and the cells of it that have images with thumbnails."""
    found = []
    for s in data.finished:
        if s.test is None or len(s.test.confusion) < 2:
            continue
        predictions, cells = data.predictions.get(s.name), dict[tuple[int, int], Cell]()
        for key, cell in image_choice.cells(predictions).items() if predictions is not None else ():
            images = tuple(image for image in cell.images if image.id in data.images.thumbnails)
            if images:
                cells[key] = replace(cell, images=images)
        found.append((s, cells))
    return found


def shown_errors(data: ReportData) -> list[tuple[StrategyData, list[ShownPrediction]]]:
    """The most confident mistakes of the strategies that make any."""
    found = [
        (s, image_choice.most_confident_errors(data.predictions[s.name], MAX_ERRORS))
        for s in data.finished
        if s.name in data.predictions
    ]
    return [(s, errors) for s, errors in found if errors]
