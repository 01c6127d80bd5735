"""The application itself, and the options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="topwork",
    help="Transfer learning on your own images: four strategies on one split, side by side, with honest intervals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 100},
)

Data = Annotated[str | None, typer.Argument(help="Folder of class folders, table, tar shards, or name of a data set.")]
Model = Annotated[str | None, typer.Option(help="timm name of the backbone.  [default: tf_efficientnet_lite0]")]
Weights = Annotated[str | None, typer.Option(help="'pretrained', or a .safetensors or .pth file.")]
Epochs = Annotated[int | None, typer.Option(help="Passes over the training images.")]
Minutes = Annotated[float | None, typer.Option(help="Time budget of a training, turned into whole epochs.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", "-b", help="Images per optimizer step.")]
Lr = Annotated[float | None, typer.Option(help="Peak learning rate.")]
WeightDecay = Annotated[float | None, typer.Option(help="Decoupled weight decay.")]
ImgSize = Annotated[int | None, typer.Option(help="Side of the input in pixels.")]
FreezeStages = Annotated[
    int | None, typer.Option(help="finetune: keep the stem and so many stages as pretrained, computed once.")
]
Seed = Annotated[int | None, typer.Option(help="Decides split, weights, order and augmentation.  [default: 0]")]
Seeds = Annotated[int | None, typer.Option(help="Train each strategy so many times, on the same split.")]
Folds = Annotated[int | None, typer.Option(help="Cross-validation: every image is tested once.")]
Tune = Annotated[int | None, typer.Option(help="Settings to try for each strategy, judged on val.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Devices = Annotated[
    int | None, typer.Option(help="Processes that train together: one a GPU, or shares of the cores.  [default: 1]")
]
AtOnce = Annotated[
    int | None,
    typer.Option("--parallel", help="Trainings at the same time: one a GPU, or shares of the cores.  [default: 1]"),
]
MaxRestarts = Annotated[
    int | None, typer.Option(help="How often a dead process starts again from the last checkpoint.  [default: 0]")
]
Workers = Annotated[int | None, typer.Option("--workers", "-j", help="Processes that decode images.")]
Precision = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
Patience = Annotated[int | None, typer.Option(help="Stop after so many epochs without a better one on val.")]
Source = Annotated[
    str | None,
    typer.Option(help="DATA is: auto, folder, table, webdataset, stanford-cars, hugging-face, elpv."),
]
Group = Annotated[
    str | None, typer.Option(help="Keep groups in one part: a table's column, 'folder', or a regex on the path.")
]
Nested = Annotated[bool, typer.Option("--labels-from-path", help="Class names are paths of folders.")]
Crop = Annotated[bool, typer.Option("--crop-to-box", help="Only the bounding box of each photograph.")]
LeaveOut = Annotated[Path | None, typer.Option(help="List of images to leave out (topwork check --write-exclude).")]
Label = Annotated[str | None, typer.Option(help="Of shards: where the label is: cls, txt, json or json:KEY.")]
ClassNames = Annotated[Path | None, typer.Option(help="Of shards: names of numbered classes, one a line.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write to.  [default: a new one in runs/]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in the output folder.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of settings.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. finetune.lr=1e-4; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the configuration that was asked for and stop.")]
Track = Annotated[list[str] | None, typer.Option(help="Tell every epoch to: tensorboard; may be repeated.")]
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
