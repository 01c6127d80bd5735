"""``ReportData`` -> one HTML file: no script, no network, complete without the CSV files beside it.

Only here are templates known.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from topwork.core import storage
from topwork.core.artifacts import FORMAT
from topwork.evaluation import verdict_text as sentences
from topwork.evaluation.verdict_text import verdict_text
from topwork.report import charts, compared, figures, methods, verdict_charts, views, words
from topwork.report.differences import disagreements
from topwork.report.gather import ReportData, gather

_TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: Path) -> Path:
    """Make the report of a run or comparison folder from the files in it.

    Args:
        folder: A run folder or a comparison folder; it may be still under way.

    Returns:
        ``folder / "report.html"``; beside it lie ``figures/*.csv`` and, of a comparison, ``verdict.json``.

    Raises:
        DataError: The folder has no ``run.json``, or one of a newer format.
        DamagedFile: A file in it is not what its name says.
        StorageError: The folder cannot be written.
    """
    path, data = folder / "report.html", gather(folder)
    figures.write(folder, figures.tables(data))
    if data.kind == "comparison" and data.verdict:
        said = {"format": FORMAT, **data.verdict.to_json(), "sentences": verdict_text(data.verdict)}
        storage.write_json(folder / "verdict.json", said)
    storage.write_text(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as HTML text. Equal data give equal text.

    Everything that comes from data, class names above all, is escaped; a file name that is not Unicode is shown with
    replacement characters.
    """
    rows = views.class_rows(data.finished)
    believed = compared.calibrated(data)
    differing = compared.by_class(data)
    html = (
        environment()
        .get_template("report.html.j2")
        .render(
            r=data,
            title=_title(data),
            summary=words.summary(data),
            figure_names=views.figure_names(data),
            bars=views.bars(data.finished),
            accuracy_chart=Markup(charts.accuracy_chart(data.strategies, data.data.majority)),
            curves=[
                (
                    strategy,
                    i,
                    Markup(charts.loss_chart(strategy.name, strategy.history, i)),
                    Markup(charts.val_accuracy_chart(strategy.name, strategy.history, i)),
                )
                for i, strategy in enumerate(data.strategies)
                if strategy.history
            ],
            class_rows=rows,
            hardest=views.hardest(rows),
            reasons=views.reasons(data),
            tables=figures.tables(data),
            pair_matrix=compared.pair_matrix(data),
            believed=[(c, Markup(verdict_charts.reliability_chart(c))) for c in believed],
            coverage_chart=Markup(verdict_charts.coverage_chart(believed)),
            labels_chart=Markup(verdict_charts.labels_chart(data.curves, [s.name for s in data.strategies])),
            by_class=[(d, compared.said_of_classes(d)) for d in differing],
            most_different=compared.most_different(differing),
            disagreements=disagreements(data.predictions),
            methods=" ".join(methods.methods(data)) if data.finished else "",
            references=methods.references(data),
        )
    )
    return html.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _title(data: ReportData) -> str:
    if data.kind == "comparison":
        number = len(data.strategies)
        return f"{data.data.name}: {number} {'strategy' if number == 1 else 'strategies'} compared"
    return f"{data.data.name}: {data.strategies[0].name}"


@cache
def environment() -> Environment:
    """Templates with escaping on and the filters that all pages share."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=words.percent,
        percent_interval=words.percent_interval,
        number=words.number,
        number_interval=words.number_interval,
        count=words.count,
        seconds=words.seconds,
        plain=words.plain,
        matrix=views.matrix,
        pairs=views.confused_pairs,
        points=sentences.points,
        p_value=sentences.p_value,
        bytes=compared.bytes_said,
        peak=compared.peak_memory,
        signed=compared.signed,
    )
    return environment
