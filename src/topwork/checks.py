"""``check``: look at a set of images before anything is trained, and say what is wrong with it.

    images -> manifest -> findings -> (features -> labels that look wrong) -> check.json, check.html

Nothing of the user's is changed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from topwork import folders, options, storage
from topwork.artifacts import Manifest, Split
from topwork.config import Config
from topwork.data.findings import Finding, find, leave_out
from topwork.data.looking import look_at_images
from topwork.data.split import given_split, make_folds
from topwork.errors import DataError
from topwork.progress import Progress, choose
from topwork.report.check_page import write_page
from topwork.signals import Signals

FOUND = 4  # exit status if something ought to be done
_FOLDS = (5, 3, 2)


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
    split: Split | None
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
        parts = {part: len(ids) for part, ids in self.split.ids.items()} if self.split else {}
        return {
            "format": 1,
            "data": self.manifest.name,
            "images": len(self.manifest.rows),
            "used": len(rows),
            "classes": dict(sorted(Counter(row.label for row in rows).items())),
            "parts": parts,
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
    fix_list: str | Path | None = None,
    quiet: bool = False,
    **flags: Any,
) -> Check:
    """Look at all images and say what is wrong: unreadable files, duplicates, leaks, odd labels, small classes.

    Args:
        data: A folder of class folders, a table, or the name of a data set.
        quick: Do not look for labels that look wrong, which takes the features of all images.
        out: Folder for ``check.html`` and ``check.json``; ``runs/<data>-check`` if None.
        fix_list: File to write what to leave out to, for ``--leave-out``.
        quiet: Print nothing.
        **flags: Single settings by the names of the command line: ``source``, ``group``, ``crop``, ``model``, ...

    Raises:
        TopworkError: See ``errors``.
    """
    asked = options.build(str(data), ["linear"], **flags)
    progress = choose(quiet)
    with Signals() as signals:
        manifest = look_at_images(asked.data, progress, trainable=False)
        split = given_split(manifest)
        findings = find(manifest, split)
        notes: list[str] = []
        if quick:
            notes.append("Labels were not examined (--quick).")
        elif len(manifest.classes) < 2:
            notes.append("Labels were not examined: there are no two classes.")
        else:
            findings = _with_labels(asked, manifest, findings, notes, progress, signals)
        signals.check()
    folder = Path(out) if out else folders.RUNS / f"{storage.slug(Path(asked.data.path).name)}-check"
    found = Check(folder, manifest, split, tuple(findings), tuple(leave_out(manifest, split)), tuple(notes))
    storage.write_json(folder / "check.json", found.as_dict())
    write_page(found.page, found.as_dict(), manifest)
    if fix_list:
        storage.write_csv(Path(fix_list), ("image", "reason"), found.out)
    return found


def _with_labels(
    asked: Config,
    manifest: Manifest,
    findings: list[Finding],
    notes: list[str],
    progress: Progress,
    signals: Signals,
) -> list[Finding]:
    """The findings and labels that look wrong, after the leaks and the double labels."""
    folds = _folds(manifest, asked.seed)
    if folds is None:
        notes.append("Labels were not examined: a class has fewer than 4 different images.")
        return findings
    from topwork import devices, preparing
    from topwork.evaluation.label_errors import suspects
    from topwork.features import fit_normaliser
    from topwork.training.out_of_fold import out_of_fold

    rows, classes = manifest.used, manifest.classes
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[row.label] for row in rows], dtype=np.int64)
    nothing = np.array([], dtype=np.int64)
    whole = Split(
        classes,
        {"train": tuple(row.id for row in rows), "val": (), "test": ()},
        {"train": labels, "val": nothing, "test": nothing},
    )
    preparing.check(asked, progress)
    setup = preparing.prepare(asked, manifest, whole, devices.resolve(asked.compute), progress, signals)
    features = setup.features.part("train")
    features = fit_normaliser(features)(features)
    probabilities = out_of_fold(features, labels, len(classes), folds, str(setup.compute.device))
    found, how = suspects(labels, probabilities)
    if not len(found):
        return findings
    guess = probabilities.argmax(axis=1)
    notes_of = tuple(
        f"labelled {rows[i].label}, looks like {classes[guess[i]]} ({probabilities[i, guess[i]]:.0%})" for i in found
    )
    look = "label looks" if len(found) == 1 else "labels look"
    text = f"{len(found):,} {look} wrong, by {how}: guesses, to be looked at"
    finding = Finding("label", text, tuple((rows[i].id,) for i in found), True, notes_of)
    first = [f for f in findings if f.kind.startswith("leak") or f.kind == "two-labels"]
    return [*first, finding, *(f for f in findings if f not in first)]


def _folds(manifest: Manifest, seed: int) -> list[np.ndarray] | None:
    """Row numbers of each fold, duplicates together; None if a class is too small for any."""
    place = {row.id: number for number, row in enumerate(manifest.used)}
    for number in _FOLDS:
        try:
            splits = make_folds(manifest, seed, number)
        except DataError:
            continue
        return [np.array([place[image] for image in split.ids["test"]], dtype=np.int64) for split in splits]
    return None


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
        said.append("parts: " + " / ".join(f"{part} {count:,}" for part, count in value["parts"].items()))
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
