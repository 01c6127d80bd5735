"""What to do after a training, with commands that name the real folder. Pure functions of ``ReportData``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from topwork.core import commands
from topwork.core.config import Config, validate
from topwork.core.errors import TopworkError
from topwork.evaluation.answer import main_result
from topwork.evaluation.verdict import PredictedGain
from topwork.evaluation.verdict_text import percentage_points
from topwork.report.report_data import ReportData


@dataclass(frozen=True)
class Step:
    """Something to do, a sentence, and its command, which may be empty."""

    text: str
    command: str = ""


def next_steps(data: ReportData) -> list[Step]:
    """What to do next; resuming first if not all strategies have finished."""
    steps, folder = [], Path(data.folder)
    if any(not s.test for s in data.strategies):
        name = "compare" if data.kind == "comparison" else "train"
        text = "If the training was stopped, continue it; what is finished stays as it is:"
        steps.append(Step(text, commands.command(name, "--resume", folder)))
    if not data.finished:
        return steps
    return [
        *steps,
        Step("Predict the class of new images:", commands.command("predict", folder, "new-images/")),
        Step("Try it in a browser:", commands.command("serve", folder)),
        Step("See what the network looks at:", commands.command("show", folder)),
        *_labels(data),
    ]


def _labels(data: ReportData) -> list[Step]:
    """Whether more labeled images would help, and the check of those there are."""
    steps = list[Step]()
    name = main_result(data.verdict).name if data.verdict else ""
    steps += [_more_labels(curve.gain) for curve in data.curves if curve.name == name]
    try:
        config = validate(Config, dict(data.requested))
    except TopworkError:  # of another version
        return steps
    return [*steps, Step("Look for wrong labels and duplicates in your images:", commands.check(config))]


def _more_labels(gain: PredictedGain) -> Step:
    """What twice as many labeled images would add."""
    interval = f"[{percentage_points(gain.low)}, {percentage_points(gain.high)}]"
    if round(gain.high, 3) <= 0:
        return Step("More labeled images would hardly help: the accuracy has stopped growing with their number.")
    if round(gain.value, 3) <= 0:
        return Step(f"More labeled images might not help: twice as many add {interval} percentage points.")
    helps = "would help" if gain.low > 0 else "might not help much"
    points = f"{percentage_points(gain.value)} percentage points {interval}"
    return Step(f"Label more images: twice as many {helps}, by about {points} of accuracy.")
