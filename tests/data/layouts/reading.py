"""What topwork makes of a layout: the images it lists, or its message and what the commands in it list."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.data.layouts import Read, Refused, Rows
from typer.main import get_command

from topwork.cli import app
from topwork.cli.app import explicit
from topwork.cli.entry import shown
from topwork.core.artifacts import Manifest
from topwork.core.config import Config, DataConfig
from topwork.core.errors import TopworkError
from topwork.core.options import option_names
from topwork.data.sources import list_images
from topwork.pipeline.configure import build

_COMMAND = re.compile(
    r"(?:topwork (?:check|compare|train)|python -c|mkdir|tar -?x|gunzip|unzip) [^`\n]*?"
    r"(?=`|\n|$|[;,.)]? (?:or |and )?topwork )"
)


def rows_of(manifest: Manifest, root: Path) -> Rows:
    """Path below the root, to label and split."""
    found = {os.path.relpath(str(row.ref), root).replace(os.sep, "/"): (row.label, row.split) for row in manifest.rows}
    assert len(found) == len(manifest.rows) == len({row.id for row in manifest.rows}), "an image is listed twice"
    return found


def difference(manifest: Manifest, right: Read, root: Path) -> str:
    """In what the listed images differ from the right ones; empty if in nothing."""
    found = rows_of(manifest, root)
    renamed = [{}, right.names] if right.names else [{}]
    names = next((names for names in renamed if _labels(found) <= {names.get(x, x) for x in _right_labels(right)}), {})
    if right.counts:
        expected = Counter({(names.get(label, label), split): n for (label, split), n in right.counts.items()})
        if _unsplit(expected) != _unsplit(Counter(found.values())):
            return f"listed {dict(Counter(found.values()))}, right is {dict(expected)}"
    else:
        rows = {path: (names.get(label, label), split) for path, (label, split) in right.rows.items()}
        if _unsplit(Counter(rows.values())) != _unsplit(Counter(found.values())) or _plain(rows) != _plain(found):
            wrong = [f"{path}: {found.get(path)}, right is {rows.get(path)}" for path in sorted({*rows, *found})
                     if found.get(path) != rows.get(path)]  # fmt: skip
            return f"{len(found)} listed, {len(rows)} right; " + "; ".join(wrong[:6])
    said = "\n".join([*manifest.ignored, *manifest.ignored.values(), manifest.full_note])
    return "".join(f"nothing says that {word} is ignored; " for word in right.ignored if word not in said)


def _labels(rows: Rows) -> set[str]:
    return {label for label, _ in rows.values()}


def _right_labels(right: Read) -> set[str]:
    return {label for label, _ in right.counts or right.rows.values()}


def _unsplit(counts: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Images that are all for training are in no split: both mean that splits are yet to be made."""
    if {split for _, split in counts} <= {"train"}:
        return Counter({(label, ""): n for (label, _), n in counts.items()})
    return counts


def _plain(rows: Rows) -> Rows:
    return {path: (label, "") for path, (label, _) in rows.items()} if len({s for _, s in rows.values()}) < 2 else rows


def commands_in(message: str) -> Iterator[list[str]]:
    """The words of each command that a message shows."""
    for found in _COMMAND.finditer(message):
        text = re.sub(r"(?:[;,.)]|\s+(?:or|and|then|&&))+$", "", found.group().strip())
        yield from map(shlex.split, filter(None, text.split("&&")))


@cache
def _commands() -> dict[str, Any]:
    return vars(get_command(app))["commands"]


def parse(words: list[str]) -> Config:
    """The configuration that the command line makes of a command for images."""
    command = _commands()[words[1]]
    try:
        params = command.make_context(words[1], words[2:]).params
    except Exception as error:  # the classes of what typer raises are private to it
        raise AssertionError(f"the command line does not take {shlex.join(words)}: {error}") from error
    options = {name: value for name, value in params.items() if name in option_names("data")}
    return build(params["data"], ["svm"], None, params.get("sets") or (), explicit(options))


def wrong_reading(data: Path, options: dict[str, str], allowed: tuple[Read | Refused, ...], root: Path) -> str:
    """What is wrong with how topwork reads data; empty if nothing is.

    A run records the source, with which a resume lists the images again.
    """
    try:
        manifest = list_images(DataConfig.model_validate({"path": str(data), **options}))
        again = list_images(DataConfig.model_validate({"path": str(data), **options, "source": manifest.source}))
        if rows_of(again, root) != rows_of(manifest, root):
            return f"a resume reads other images: {again.reading}"
    except TopworkError as error:
        refusals = [right for right in allowed if isinstance(right, Refused)]
        if not refusals:
            return f"refused: {error}"
        return min((wrong_refusal(shown(error), right, root) for right in refusals), key=len)
    readings = [right for right in allowed if isinstance(right, Read)]
    if not readings:
        return f"silently read as {dict(Counter(rows_of(manifest, root).values()))}"
    return min((difference(manifest, right, root) for right in readings), key=len)


def wrong_refusal(message: str, right: Refused, root: Path) -> str:
    """What is wrong with a message and its commands; empty if nothing is."""
    missing = [word for word in right.must_say if word.lower() not in message.lower()]
    if missing:
        return f"the message does not say {missing}: {message}"
    commands = list(commands_in(message))
    for words in commands:
        if words[0] == "topwork":
            parse(words)
    if not right.reading_after:
        return ""
    problems = []
    for words in commands:
        if words[0] != "topwork":
            subprocess.run(words, cwd=root, check=True)
            continue
        try:
            manifest = list_images(parse(words).data)
        except TopworkError as error:
            problems.append(f"{shlex.join(words)}: {error}")
            continue
        found = [difference(manifest, reading, root) for reading in right.reading_after]
        if "" in found:
            return ""
        problems.append(f"{shlex.join(words)}: {min(found, key=len)}")
    return f"no command in the message gives the right reading: {message}\n" + "\n".join(problems)
