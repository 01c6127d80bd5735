"""Labelled images in a table with every column, weights in a file, and all that may happen to them after a training."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch

from tests.drawings import draw
from topwork.core import storage

MODEL = "test_efficientnet"
COLUMNS = ("path", "label", "split", "group", "weight")
Rows = list[dict[str, str]]


@dataclass
class Place:
    """A folder with images in ``data/table.csv``, weights in a file, and a run on them."""

    root: Path

    @property
    def table(self) -> Path:
        """Each of its columns says something."""
        return self.root / "data" / "table.csv"

    @property
    def weights(self) -> Path:
        """Of the pretrained network."""
        return self.root / "w.safetensors"

    @property
    def run(self) -> Path:
        """Trained with ``flags``."""
        return self.root / "run"

    @property
    def flags(self) -> dict[str, Any]:
        """Keyword arguments of a training on these images with these weights."""
        return {"data": self.table, "model": MODEL, "weights": str(self.weights), "group_by": "group", "out": self.run}

    def rewrite(self, change: Callable[[Rows], object]) -> None:
        """Change the rows of the table in place."""
        with open(self.table, newline="") as file:
            rows = list(csv.DictReader(file))
        change(rows)
        storage.write_csv(self.table, COLUMNS, [row.values() for row in rows])

    def copy(self, to: Path) -> Place:
        """The same at another place; its run finds the images there."""
        copied = Place(Path(shutil.copytree(self.root, to)))
        for file in (copied.run / "run.json", copied.run / "config.toml"):
            if file.is_file():
                file.write_text(file.read_text().replace(str(self.root), str(to)))
        return copied


def make(photos: Path, root: Path) -> Place:
    """Copy a folder of class folders, and write the table and the weights."""
    place = Place(root)
    shutil.copytree(photos, place.table.parent)
    rows = [
        [file.relative_to(place.table.parent).as_posix(), file.parent.name, split, f"g{number}", 1.0]
        for number, file in enumerate(sorted(place.table.parent.glob("*/*.png")))
        for split in ["test" if number % 14 < 3 else "val" if number % 14 < 5 else "train"]
    ]
    storage.write_csv(place.table, COLUMNS, rows)
    write_weights(place.weights, 0)
    return place


def write_weights(path: Path, seed: int) -> None:
    """Write random weights of the network."""
    torch.manual_seed(seed)
    safetensors.torch.save_file(timm.create_model(MODEL, num_classes=0).state_dict(), path)


def content(folder: Path, *but: str) -> dict[str, bytes]:
    """Every file of a folder but the lock and those named."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if Path(name).name not in (".lock", *but)}


def _set(column: str, value: str, row: int = 5) -> Callable[[Place], None]:
    return lambda place: place.rewrite(lambda rows: rows[row].update({column: value}))


def _swap_labels(place: Place) -> None:
    def swap(rows: Rows) -> None:
        a, b = (next(row for row in rows if row["label"] == label and row["split"] == "train")
                for label in ("class0", "class1"))  # fmt: skip
        a["label"], b["label"] = b["label"], a["label"]

    place.rewrite(swap)


def _redraw(place: Place) -> None:
    draw(0, 99).save(place.table.parent / "class0" / "005.png")


def _unreadable(place: Place) -> None:
    (place.table.parent / "class0" / "005.png").write_bytes(b"no image")


def _regroup(place: Place) -> None:
    place.rewrite(
        lambda rows: [row.update(group=f"h{i // 2}") for i, row in enumerate(rows) if row["split"] == "train"]
    )


CHANGES: dict[str, tuple[Callable[[Place], object], str]] = {
    # what happens, and what the message must name
    "a label": (_set("label", "class1"), "class0/005.png"),
    "two labels": (_swap_labels, "class0/005.png"),
    "a class renamed": (
        lambda place: place.rewrite(lambda rows: [r.update(label="z") for r in rows if r["label"] == "class2"]),
        "class2/000.png",
    ),
    "pixels": (_redraw, "class0/005.png"),
    "an image that cannot be read any more": (_unreadable, "class0/005.png"),
    "a row less": (lambda place: place.rewrite(lambda rows: rows.pop(5)), "class0/005.png"),
    "one class is left": (
        lambda place: place.rewrite(lambda rows: rows.__delitem__(slice(14, None))),
        "images that",
    ),
    "a split": (_set("split", "test"), "class0/005.png"),
    "a group": (_regroup, "class0/005.png"),
    "a weight": (_set("weight", "2.5"), "class0/005.png"),
    "no table": (lambda place: place.table.unlink(), "table.csv"),
    "no folder": (lambda place: shutil.rmtree(place.table.parent), "table.csv"),
    "no weights": (lambda place: (place.weights).unlink(), "w.safetensors"),
    "other weights": (lambda place: write_weights(place.weights, 1), "weights"),
}


def _touch(place: Place) -> None:
    for file in place.table.parent.glob("*/*.png"):
        file.touch()


HARMLESS: dict[str, Callable[[Place], object]] = {
    "nothing": lambda place: None,
    "other times": _touch,
    "another order": lambda place: place.rewrite(lambda rows: rows.reverse()),
    "one more that cannot be read": lambda place: place.rewrite(
        lambda rows: rows.append({"path": "no.png", "label": "class0", "split": "train", "group": "x", "weight": "1"})
    ),
}
