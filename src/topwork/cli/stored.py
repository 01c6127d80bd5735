"""The commands for what topwork has stored: runs, cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from topwork.core import run_folders
from topwork.core.errors import UsageError
from topwork.core.progress import print_text

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder of runs.")] = run_folders.RUNS,
    delete: Annotated[list[Path] | None, typer.Option(help="Delete this run or comparison; may be repeated.")] = None,
    yes: Yes = False,
) -> None:
    """List or delete runs.

    The newest is first. The accuracy of a comparison is that of its recommended strategy, on the test images.

    Example: topwork runs --delete runs/photos-compare-tf_efficientnet_lite0
    """
    from topwork.report.formatting import format_bytes
    from topwork.report.run_list import folder_size, format_runs, list_runs

    if delete:
        sizes = {run_folders.check_removable(path): folder_size(path) for path in delete}
        for path, size in sizes.items():
            print_text(f"{path}: {format_bytes(size)}")
        _confirm("Delete with all models and reports in it?", yes)
        for path in sizes:
            run_folders.delete_run(path)
        print_text(f"Deleted; {format_bytes(sum(sizes.values()))} are free.")
        return
    found, others = list_runs(folder), run_folders.unreadable_runs(folder)
    if found or not others:
        print_text(format_runs(found) if found else f"There are no runs in {folder}. The command compare makes them.")
    if others:
        print_text(f"Of another version of topwork, or damaged: {', '.join(map(str, others))}")


def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Delete everything in it.")] = False, yes: Yes = False
) -> None:
    """Show or clear the cache of features.

    Features are kept there so that they are computed only once. It is not cleared while a training uses it.
    The environment variable TOPWORK_CACHE chooses the folder.
    """
    from topwork.report.formatting import format_bytes
    from topwork.report.run_list import folder_size

    folder = run_folders.cache_folder()
    parts = {
        "features": (folder / "features", "network setting"),
        "copies of images that are no files": (folder / "datasets", "data set"),
        "indexes of archives": (folder / "shards", "archive"),
    }
    total = folder_size(folder)
    print_text(f"{folder}: {format_bytes(total)}")
    for name, (part, unit) in parts.items():
        if part.is_dir():
            count = sum(1 for _ in part.iterdir())
            print_text(f"  {name}: {format_bytes(folder_size(part))} of {count:,} {unit}{'s' if count != 1 else ''}")
    inspected = sum(1 for _ in folder.glob("images-*.json"))
    if inspected:
        print_text(f"  lists of inspected images: {inspected:,}")
    if clear and total:
        _confirm("Delete all of it? It is computed again when it is needed.", yes)
        run_folders.clear_cache()
        print_text("Cleared.")


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Deleting needs a confirmation, and there is no terminal to ask in. Add --yes.")
    if not typer.confirm(question):
        print_text("Nothing was deleted.")
        raise typer.Exit(1)
