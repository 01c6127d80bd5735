"""The commands that look at what is there: report, show, runs, models, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topwork.cli.app import Quiet
from topwork.cli.shared_options import explicit, setting_options
from topwork.core.errors import UsageError
from topwork.core.options import OptionValue


def report(run: Annotated[Path, typer.Argument(help="Folder of a run or a comparison.")]) -> None:
    """Write the report of a run again and print its table."""
    from topwork.core.artifacts import read_run_info
    from topwork.report.render import write_report
    from topwork.report.results import Comparison, Run, format_verdict, table

    result = Comparison(run) if read_run_info(run).kind == "comparison" else Run(run)
    path = write_report(run)
    runs = [result] if isinstance(result, Run) else list(result)
    lines = [table([r for r in runs if (r.path / "metrics.json").is_file()]), ""]
    if isinstance(result, Comparison) and (verdict := format_verdict(result)):
        lines += [verdict, ""]
    print("\n".join([*lines, f"Report: {path}"]))


@setting_options("img_size", "device")
def show(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run or a comparison.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="Photo; may be repeated.  [default: a few test images]")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Show it in detail; 'all' for every one.")] = None,
    label: Annotated[list[str] | None, typer.Option("--class", help="Also explain this class.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Further class maps: grad-cam, recipro-cam, integrated-gradients, occlusion.  [default: recipro-cam]"
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="timm name: look into a bare backbone, without a run.")] = None,
    weights: Annotated[str, typer.Option(help="For --model: 'pretrained', 'random' or a file.")] = "pretrained",
    photos: Annotated[int, typer.Option(min=1, max=12, help="Test images to choose.")] = 4,
    sample: Annotated[int, typer.Option(min=30, help="Images of the data set to look at.")] = 900,
    embedding: Annotated[str, typer.Option(help="Map of the images: tsne or umap.")] = "tsne",
    quick: Annotated[bool, typer.Option("--quick", help="The photos only; nothing that needs the data set.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: explain/ in the run]")] = None,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """See every layer: what each strategy's network makes of photos, and why it decides as it does.

    Example: topwork show runs/photos-compare-tf_efficientnet_lite0 --image car.jpg
    """
    from topwork.explain.show import show as show_run

    shown = show_run(
        run, image, model=model, weights=weights, out=out, quiet=quiet,
        layers=layer or (), classes=label or (), methods=method or (), photos=photos, sample=sample,
        embedding=embedding, quick=quick, **explicit(options),
    )  # fmt: skip
    print(f"Page: {shown.path}")


def runs(folder: Annotated[Path, typer.Argument(help="Where to look.")] = Path("runs")) -> None:
    """List the runs in a folder, newest first."""
    from topwork.core.run_folders import list_runs

    found = list_runs(folder)
    if not found:
        print(f"There are no runs in {folder}. Start one: topwork compare DATA")
    for path, info in found:
        when, names = info.created[:16].replace("T", " "), ", ".join(info.strategies)
        print(f"{when}  {info.status:8} {info.kind:10}  {path}  ({names})")


def models(pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern with * and ?.")] = "*") -> None:
    """List the backbones and the licenses of their weights.

    Example: topwork models convnext
    """
    from topwork.backbones.build import list_models

    found = list_models(pattern)
    if not found:
        raise UsageError(f"No model matches {pattern!r}. `topwork models` lists all.")
    width = max(len(name) for name, _ in found)
    for name, license in found:
        print(f"{name:{width}}  {license}")


def doctor() -> None:
    """Print what this machine has and what is wrong with it."""
    from topwork.pipeline.doctor import check_installation

    lines, works = check_installation()
    print("\n".join(lines))
    if not works:
        raise typer.Exit(1)
