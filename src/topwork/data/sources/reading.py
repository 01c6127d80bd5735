"""How a folder or an archive may be read, and which way is taken: the one that the evidence speaks for, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from topwork.core import commands
from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import UsageError


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
    """One way of reading what lies there.

    Attributes:
        how: Where labels and splits come from, without a stop: ``"class folders under Training/ (train)"``.
        evidence: How sure it is.
        arguments: DATA and the options that take this reading and no other, for a command.
        list: Lists the images.
        why: What speaks for it, as an ambiguity is reported; may be empty.
    """

    how: str
    evidence: Evidence
    arguments: Sequence[str]
    list: Callable[[], Manifest]
    why: str = ""

    def command(self, config: DataConfig) -> str:
        """The command that takes this reading, with the other options of a configuration."""
        path, *options = self.arguments
        return commands.data_command(config, path, options, "compare")


@dataclass(frozen=True)
class Refused:
    """Something that is recognised and is no classification data set as it lies there.

    Attributes:
        problem: What it is and what to do, one or more sentences.
        evidence: How sure this is; a reading with more evidence is taken nevertheless.
    """

    problem: str
    evidence: Evidence


def choose(config: DataConfig, found: Iterable[Reading | Refused]) -> Reading:
    """The reading with the most evidence.

    Raises:
        UsageError: Two readings that give different labels or splits have the same evidence: the message has the
            command for each. Or what lies there is recognised and refused.
    """
    data, found = config.path, sorted(found, key=lambda reading: -reading.evidence)
    best = [reading for reading in found if reading.evidence == found[0].evidence]
    for refused in best:
        if isinstance(refused, Refused):
            raise UsageError(refused.problem)
    readings = [reading for reading in best if isinstance(reading, Reading)]
    if not readings:
        raise UsageError(f"{data} cannot be read: no image in it has a label.")
    if len(readings) > 1:
        listed = [reading.list() for reading in readings]
        if len({frozenset((row.id, row.label, row.split) for row in manifest.rows) for manifest in listed}) > 1:
            ways = "".join(
                f"\n  {n}. {reading.how}{f' ({reading.why})' if reading.why else ''}; {_classes(manifest)}:"
                f"\n     {reading.command(config)}"
                for n, (reading, manifest) in enumerate(zip(readings, listed, strict=True), 1)
            )
            raise UsageError(f"{data} can be read in {len(readings)} ways. Choose one by its command:{ways}")
    return readings[0]


FOLDER_REASONS = ("folder beside", "has no class folders", "a copy of", "images without a label", "belongs to")
MAX_NAMED = 8  # classes in the sentence about a reading


def describe(reading: Reading, manifest: Manifest) -> str:
    """What was understood, in a sentence: where labels come from, the classes, an example, how much is ignored."""
    first = next(iter(manifest.rows), None)
    parts = [reading.how, _classes(manifest), *([f"e.g. {first.id} -> {first.label}"] if first else [])]
    if manifest.ignored:
        folders = [name for name, reason in manifest.ignored.items() if reason.startswith(FOLDER_REASONS)][:3]
        named = ", ".join(f"{name}/ ({manifest.ignored[name]})" for name in folders)
        number = len(manifest.ignored)
        count = f"{number:,} other {'entry' if number == 1 else 'entries'}"
        parts.append(f"ignored: {count}, among them {named}" if named else f"ignored: {count}")
    return "; ".join(parts).encode("utf-8", "replace").decode()  # names of files may be no text


def _classes(manifest: Manifest) -> str:
    classes = sorted({row.label for row in manifest.rows})
    more = f" and {len(classes) - MAX_NAMED:,} more" if len(classes) > MAX_NAMED else ""
    return f"{len(classes):,} {'class' if len(classes) == 1 else 'classes'}: {', '.join(classes[:MAX_NAMED])}{more}"
