"""The command that inspects images before anything is trained: check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from topwork.cli.app import AsJson, Quiet
from topwork.cli.shared_options import explicit, setting_options
from topwork.core.options import OptionValue


@setting_options("data", "model", "weights", "seed", "device", "workers")
def check(
    data: Annotated[str, typer.Argument(help="Folder of class folders, table, tar shards, or name of a data set.")],
    quick: Annotated[bool, typer.Option("--quick", help="Do not search for wrong labels; needs no network.")] = False,
    write_exclude: Annotated[
        Path | None, typer.Option(help="Write the images to exclude, for --exclude of compare and train.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder.  [default: runs/DATA-check]")] = None,
    json: AsJson = False,
    quiet: Quiet = False,
    **options: OptionValue,
) -> None:
    """Inspect images before training: unreadable files, duplicates, leaks, labels that look wrong.

    Exit status 0: no problems found; 4: problems found. Your files are not changed.

    Example: topwork check photos/ --write-exclude exclude.csv
    """
    from topwork.pipeline.check import EXIT_PROBLEMS, format_check
    from topwork.pipeline.check import check as run_check

    result = run_check(data, quick=quick, out=out, write_exclude=write_exclude, quiet=quiet, **explicit(options))
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
