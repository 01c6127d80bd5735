"""``ReportData`` -> one HTML file: no script, no network, complete without the CSV files next to it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from topwork.core import run_folders, storage
from topwork.core.artifacts import FORMAT
from topwork.core.names import strategies_of
from topwork.core.progress import redact
from topwork.evaluation import target_metric, verdict_text
from topwork.evaluation.answer import answer
from topwork.report import (
    charts,
    comparison_views,
    csv_tables,
    formatting,
    image_choice,
    methods_text,
    overview,
    table_views,
)
from topwork.report.report_data import ReportData, read_report_data
from topwork.report.strategy_differences import disagreements

TEMPLATES = Path(__file__).parent / "templates"


def write_report(folder: Path, status: str = "") -> Path:
    """Make the report of a run or comparison folder from the files in it.

    Args:
        folder: A run folder or a comparison folder; it may be unfinished.
        status: That it will have when the report is there; empty: that of ``run.json``.

    Returns:
        ``folder / "report.html"``; next to it ``tables/*.csv``, ``paper.md`` and ``paper.svg`` and, for a comparison,
        ``verdict.json``.

    Raises:
        DataError: The folder has no ``run.json``, or one of a newer format.
        CorruptFile: A file in it is not what its name says.
        StorageError: The folder cannot be written.
    """
    path, data = folder / "report.html", read_report_data(run_folders.check_links(folder))
    data = replace(data, status=status or data.status)
    for name, (columns, rows) in csv_tables.tables(data).items():
        plain = ([redact(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
        storage.write_csv(folder / "tables" / f"{name}.csv", columns, plain)
    if data.kind == "comparison" and data.verdict:
        sentences = verdict_text.verdict_sentences(data.verdict)
        verdict = {
            "format": FORMAT, **data.verdict.to_json(), "answer": answer(data.verdict), "sentences": sentences
        }  # fmt: skip
        storage.write_json(folder / "verdict.json", verdict)
    if data.finished:
        figure = charts.metric_chart(data.strategies, data.baseline, data.metric)
        storage.write_text(folder / "paper.svg", replace_surrogates(charts.standalone(figure)))
        storage.write_text(folder / "paper.md", replace_surrogates(redact(methods_text.paper(data))))
    storage.write_text(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as HTML text. Equal data give equal text.

    Everything that comes from the data set, such as class names, is escaped.
    """
    rows = table_views.class_rows(data.finished)
    calibration = comparison_views.calibration_views(data)
    class_differences = comparison_views.by_class(data)
    return render_template(
        "report.html.j2",
        r=data,
        title=_title(data),
        o=overview.overview(data),
        overview_chart=Markup(charts.overview_chart(data.strategies, data.baseline, data.metric)),
        numbers={image: number for number, image in enumerate(data.images.thumbnails)},
        confusion=overview.shown_cells(data),
        errors=overview.shown_errors(data),
        max_with_neighbours=image_choice.MAX_ERRORS_WITH_NEIGHBOURS,
        largest_class=_largest_class(data),
        chosen=[s for s in data.finished if s.selection or s.notes],
        summary=verdict_text.verdict_sentences(data.verdict) if data.verdict else [],
        metric_names=table_views.metric_names(data),
        bars=table_views.bars(data.finished, data.metric),
        metric_key=target_metric.key(data.metric),
        metric_name=target_metric.NAMES[data.metric],
        baseline=target_metric.describe_baseline(data.metric),
        curves=[
            (
                s,
                i,
                Markup(charts.loss_chart(s.name, s.history, i)),
                Markup(charts.val_accuracy_chart(s.name, s.history, i)),
            )
            for i, s in enumerate(data.strategies)
            if s.history
        ],
        class_rows=rows,
        hardest=table_views.hardest(rows),
        reasons=Counter(reason or "no reason given" for _, reason in data.data.excluded).most_common(),
        tables=csv_tables.tables(data),
        pair_matrix=comparison_views.pair_matrix(data),
        calibration=[(c, Markup(charts.reliability_chart(c))) for c in calibration],
        coverage_chart=Markup(charts.coverage_chart(calibration)),
        data_size_chart=Markup(charts.data_size_chart(data.curves, [s.name for s in data.strategies])),
        by_class=[(d, comparison_views.describe_class_differences(d)) for d in class_differences],
        most_different=comparison_views.most_different(class_differences),
        disagreements=disagreements(data.predictions),
        choices=methods_text.choices(data),
        methods=" ".join(methods_text.methods(data)) if data.finished else "",
        references=methods_text.references(data),
    )


def _largest_class(data: ReportData) -> int:
    """Images of the largest class in all splits; at least 1."""
    counts = [sum(split.get(name, 0) for split in data.data.counts.values()) for name in data.data.classes]
    return max([1, *counts])


def _title(data: ReportData) -> str:
    if data.kind == "comparison":
        number, backbones = len(strategies_of(s.name for s in data.strategies)), len(data.backbones)
        on = f" on {backbones} backbones" if backbones > 1 else ""
        return f"{data.data.name}: {number} {'strategy' if number == 1 else 'strategies'}{on} compared"
    return f"{data.data.name}: {data.strategies[0].name}"


def render_template(name: str, **values: Any) -> str:
    """A page as HTML text, in which characters that are not Unicode are shown as replacement characters."""
    return replace_surrogates(redact(_environment().get_template(name).render(values)))


def replace_surrogates(text: str) -> str:
    """The text with replacement characters instead of surrogates, which stand for undecodable bytes of file names."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        formatting.percent, formatting.percent_interval, formatting.number, formatting.number_interval,
        formatting.count, formatting.format_duration, formatting.format_value, formatting.format_bytes,
        formatting.format_signed, table_views.most_confused, verdict_text.percentage_points, verdict_text.p_value,
        formatting.metric_cell, formatting.metric_interval, formatting.metric_difference,
    )  # fmt: skip
    environment.filters.update({function.__name__: function for function in filters})
    return environment
