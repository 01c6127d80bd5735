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
Devices = Annotated[
    int | None, typer.Option(help="Processes that train together: one per GPU, or shares of the cores.  [default: 1]")
]
Parallel = Annotated[
    int | None,
    typer.Option("--parallel", help="Trainings at the same time: one per GPU, or shares of the cores.  [default: 1]"),
]
MaxRestarts = Annotated[
    int | None, typer.Option(help="How often a process that died is restarted from the last checkpoint.  [default: 0]")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Folder to write to.  [default: a new one in runs/]")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run that is in the output folder.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", "-c", help="TOML file of settings.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, e.g. finetune.lr=1e-4; may be repeated.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the requested configuration and stop.")]
LogTo = Annotated[list[str] | None, typer.Option(help="Log every epoch to: tensorboard; may be repeated.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]


def _version(requested: bool) -> None:
    if requested:
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
