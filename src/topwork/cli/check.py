"""The command that looks at images before anything is trained: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topwork.cli.app import (
    AsJson,
    ClassNames,
    Crop,
    Device,
    Group,
    Label,
    LeaveOut,
    Model,
    Nested,
    Quiet,
    Seed,
    Source,
    Weights,
    Workers,
)


def check(
    data: Annotated[str, typer.Argument(help="Folder of class folders, table, tar shards, or name of a data set.")],
    quick: Annotated[bool, typer.Option("--quick", help="Do not look for wrong labels; needs no network.")] = False,
    write_exclude: Annotated[
        Path | None, typer.Option(help="Write what to leave out; --exclude of compare and train reads it.")
    ] = None,
    source: Source = None,
    group_by: Group = None,
    labels_from_path: Nested = False,
    crop_to_box: Crop = False,
    exclude: LeaveOut = None,
    label_key: Label = None,
    class_names: ClassNames = None,
    model: Model = None,
    weights: Weights = None,
    seed: Seed = None,
    device: Device = None,
    workers: Workers = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: runs/DATA-check]")] = None,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Look at images before training: unreadable files, duplicates, leaks, labels that look wrong.

    Exit status 0: nothing ought to be done; 4: something ought to. Nothing of yours is changed.

    Example: topwork check photos/ --write-exclude leave-out.csv
    """
    from topwork.pipeline.check import EXIT_PROBLEMS, format_check
    from topwork.pipeline.check import check as run_check

    result = run_check(
        data, quick=quick, out=out, write_exclude=write_exclude, quiet=quiet, source=source, group_by=group_by,
        labels_from_path=labels_from_path or None, crop_to_box=crop_to_box or None, exclude=exclude, model=model,
        weights=weights, seed=seed, device=device, workers=workers, label_key=label_key, class_names=class_names,
    )  # fmt: skip
    if json:
        import json as format

        print(format.dumps(result.as_dict(), indent=1))
    else:
        text = "\n".join([*format_check(result), "", f"Page: {result.page}"])
        print(text.encode("utf-8", "replace").decode())
        if write_exclude:
            print(f"Images to exclude ({len(result.excluded):,}): {write_exclude}")
    if result.problems:
        raise typer.Exit(EXIT_PROBLEMS)
