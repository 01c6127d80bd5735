"""Regular expressions that may read labels from file names, written as a person would write them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from topwork.data.file_tree import TreeFolder, join
from topwork.data.sources.mask_names import masks_beside
from topwork.data.split_words import is_camera, split_of

MIN_SHARE = 0.95  # of the images of a folder, whose names have such a label
MAX_LABELS_SHARE = 0.5  # labels per image
_MAX_FIELDS = 6
_MAX_SHOWN = 3

_TEXT_THEN_NUMBER = re.compile(r"(?P<label>.*?[^\d ._()-])(?P<gap>[ ._(-]*)\d[\d ._()-]*\.[^.]+")
_NUMBER_THEN_TEXT = re.compile(r"\d[\d ._()-]*?(?P<gap>[ ._()-]*)(?P<label>[^\d ._()-][^\d]*?)\.[^.]+")

_BETWEEN_NUMBERS = re.compile(
    r"\d[\d ._()-]*?(?P<gap>[ ._()-]+)(?P<label>[^\d ._()-](?:[^\d]*[^\d ._()-])?)[ ._()-]*\d[\d ._()-]*\.[^.]+"
)

Spell = Callable[[str], Iterator[str]]
"""Makes expressions, the shortest first, from what is between the label and the rest of a name."""


class Expression(NamedTuple):
    """What reads labels from paths, with an example of an image and its label, and all labels."""

    pattern: str
    path: str
    label: str
    labels: Sequence[str]

    def __str__(self) -> str:
        shown = ", ".join(self.labels[:4]) + (", ..." if len(self.labels) > 4 else "")
        return f"the label is in the file names, as in {self.path} -> {self.label} ({len(self.labels)} labels: {shown})"


class _Idea(NamedTuple):
    """A part of each name that may be the label: how it is found, and how that is written."""

    name: re.Pattern[str]
    spell: Spell
    is_text: bool = False


def propose(top: TreeFolder) -> list[Expression]:
    """Expressions that may read labels from the file names in a folder, the likeliest first."""
    folders = [(folder.path, _without_masks(folder)) for folder in top.walk() if folder.images]
    found: list[Expression] = []
    for idea in _ideas():
        labels = _labels(idea, folders)
        if labels and (expression := _spelled(idea, labels)):
            if idea.is_text and not any(sign.isdigit() for label in expression.labels for sign in label):
                return [expression]
            found.append(expression)
    return sorted(found, key=lambda expression: len(expression.labels))[:_MAX_SHOWN]


def _ideas() -> Iterator[_Idea]:
    yield _Idea(_BETWEEN_NUMBERS, _between_numbers, True)
    yield _Idea(_TEXT_THEN_NUMBER, _text_then_number, True)
    yield _Idea(_NUMBER_THEN_TEXT, _number_then_text, True)
    for number in range(_MAX_FIELDS):
        before = "[^_]*_" * number
        lead = "_" + "[^/_]+_" * (number - 1) if number else ""
        spelled = [f"{lead}([^/_]+)_", f"/{'[^/_]+_' * number}([^/_]+)_", f"(?:^|/){'[^/_]*_' * number}([^/_]+)_[^/]*$"]
        yield _Idea(re.compile(rf"{before}(?P<label>[^_]+)_.*"), lambda gap, spelled=spelled: iter(spelled))
    last = [r"_([^/_.]+)\.", r"_([^/_.]+)[.][^/]*$"]
    yield _Idea(re.compile(r".*_(?P<label>[^_.]+)\..+"), lambda gap: iter(last))


def _between_numbers(gap: str) -> Iterator[str]:
    between = _escaped(gap)
    yield rf"\d{between}([a-z]+)"
    yield rf"\d{between}([A-Za-z]+)"
    yield rf"\d{between}([^/\d]*[^/\d ._()-])[ ._()-]*\d"


def _text_then_number(gap: str) -> Iterator[str]:
    between = _escaped(gap)
    yield rf"([a-z]+){between}\d"
    yield rf"([A-Za-z]+){between}\d"
    yield rf"([^/]+){between}\d" if gap else r"([^/\d]+)\d"
    yield rf"([^/]+){between}\d+[.]"
    yield r"(?:^|/)([^/]*?[^/\d ._()-])[\d ._()-]*\d\)?\.[^./]+$"


def _number_then_text(gap: str) -> Iterator[str]:
    between = _escaped(gap)
    yield rf"\d{between}([a-z]+)"
    yield rf"\d{between}([A-Za-z]+)"
    yield rf"\d{between}([^/]+)[.]"
    yield r"(?:^|/)\d[\d ._()-]*([^/\d ._()-][^/\d]*?)\.[^./]+$"


def _escaped(gap: str) -> str:
    return "".join(f"[{sign}]" if sign in ".(" else sign for sign in gap)


def _without_masks(folder: TreeFolder) -> list[str]:
    masks = masks_beside(folder.images)
    return [name for name in folder.images if name not in masks]


def _labels(idea: _Idea, folders: Sequence[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """Path to label of all images, empty if a name has none; nothing if these are not like labels."""
    labels, matched, total = dict[str, str](), Counter[str](), 0
    for above, names in folders:
        found = {name: _label(idea, name) for name in names}
        total += len(found)
        if sum(map(bool, found.values())) >= MIN_SHARE * len(found):
            matched.update(filter(None, found.values()))
            labels |= {join(above, name): label for name, label in found.items()}
    real = [label for label in matched if not is_camera(label) or (label.isdecimal() and not idea.is_text)]
    several = all(matched[label] > 1 for label in real) and len(real) <= MAX_LABELS_SHARE * matched.total()
    if len(real) < 2 or not several or 2 * matched.total() < total or len(split_of(real)) == len(real):
        return {}
    return labels


def _label(idea: _Idea, name: str) -> str:
    found = idea.name.fullmatch(name)
    return found["label"].strip() if found else ""


def _spelled(idea: _Idea, labels: dict[str, str]) -> Expression | None:
    """The first spelling that reads these labels from the paths."""
    path, label = next((path, label) for path, label in labels.items() if label)
    gaps = Counter(
        match.groupdict().get("gap") or "" for path in labels if (match := idea.name.fullmatch(path.rpartition("/")[2]))
    )
    for pattern in idea.spell(gaps.most_common(1)[0][0]):
        compiled = re.compile(pattern)
        if all((((match := compiled.search(path)) and match[1].strip()) or "") == own for path, own in labels.items()):
            return Expression(pattern, path, label, sorted(set(labels.values()) - {""}))
    return None
