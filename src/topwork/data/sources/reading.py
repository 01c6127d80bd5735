"""The ways in which data can be read, and the choice between them: by evidence, or by asking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from topwork.core import commands
from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import UsageError
from topwork.data.file_tree import FileTree


class Evidence(IntEnum):
    """How sure a reading is."""

    POSSIBLE = 1
    """Nothing speaks against it."""
    LIKELY = 2
    """Names speak for it: class folders under train and test."""
    CERTAIN = 3
    """Two things agree: a table that names the images, the files of a known data set."""


@dataclass(frozen=True)
class Reading:
    """One way of reading the data.

    Attributes:
        how: Where labels and splits come from, without a stop: ``"class folders under Training/ (train)"``.
        evidence: How sure it is.
        arguments: DATA and the options that take this reading and no other, for a command.
        list: Lists the images; ``manifest`` has the result.
        why: What speaks for it, as an ambiguity is reported; may be empty.
    """

    how: str
    evidence: Evidence
    arguments: Sequence[str]
    list: Callable[[], Manifest]
    why: str = ""

    @cached_property
    def manifest(self) -> Manifest:
        """All images, listed once."""
        return self.list()

    def command(self, config: DataConfig) -> str:
        """The command that takes this reading, with the other options of a configuration."""
        path, *options = self.arguments
        return commands.data_command(config, path, options)


@dataclass(frozen=True)
class Refused:
    """Data that are recognised, but are no data set for classification as they are.

    Attributes:
        problem: What it is and what to do, one or more sentences; or what writes them, if that takes time.
        evidence: How sure this is; a reading with more evidence is taken nevertheless.
    """

    problem: str | Callable[[], str]
    evidence: Evidence

    @property
    def message(self) -> str:
        """The problem."""
        return self.problem if isinstance(self.problem, str) else self.problem()


def choose(config: DataConfig, found: Iterable[Reading | Refused]) -> Reading:
    """The reading with the most evidence.

    Raises:
        UsageError: Two readings that give different labels or splits have the same evidence: the message has the
            command for each. Or the data are recognised and refused.
    """
    data, found = config.path, sorted(found, key=lambda reading: -reading.evidence)
    best = [reading for reading in found if reading.evidence == found[0].evidence]
    for refused in best:
        if isinstance(refused, Refused):
            raise UsageError(refused.message)
    readings = [reading for reading in best if isinstance(reading, Reading)]
    if not readings:
        raise UsageError(
            f"{data} cannot be read: no image in it has a label. Put the images of each class into a folder of its "
            "own, or pass a table with the columns path and label."
        )
    if len(readings) > 1 and len({_assigned(reading) for reading in readings}) > 1:
        ways = "".join(
            f"\n  {n}. {reading.how}{f' ({reading.why})' if reading.why else ''}; {_classes(reading.manifest)}:"
            f"\n     {reading.command(config)}"
            for n, reading in enumerate(readings, 1)
        )
        raise UsageError(f"{data} can be read in {len(readings)} ways. Run the command for the right one:{ways}")
    return readings[0]


def _assigned(reading: Reading) -> frozenset[tuple[str, str, str]]:
    return frozenset((row.id, row.label, row.split) for row in reading.manifest.rows)


MAX_NAMED = 8  # classes in the sentence about a reading


def describe(reading: Reading, manifest: Manifest, tree: FileTree | None) -> str:
    """What was understood, in a sentence: where labels come from, the classes, an example, how much is ignored.

    Args:
        reading: That was chosen.
        manifest: Its images, after the options of the data.
        tree: In which the ignored folders with images are found, to be named.
    """
    first = next(iter(manifest.rows), None)
    parts = [reading.how, _classes(manifest), *([f"e.g. {first.id} -> {first.label}"] if first else [])]
    if manifest.ignored:
        inside = tree.folders if tree else {}
        folders = [path for path in manifest.ignored if path in inside and inside[path].total][:3]
        named = ", ".join(f"{name}/ ({manifest.ignored[name]})" for name in folders)
        number = len(manifest.ignored)
        count = f"{number:,} other {'file or folder' if number == 1 else 'files or folders'}"
        parts.append(f"ignored: {count}, such as {named}" if named else f"ignored: {count}")
    return "; ".join(parts).encode("utf-8", "replace").decode()  # names of files may be no text


def _classes(manifest: Manifest) -> str:
    classes = sorted({row.label for row in manifest.rows})
    more = f" and {len(classes) - MAX_NAMED:,} more" if len(classes) > MAX_NAMED else ""
    return f"{len(classes):,} {'class' if len(classes) == 1 else 'classes'}: {', '.join(classes[:MAX_NAMED])}{more}"
