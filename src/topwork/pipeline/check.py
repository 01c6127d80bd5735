"""``check``: look at a set of images before anything is trained, and say what is wrong with it.

    images -> manifest -> findings -> (features -> labels that look wrong) -> check.json, check.html

Nothing of the user's is changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from topwork.core import run_folders, storage
from topwork.core.artifacts import Manifest, Splits
from topwork.core.progress import make_progress
from topwork.core.signals import Signals
from topwork.data.findings import Finding, find, leave_out
from topwork.data.inspect_dataset import look_at_images
from topwork.data.splits import given_split
from topwork.pipeline import configure
from topwork.pipeline.label_issues import wrong_labels
from topwork.report.check_page import write_page

FOUND = 4  # exit status if something ought to be done


@dataclass(frozen=True)
class Check:
    """What was found about a set of images.

    Attributes:
        path: Folder with ``check.json`` and ``check.html``.
        manifest: All images.
        split: The parts that the data come with, if they do.
        findings: The worst first.
        out: Image and reason, for what should be left out.
        notes: What was not looked at, and why.
    """

    path: Path
    manifest: Manifest
    splits: Splits | None
    findings: tuple[Finding, ...]
    out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that something ought to be done about."""
        return tuple(finding for finding in self.findings if finding.problem)

    @property
    def page(self) -> Path:
        """The page with thumbnails."""
        return self.path / "check.html"

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        rows = self.manifest.used
        sides = sorted(min(row.width, row.height) for row in rows) or [0]
        splits = {split: len(ids) for split, ids in self.splits.ids.items()} if self.splits else {}
        return {
            "format": 1,
            "data": self.manifest.name,
            "images": len(self.manifest.rows),
            "used": len(rows),
            "classes": dict(sorted(Counter(row.label for row in rows).items())),
            "parts": splits,
            "shorter_side": {"least": sides[0], "median": sides[len(sides) // 2], "most": sides[-1]},
            "license": self.manifest.license,
            "problems": len(self.problems),
            "findings": [asdict(finding) for finding in self.findings],
            "leave_out": [list(pair) for pair in self.out],
            "notes": list(self.notes),
        }


def check(
    data: str | Path,
    *,
    quick: bool = False,
    out: str | Path | None = None,
    write_exclude: str | Path | None = None,
    quiet: bool = False,
    **flags: Any,
) -> Check:
    """Look at all images and say what is wrong: unreadable files, duplicates, leaks, odd labels, small classes.

    Args:
        data: A folder of class folders, a table, or the name of a data set.
        quick: Do not look for labels that look wrong, which takes the features of all images.
        out: Folder for ``check.html`` and ``check.json``; ``runs/<data>-check`` if None.
        write_exclude: File to write what to leave out to, for ``--exclude``.
        quiet: Print nothing.
        **flags: Single settings by the names of the command line: ``source``, ``model``, ...

    Raises:
        TopworkError: See ``errors``.
    """
    asked = configure.build(str(data), ["linear"], **flags)
    progress = make_progress(quiet)
    with Signals() as signals:
        manifest = look_at_images(asked.data, progress, trainable=False)
        splits = given_split(manifest)
        findings = find(manifest, splits)
        notes: list[str] = []
        if quick:
            notes.append("Labels were not examined (--quick).")
        elif len(manifest.classes) < 2:
            notes.append("Labels were not examined: there are no two classes.")
        else:
            wrong = wrong_labels(asked, manifest, notes, progress, signals)
            first = [f for f in findings if f.kind.startswith("leak") or f.kind == "two-labels"]
            findings = [*first, *wrong, *(f for f in findings if f not in first)]
        signals.raise_if_stopped()
    folder = Path(out) if out else run_folders.RUNS / f"{storage.slug(Path(asked.data.path).name)}-check"
    found = Check(folder, manifest, splits, tuple(findings), tuple(leave_out(manifest, splits)), tuple(notes))
    storage.write_json(folder / "check.json", found.as_dict())
    write_page(found.page, found.as_dict(), manifest)
    if write_exclude:
        storage.write_csv(Path(write_exclude), ("image", "reason"), found.out)
    return found


def lines(found: Check) -> list[str]:
    """What a terminal says."""
    value = found.as_dict()
    counts = value["classes"].values()
    said = [f"{value['data']}: {value['used']:,} of {value['images']:,} images can be used"]
    if counts:
        classes = "1 class" if len(counts) == 1 else f"{len(counts)} classes"
        said[0] += (
            f"; {classes} of {min(counts):,} to {max(counts):,}; shorter sides {value['shorter_side']['least']:,} to "
            f"{value['shorter_side']['most']:,} pixels"
        )
    if value["parts"]:
        said.append("parts: " + " / ".join(f"{split} {count:,}" for split, count in value["parts"].items()))
    for finding in found.findings:
        said.append(f"{'!' if finding.problem else '-'} {finding.text}")
        shown = zip(finding.sets, finding.notes or [""] * len(finding.sets), strict=True)
        for same, note in [*shown][: 3 if finding.problem else 0]:
            said.append(f"    {' = '.join(same[:4])}{' = ...' if len(same) > 4 else ''}{f': {note}' if note else ''}")
        if finding.problem and len(finding.sets) > 3:
            said.append(f"    ... and {len(finding.sets) - 3:,} more")
    said += [f"- {note}" for note in found.notes]
    if not found.problems:
        said.append("Nothing ought to be done about these images.")
    return said
