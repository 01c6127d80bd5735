"""The command line: parse, make a configuration, one call, print. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from topwork.errors import DataError, TopworkError, UsageError

app = typer.Typer(
    name="topwork",
    help="Transfer learning on your own images: four strategies on one split, side by side, with honest intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)

Data = Annotated[str | None, typer.Argument(help="Folder of class folders, or the name of a data set (elpv).")]
Model = Annotated[str | None, typer.Option(help="timm name of the backbone.  [default: tf_efficientnet_lite0]")]
Weights = Annotated[str | None, typer.Option(help="'pretrained', or a .safetensors or .pth file.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training images.")]
Minutes = Annotated[float | None, typer.Option(help="Time budget of a training, turned into whole epochs.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", "-b", help="Images per optimizer step.")]
Lr = Annotated[float | None, typer.Option(help="Peak learning rate.")]
WeightDecay = Annotated[float | None, typer.Option(help="Decoupled weight decay.")]
ImgSize = Annotated[int | None, typer.Option(help="Side of the input in pixels.")]
Seed = Annotated[int | None, typer.Option(help="Decides split, weights, order and augmentation.  [default: 0]")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Workers = Annotated[int | None, typer.Option("--workers", "-j", help="Processes that decode images.")]
Precision = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
Patience = Annotated[int | None, typer.Option(help="Stop after so many epochs without a better one on val.")]
Source = Annotated[str | None, typer.Option(help="How to read DATA: auto, folder, stanford-cars, elpv.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write to.  [default: a new one in runs/]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in the output folder.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of settings.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. finetune.lr=1e-4; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the configuration that was asked for and stop.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"topwork {version('topwork')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Options before the command."""


def _flags(**given: Any) -> dict[str, Any]:
    """The settings among the parameters of a command, without those that were not given."""
    return {name: value for name, value in given.items() if value is not None}


def _print_result(result: Any, as_json: bool) -> None:
    from topwork.workflow import summary

    print(json.dumps({"path": str(result.path), "metrics": result.metrics}, indent=1) if as_json else summary(result))


def _dry(
    data: str | None, strategies: list[str] | None, config: Path | None, sets: list[str], flags: dict[str, Any]
) -> None:
    from topwork import config as configuration
    from topwork import options
    from topwork.execution import check
    from topwork.progress import choose

    asked = options.build(data, strategies, config, sets, **flags)
    check(asked, choose(quiet=True))
    print(configuration.to_toml(asked), end="")


