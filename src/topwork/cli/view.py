"""The commands that inspect: check, report, show, models, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topwork.cli.app import DATA_HELP, AsJson, Open, Quiet, explicit, open_page, setting_options
from topwork.core.errors import UsageError
from topwork.core.options import OptionValue
from topwork.core.progress import print_text


@setting_options("data", "model", "weights", "seed", "device", "workers")
def check(
    data: Annotated[str, typer.Argument(help=DATA_HELP)],
    quick: Annotated[bool, typer.Option("--quick", help="Do not search for wrong labels; needs no network.")] = False,
    write_exclude: Annotated[
        Path | None, typer.Option(help="Write the images to exclude, for --exclude of compare and train.")
    ] = None,
    write_table: Annotated[
        Path | None, typer.Option(help="Write path, label and split of all images as a table, which is data too.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: runs/DATA-check]")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. data.splits=new; may be repeated.")
    ] = None,
    json: AsJson = False,
    open: Open = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Look for problems in images before training.

    Unreadable files, duplicates, leaks, groups, labels that look wrong.

    Exit status 0: no problems found; 4: problems found. Your files are not changed.

    Example: topwork check photos/ --write-exclude exclude.csv
    """
    from topwork.pipeline.check import EXIT_PROBLEMS, format_check
    from topwork.pipeline.check import check as run_check

    result = run_check(
        data, quick=quick, out=out, write_exclude=write_exclude, write_table=write_table, sets=sets or (),
        quiet=quiet, **explicit(options),
    )  # fmt: skip
    if json:
        import json as format

        print(format.dumps(result.as_dict(), indent=1))
    else:
        text = "\n".join([*format_check(result, reading=quiet), "", f"Page: {result.page}"])
        print_text(text)
        if write_exclude:
            print_text(f"Images to exclude ({len(result.excluded):,}): {write_exclude}")
        if write_table:
            print_text(f"Table of all images ({len(result.manifest.rows):,}): {write_table}")
    open_page(result.page, open)
    if result.problems:
        raise typer.Exit(EXIT_PROBLEMS)


def report(run: Annotated[Path, typer.Argument(help="Folder of a run or a comparison.")], open: Open = False) -> None:
    """Write the report of a run again and print its table."""
    from topwork.core.artifacts import read_run_info
    from topwork.pipeline.api import summary
    from topwork.report.render import write_report
    from topwork.report.results import Comparison, Run

    result = Comparison(run) if read_run_info(run).kind == "comparison" else Run(run)
    write_report(run)
    print_text(summary(result, next_command=False))
    open_page(result.report, open)


@setting_options("img_size", "device")
def show(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run or a comparison.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="Image; may be repeated.  [default: a few test images]")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Layer to show in detail, or 'all'; may be repeated.")] = None,
    label: Annotated[
        list[str] | None, typer.Option("--class", help="Class to explain as well; may be repeated.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Heatmaps: grad-cam, recipro-cam, integrated-gradients, occlusion.  [default: recipro-cam]"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="timm name of a backbone to inspect without a run.")] = None,
    weights: Annotated[str, typer.Option(help="For --model: 'pretrained', 'random' or a file.")] = "pretrained",
    photos: Annotated[int, typer.Option(min=1, max=12, help="Number of test images.")] = 4,
    sample: Annotated[int, typer.Option(min=30, help="Images of the data set to analyze.")] = 900,
    embedding: Annotated[str, typer.Option(help="Map of the images: tsne or umap.")] = "tsne",
    quick: Annotated[bool, typer.Option("--quick", help="Skip what needs the whole data set.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: explain/ in the run]")] = None,
    open: Open = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Show what every layer computes, and why a network decides so.

    One page on the networks of all strategies, for test images or your own.

    Example: topwork show runs/photos-compare-tf_efficientnet_lite0 --image car.jpg
    """
    from topwork.explain.show import show as show_run

    shown = show_run(
        run, image, model=model, weights=weights, out=out, quiet=quiet,
        layers=layer or (), classes=label or (), methods=method or (), photos=photos, sample=sample,
        embedding=embedding, quick=quick, **explicit(options),
    )  # fmt: skip
    print_text(f"Page: {shown.path}")
    open_page(shown.path, open)


def models(pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern with * and ?.")] = "*") -> None:
    """List the backbones with input, parameters and license.

    The input is the side of the images. If at most 30 models match, their parameters are counted, without the
    classifier. 'installed' is what needs no download. ImageNet accuracy and speed are not shown: timm comes without
    them.

    Example: topwork models convnext
    """
    from topwork.backbones.catalog import format_models, list_models

    found = list_models(pattern)
    if not found:
        raise UsageError(f"No model matches {pattern!r}. `topwork models` lists all.")
    print_text(format_models(found))


def doctor() -> None:
    """Print versions, devices, optional packages and what is missing."""
    from topwork.pipeline.doctor import check_installation

    lines, works = check_installation()
    print_text("\n".join(lines))
    if not works:
        raise typer.Exit(1)
