"""``check``: inspect a data set before training and report its problems; the user's files are not changed.

images -> manifest -> findings -> (features -> labels that look wrong) -> check.json, check.html
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from topwork.core import commands, folder_lock, run_folders, storage
from topwork.core.artifacts import Manifest, Splits
from topwork.core.config import Config
from topwork.core.errors import TopworkError
from topwork.core.names import slug
from topwork.core.options import OptionValue
from topwork.core.progress import make_progress, redact
from topwork.core.signals import Signals
from topwork.data import label_table
from topwork.data.findings import Finding, find_issues, images_to_exclude
from topwork.data.manifest import build_manifest
from topwork.data.splits import given_split
from topwork.pipeline import configure
from topwork.pipeline.held_out import load_features
from topwork.pipeline.label_issues import find_label_issues
from topwork.pipeline.unnamed_groups import find_unnamed_groups
from topwork.report.check_page import ExcludeCommands, image_strips, write_page

EXIT_PROBLEMS = 4
EXCLUDE_FILE = "exclude.csv"
MAX_PRINTED_GROUPS, MAX_PRINTED_IMAGES = 3, 4


@dataclass(frozen=True)
class Check:
    """The result of ``topwork.check``.

    Attributes:
        path: Folder with ``check.json`` and ``check.html``.
        manifest: All images.
        splits: The splits that the data come with; None if they come without.
        findings: The most serious first.
        excluded: Image and reason, for each image that should be excluded from training.
        notes: What was not checked, and why.
        data_path: Where the images are, without credentials.
    """

    path: Path
    manifest: Manifest
    splits: Splits | None
    findings: tuple[Finding, ...]
    excluded: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    data_path: str = ""

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that need action."""
        return tuple(finding for finding in self.findings if finding.problem)

    @property
    def page(self) -> Path:
        """The page with thumbnails."""
        return self.path / "check.html"

    def _repr_html_(self) -> str:
        """Some images of each class, and the lines that the command prints."""
        lines = escape("\n".join(format_check(self)))
        return f"{image_strips(self.manifest)}<pre>{lines}</pre><p>{escape(str(self.page))}</p>"

    def as_dict(self) -> dict[str, Any]:
        """The content of ``check.json``."""
        rows = self.manifest.used
        sides = sorted(min(row.width, row.height) for row in rows) or [0]
        return {
            "format": 2,
            "data": self.manifest.name,
            "path": self.data_path,
            "reading": self.manifest.reading,
            "images": len(self.manifest.rows),
            "used": len(rows),
            "classes": dict(sorted(Counter(row.label for row in rows).items())),
            "splits": {split: len(ids) for split, ids in self.splits.ids.items()} if self.splits else {},
            "shorter_side": {"min": sides[0], "median": sides[len(sides) // 2], "max": sides[-1]},
            "license": self.manifest.license,
            "problems": len(self.problems),
            "findings": [asdict(finding) for finding in self.findings],
            "exclude": [list(pair) for pair in self.excluded],
            "notes": list(self.notes),
        }


def check(
    data: str | Path,
    *,
    quick: bool = False,
    out: str | Path | None = None,
    write_exclude: str | Path | None = None,
    write_table: str | Path | None = None,
    sets: Sequence[str] = (),
    quiet: bool = False,
    **options: OptionValue,
) -> Check:
    """Inspect all images for problems: unreadable files, duplicates, leaks, wrong labels, small classes.

    Args:
        data: A folder of class folders, a table, or the name of a data set.
        quick: Skip the search for wrong labels, which needs the features of all images.
        out: Folder for ``check.html`` and ``check.json``; ``runs/<data>-check`` if None.
        write_exclude: File to write a list of images to exclude to, for ``--exclude``.
        write_table: File to write all images to with labels and splits, as a table that is read again to the same.
        sets: Further settings, e.g. ``["data.splits=new"]``.
        quiet: Print nothing.
        **options: Single settings by the names of the command line: ``source``, ``model``, ...

    Raises:
        TopworkError: The data cannot be read, or the result cannot be written.

    >>> result = check(photos, quick=True, quiet=True)
    >>> len(result.manifest.classes)
    3
    """
    config = configure.build(str(data), ["linear"], sets=sets, options=options)
    data_path = redact(config.data.path)
    folder = Path(out) if out else _own_folder(data_path)
    progress = make_progress(quiet)
    with folder_lock.share_folder(run_folders.cache_folder()), Signals() as signals:

        def on_listing(listing: Manifest) -> None:
            progress.log(f"Read as: {listing.reading}")  # before the images are decoded, which can take long
            if write_table:
                label_table.write_table(listing, path=Path(write_table))

        manifest = build_manifest(config.data, progress=progress, trainable=False, on_listing=on_listing)
        splits = given_split(manifest)
        findings = find_issues(manifest, splits)
        if config.data.similar_labels == "keep":
            findings = [finding for finding in findings if finding.kind != "similar-labels"]
        notes: list[str] = []
        features = None
        issues: list[Finding] = []
        if quick:
            notes.append("Labels were not checked (--quick).")
        elif len(manifest.classes) < 2:
            notes.append("Labels were not checked: there are fewer than two classes.")
        else:
            features = load_features(config, manifest, progress, signals)
            issues = find_label_issues(features, notes)
        signals.raise_if_stopped()
        issues = [*find_unnamed_groups(config, manifest, splits, features, folder), *issues]
        first = [f for f in findings if f.kind.startswith("leak") or f.kind == "two-labels"]
        findings = [*first, *issues, *(f for f in findings if f not in first)]
        signals.raise_if_stopped()
    result = Check(
        folder, manifest, splits, tuple(findings), tuple(images_to_exclude(manifest, splits)), tuple(notes), data_path
    )
    storage.write_json(folder / "check.json", result.as_dict())
    write_page(result.page, result.as_dict(), manifest, splits, _exclude_commands(config))
    if write_exclude:
        storage.write_csv(Path(write_exclude), ("image", "reason"), result.excluded)
    return result


def _exclude_commands(config: Config) -> ExcludeCommands:
    """What the page prints about the list of images to exclude, with all options that the data need."""
    use = commands.data_command(config.data, config.data.path, ("--exclude", EXCLUDE_FILE), "compare")
    return ExcludeCommands(f"{commands.check(config)} --write-exclude {EXCLUDE_FILE}", use)


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _own_folder(data_path: str) -> Path:
    """``runs/NAME-check``; with ``-2``, ``-3``, ... if other data of the same name have been checked there."""
    name = f"{slug(Path(data_path).name)}-check"
    numbered = (run_folders.RUNS / f"{name}-{number}" for number in itertools.count(2))
    return next(path for path in itertools.chain([run_folders.RUNS / name], numbered) if _is_free(path, data_path))


def _is_free(folder: Path, data_path: str) -> bool:
    path = folder / "check.json"
    if not path.is_file():
        return not folder.exists()
    with contextlib.suppress(TopworkError):
        checked = storage.read_json(path)
        return isinstance(checked, dict) and checked.get("path") == data_path
    return False


def format_check(result: Check, reading: bool = True) -> list[str]:
    """The lines that the command prints; without ``reading`` if how the data were read was said before."""
    summary = result.as_dict()
    counts, side = summary["classes"].values(), summary["shorter_side"]
    lines = [f"{summary['data']}: {summary['used']:,} of {summary['images']:,} images can be used"]
    if counts:
        classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
        sizes = f"{_range(min(counts), max(counts))} images{' each' if min(counts) == max(counts) else ''}"
        lines[0] += f"; {classes} of {sizes}; shorter side {_range(side['min'], side['max'])} pixels"
    if reading:
        lines.insert(0, f"Read as: {summary['reading']}")
    if summary["splits"]:
        lines.append("splits: " + " / ".join(f"{split} {count:,}" for split, count in summary["splits"].items()))
    for finding in result.findings:
        lines.append(f"{'!' if finding.problem else '-'} {finding.text}")
        if not finding.problem:
            continue
        groups = list(zip(finding.groups, finding.notes or [""] * len(finding.groups), strict=True))
        for images, note in groups[:MAX_PRINTED_GROUPS]:
            mark = ", " if finding.kind == "unnamed-groups" else " = "
            names = mark.join(images[:MAX_PRINTED_IMAGES]) + (f"{mark}..." if len(images) > MAX_PRINTED_IMAGES else "")
            lines.append(f"    {names}: {note}" if note else f"    {names}")
        if len(groups) > MAX_PRINTED_GROUPS:
            lines.append(f"    ... and {len(groups) - MAX_PRINTED_GROUPS:,} more")
        lines += [f"  {line}" for line in (*finding.details, finding.command) if line]
    lines += [f"- {note}" for note in result.notes]
    return lines if result.problems else [*lines, "No problems found."]