@app.command()
def compare(
    data: Data = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only these; may be repeated.")] = None,
    model: Model = None,
    weights: Weights = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    weight_decay: WeightDecay = None,
    img_size: ImgSize = None,
    seed: Seed = None,
    device: Device = None,
    workers: Workers = None,
    precision: Precision = None,
    patience: Patience = None,
    source: Source = None,
    out: Out = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted comparison.")] = False,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    sets: Sets = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train all four strategies on one split and put them side by side.

    Example: topwork compare photos/
    """
    flags = _flags(
        model=model, weights=weights, epochs=epochs, minutes=minutes, batch_size=batch_size, lr=lr,
        weight_decay=weight_decay, img_size=img_size, seed=seed, device=device, workers=workers, precision=precision,
        patience=patience, source=source,
    )  # fmt: skip
    if dry_run:
        return _dry(data, strategy, config, sets or [], flags)
    from topwork import workflow

    result = workflow.compare(
        data, strategies=strategy, out=out, resume=resume, overwrite=overwrite, config=config, sets=sets or [],
        quiet=quiet, **flags,
    )  # fmt: skip
    _print_result(result, json)


@app.command()
def train(
    data: Data = None,
    strategy: Annotated[
        str | None, typer.Option(help="scratch, mlp, linear, svm or finetune.  [default: finetune]")
    ] = None,
    model: Model = None,
    weights: Weights = None,
    epochs: Epochs = None,
    minutes: Minutes = None,
    batch_size: BatchSize = None,
    lr: Lr = None,
    weight_decay: WeightDecay = None,
    img_size: ImgSize = None,
    seed: Seed = None,
    device: Device = None,
    workers: Workers = None,
    precision: Precision = None,
    patience: Patience = None,
    source: Source = None,
    out: Out = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run; everything is taken from it.")] = None,
    overwrite: Overwrite = False,
    config: ConfigFile = None,
    sets: Sets = None,
    dry_run: DryRun = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train one strategy.

    Example: topwork train photos/ --strategy finetune
    """
    flags = _flags(
        model=model, weights=weights, epochs=epochs, minutes=minutes, batch_size=batch_size, lr=lr,
        weight_decay=weight_decay, img_size=img_size, seed=seed, device=device, workers=workers, precision=precision,
        patience=patience, source=source,
    )  # fmt: skip
    if dry_run:
        return _dry(data, [strategy or "finetune"], config, sets or [], flags)
    from topwork import workflow

    result = workflow.train(
        data,
        strategy,
        out=out,
        resume=resume,
        overwrite=overwrite,
        config=config,
        sets=sets or [],
        quiet=quiet,
        **flags,
    )
    _print_result(result, json)


@app.command()
def demo(
    out: Out = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted demo.")] = False,
    overwrite: Overwrite = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare the strategies on photographs of solar cells.

    2,624 photographs from the package elpv-dataset (extra 'demo'); under ten minutes on two CPU cores.
    """
    from topwork import workflow

    result = workflow.compare(
        "elpv", source="elpv", out=out, seed=seed, resume=resume, overwrite=overwrite, quiet=quiet
    )
    _print_result(result, json)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="Folder of a run or a comparison.")]) -> None:
    """Write the report of a run anew and print its table."""
    from topwork.artifacts import read_run_info
    from topwork.report.render import write_report
    from topwork.results import Comparison, Run, table

    result = Comparison(run) if read_run_info(run).kind == "comparison" else Run(run)
    path = write_report(run)
    runs = [result] if isinstance(result, Run) else list(result)
    print(f"{table([r for r in runs if (r.path / 'metrics.json').is_file()])}\n\nReport: {path}")


@app.command()
def show(
    run: Annotated[Path | None, typer.Argument(help="Folder of a run or a comparison.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(help="Photo; may be repeated.  [default: a few test images]")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(help="Show it in detail; 'all' for every one.")] = None,
    label: Annotated[list[str] | None, typer.Option("--class", help="Also explain this class.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="Further class maps: recipro, integrated-gradients, occlusion.  [default: recipro]"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="timm name: look into a bare backbone, without a run.")] = None,
    weights: Annotated[str, typer.Option(help="For --model: 'pretrained', 'random' or a file.")] = "pretrained",
    img_size: ImgSize = None,
    photos: Annotated[int, typer.Option(min=1, max=12, help="Test images to choose.")] = 4,
    sample: Annotated[int, typer.Option(min=30, help="Images of the data set to look at.")] = 900,
    embedding: Annotated[str, typer.Option(help="Map of the images: tsne or umap.")] = "tsne",
    quick: Annotated[bool, typer.Option("--quick", help="The photos only; nothing that needs the data set.")] = False,
    device: Device = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: explain/ in the run]")] = None,
    quiet: Quiet = False,
) -> None:
    """See every layer: what each strategy's network makes of photos, and why it decides as it does.

    Example: topwork show runs/photos-compare-tf_efficientnet_lite0 --image car.jpg
    """
    from topwork.explain.show import show as look

    shown = look(
        run, image, model=model, weights=weights, img_size=img_size, device=device or "auto", out=out, quiet=quiet,
        layers=layer or (), classes=label or (), methods=method or (), photos=photos, sample=sample,
        embedding=embedding, quick=quick,
    )  # fmt: skip
    print(f"Page: {shown.path}")


@app.command()
def runs(folder: Annotated[Path, typer.Argument(help="Where to look.")] = Path("runs")) -> None:
    """List the runs in a folder, newest first."""
    from topwork.folders import list_runs

    found = list_runs(folder)
    if not found:
        print(f"There are no runs in {folder}. Start one: topwork compare DATA")
    for path, info in found:
        when, names = info.created[:16].replace("T", " "), ", ".join(info.strategies)
        print(f"{when}  {info.status:8} {info.kind:10}  {path}  ({names})")


@app.command()
def models(pattern: Annotated[str, typer.Argument(help="Part of a name, or a pattern with * and ?.")] = "*") -> None:
    """List the backbones and the licences of their weights.

    Example: topwork models convnext
    """
    from topwork.backbones import list_models

    found = list_models(pattern)
    if not found:
        raise UsageError(f"No model matches {pattern!r}. `topwork models` lists all.")
    width = max(len(name) for name, _ in found)
    for name, license in found:
        print(f"{name:{width}}  {license}")


@app.command()
def doctor() -> None:
    """Print what this machine has and what is wrong with it."""
    from topwork.doctor import examine

    lines, sound = examine()
    print("\n".join(lines))
    if not sound:
        raise typer.Exit(1)


_HINTS = {
    "--batch": "--batch-size", "--bs": "--batch-size", "--imgsz": "--img-size", "--output-dir": "--out",
    "--output_dir": "--out", "--save_dir": "--out", "--save-dir": "--out", "--learning-rate": "--lr", "--name": "--out",
}  # fmt: skip


def main() -> NoReturn:
    """The entry point: every error is one line and an exit status; ``--debug`` shows the traceback."""
    debug = "--debug" in sys.argv
    if debug:  # allowed anywhere on the line
        sys.argv.remove("--debug")
    for word in sys.argv[1:]:
        if word.split("=")[0] in _HINTS:
            _fail(UsageError(f"There is no option {word}; did you mean {_HINTS[word.split('=')[0]]}?"), debug)
    try:
        app()
    except TopworkError as error:
        _fail(error, debug)
    except KeyboardInterrupt:
        print("Stopped at once; what was reported as saved is saved.", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _fail(DataError(f"{error.strerror or error}{where}. Check that path, or use --debug for details."), debug)
    except Exception as error:  # a fault of ours: one line all the same, and how to see more
        reason = str(error).splitlines()[0] if str(error) else ""
        _fail(
            TopworkError(f"Unexpected {type(error).__name__}: {reason}. Run it again with --debug and report it."),
            debug,
        )
    sys.exit(0)


def _fail(error: TopworkError, debug: bool) -> NoReturn:
    if debug:
        import traceback

        traceback.print_exc()
    line = " ".join(str(error).split()).encode("utf-8", "replace").decode()
    print(f"Error: {line}" if error.exit_status < 128 else line, file=sys.stderr, flush=True)
    sys.exit(error.exit_status)
