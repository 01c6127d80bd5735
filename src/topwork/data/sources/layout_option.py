"""The levels of folders as ``--layout`` says them."""

from __future__ import annotations

from topwork.data.file_tree import TreeFolder, join
from topwork.data.sources.class_folders import ClassFolder, Layout
from topwork.data.sources.reading import Evidence
from topwork.data.split_words import split_of


def layout_of(top: TreeFolder, levels: str) -> Layout:
    """The layout that ``--layout`` names, such as ``split/*/class``, or ``class/rgb`` with the name of a folder.

    Raises:
        ValueError: No such layout, or no folder is there; the message says what was expected.
    """
    parts = levels.strip("/").split("/")
    if not all(parts) or parts.count("class") != 1 or parts.count("split") > 1:
        raise ValueError(
            "expected are the words 'split', 'class' and '*' and names of folders, separated by /, with exactly one "
            "'class'"
        )
    reasons: dict[str, str] = {}
    rows = [ClassFolder(top, "")]
    for number, part in enumerate(parts):
        below = [(row, folder) for row in rows for folder in row.folder.folders]
        splits = split_of(dict.fromkeys(folder.name for _, folder in below)) if part == "split" else {}
        if part == "split" and below and not splits:
            names = ", ".join(list(dict.fromkeys(folder.name for _, folder in below))[:5])
            raise ValueError(f"no folder at level {number + 1} has the name of a split; the folders there are {names}")
        rows = []
        for row, folder in below:
            if part == "split" and folder.name not in splits:
                reasons[folder.path] = "folder beside train, val and test"
            elif part not in ("split", "class", "*", folder.name):
                reasons[folder.path] = f"folder beside {part}"
            else:
                label = folder.name if part == "class" else row.label
                rows.append(ClassFolder(folder, label, splits.get(folder.name, row.split)))
    if not any(row.folder.total for row in rows):
        names = ", ".join(join(folder.path, "") for folder in top.folders[:5]) or "none"
        raise ValueError(f"no folder {len(parts)} levels below it holds images; the folders in it are {names}")
    return Layout(f"folders as given by --layout {levels}", rows, Evidence.CERTAIN, reasons)
