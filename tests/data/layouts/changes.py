"""Right layouts after what people do to folders and tables on the way: renamed, nested, split, with strays beside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st
from tests.data.layouts import Content, Read, Refused, encode, table
from tests.data.layouts.reading import wrong_reading

from topwork.data.file_tree import TreeFolder
from topwork.data.sources.class_folders import ClassFolder, Layout
from topwork.data.sources.reading import Evidence

NAMES = {
    "train": (
        "train",
        "Train",
        "TRAIN",
        "training",
        "Training",
        "train_set",
        "training_set",
        "seg_train",
        "Train_Data",
    ),
    "val": ("val", "valid", "VALID", "validation", "Validation", "dev", "eval", "val_set", "validation_set"),
    "test": ("test", "Test", "TEST", "testing", "Testing", "test_set", "seg_test", "Test_Data", "holdout"),
}
LABELS = (("cat", "dog"), ("0", "1", "10"), ("NORMAL", "PNEUMONIA"), ("Apple___scab", "Apple___fine", "Tomato___rust"),
          ("bus", "car", "train"), ("Größe", "Fläche"))  # fmt: skip
ABOVE = ("archive", "data", "my pictures", "DATA SET (v2)")
SUFFIXES = (".jpg", ".JPG", ".png", ".jpeg", ".tif")


STRAYS: dict[str, Callable[[list[str]], dict[str, Content]]] = {
    "README": lambda names: {"README.md": "# Data\n", "LICENSE": "CC BY"},
    "hidden": lambda names: {".DS_Store": b"\0", ".git/config": "[core]", f"{_folder(names[0])}.DS_Store": b"\0"},
    "checkpoint": lambda names: {f"{_folder(names[0])}.ipynb_checkpoints/x-checkpoint.jpg": b"\xff\xd8\xffx"},
    "macosx": lambda names: {f"__MACOSX/{_folder(name)}._x.jpg": b"\0\5\x16\7" for name in names[:3]},
    "thumbs": lambda names: {f"{_folder(name)}Thumbs.db": b"\xd0\xcf" for name in names[:3]},
    "documents": lambda names: {"docs/notes.txt": "nothing", "docs/paper.pdf": b"%PDF-1.4"},
    "script": lambda names: {"prepare.py": "import os\n", "model.h5": b"\x89HDF"},
    "results": lambda names: {"results.csv": table(("epoch", "loss"), [(1, 0.5), (2, 0.25)])},
    "other table": lambda names: {"prices.csv": table(("item", "class"), [("apple", "a"), ("pear", "b")])},
    "archive": lambda names: {"backup.zip": b"PK\5\6" + bytes(18)},
    "settings": lambda names: {"settings.json": '{"epochs": 3}', "config.yaml": "epochs: 3\n"},
    "classes.txt": lambda names: {"classes.txt": "one\ntwo\n"},
}


def _folder(path: str) -> str:
    return path.rpartition("/")[0] + "/" if "/" in path else ""


def _files(names: list[str], strays: tuple[str, ...], above: tuple[str, ...]) -> dict[str, Content]:
    """Image files of different bytes, and the strays."""
    files: dict[str, Content] = {name: b"\xff\xd8\xff" + name.encode() for name in names}
    for stray in strays:
        files |= STRAYS[stray](names)
    return {"/".join((*above, name)): content for name, content in files.items()}


@dataclass(frozen=True)
class Folders:
    """Class folders, below splits or not.

    Attributes:
        splits: Folder to split.
        twice: Each split is in a folder of its own name.
        figures: One more folder with images lies beside the splits.
    """

    labels: tuple[str, ...]
    splits: dict[str, str]
    twice: bool
    above: tuple[str, ...]
    suffix: str
    strays: tuple[str, ...]
    figures: bool

    def make(self) -> tuple[dict[str, Content], Read]:
        rows = {}
        for folder, split in (self.splits or {"": ""}).items():
            at = f"{folder}/{folder}/" if self.twice and folder else f"{folder}/" if folder else ""
            for label in self.labels:
                rows |= {f"{at}{label}/{folder[:2]}{label[:3]}{n}{self.suffix}": (label, split) for n in range(3)}
        files = _files(list(rows), self.strays, self.above)
        if self.figures and self.splits:
            files |= {"/".join((*self.above, f"figures/figure{n}.png")): f"figure {n}" for n in (1, 2)}
        return files, Read({"/".join((*self.above, name)): row for name, row in rows.items()})


PATHS: dict[str, Callable[[str], str]] = {
    "relative": lambda path: path,
    "name": lambda path: path.rpartition("/")[2],
    "stem": lambda path: path.rpartition("/")[2].rpartition(".")[0],
    "backslashes": lambda path: path.replace("/", "\\"),
    "notebook": lambda path: f"/content/drive/MyDrive/{path}",
    "windows": lambda path: "C:\\Users\\Ana\\" + path.replace("/", "\\"),
    "from above": lambda path: f"../input/{path}",
    "other case": lambda path: path.rpartition(".")[0] + path[path.rindex(".") :].swapcase(),
}


@dataclass(frozen=True)
class Table:
    """Images in one folder or several, and a table that labels them.

    Attributes:
        header: Names for path, label and split; None: there is none.
        path: How the images are named, a key of ``PATHS``.
        folders: Where they are.
        split: There is a column for the split.
        number: There is a column that is different in each row.
    """

    labels: tuple[str, ...]
    header: tuple[str, str, str] | None
    path: str
    folders: tuple[str, ...]
    split: bool
    number: bool
    label_first: bool
    separator: str
    encoding: str
    above: tuple[str, ...]
    suffix: str
    strays: tuple[str, ...]

    def make(self) -> tuple[dict[str, Content], Read]:
        rows, cells = {}, []
        splits = [("train", "train"), ("train", "train"), ("test", "test"), ("val", "val")]
        for n in range(4 * len(self.labels)):
            label, (written, split) = self.labels[n % len(self.labels)], splits[n // len(self.labels)]
            folder = self.folders[n % len(self.folders)]
            path = f"{folder}/a{n:03}{self.suffix}" if folder else f"a{n:03}{self.suffix}"
            rows[path] = (label, split if self.split else "")
            pair = [PATHS[self.path](path), label]
            cells.append([*(pair[::-1] if self.label_first else pair), *([written] if self.split else []),
                          *([1000.5 + n] if self.number else [])])  # fmt: skip
        header = None
        if self.header:
            names = list(self.header[:2])
            header = [*(names[::-1] if self.label_first else names), *([self.header[2]] if self.split else []),
                      *(["measured"] if self.number else [])]  # fmt: skip
        files = _files(list(rows), self.strays, self.above)
        files["/".join((*self.above, "labels.csv"))] = table(header, cells, self.separator, self.encoding)
        return files, Read({"/".join((*self.above, name)): row for name, row in rows.items()})


COMMON = {
    "labels": st.sampled_from(LABELS),
    "above": st.lists(st.sampled_from(ABOVE), max_size=2).map(tuple),
    "suffix": st.sampled_from(SUFFIXES),
    "strays": st.lists(st.sampled_from(sorted(STRAYS)), max_size=3, unique=True).map(tuple),
}
SPLITS = st.sampled_from([(), ("train", "test"), ("train", "val"), ("train", "val", "test")]).flatmap(
    lambda parts: st.tuples(*(st.sampled_from(NAMES[part]) for part in parts)).map(
        lambda names: dict(zip(names, parts, strict=True))
    )
)
LAYOUTS = {
    "folders": st.builds(Folders, **COMMON, splits=SPLITS, twice=st.booleans(), figures=st.booleans()),
    "tables": st.builds(
        Table, **COMMON,
        header=st.sampled_from([
            ("image", "label", "split"), ("id_code", "diagnosis", "set"), ("Filename", "ClassId", "Partition"),
            ("foto", "especie", "uso"), None,
        ]),
        path=st.sampled_from(sorted(PATHS)),
        folders=st.sampled_from([("",), ("images",), ("train_images",), ("part_1", "part_2"), ("a/b/c",)]),
        split=st.booleans(), number=st.booleans(), label_first=st.booleans(), separator=st.sampled_from(",;\t"),
        encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    ),
}  # fmt: skip


def topmost_folders(top: TreeFolder, by_path: bool = False) -> list[Layout]:
    """A fault to be planted for ``find_layouts``: whatever the topmost folders are called, they are the classes."""
    return [Layout("class folders", [ClassFolder(folder, folder.name) for folder in top.filled], Evidence.LIKELY)]


def misreadings(kind: str, cases: int, number: int = 0) -> tuple[list[str], int]:
    """What is wrong with how topwork reads or asks about random layouts, and how many it reads at once.

    Args:
        kind: A key of ``LAYOUTS``.
        cases: How many layouts.
        number: Seed of the layouts.
    """
    wrong, at_once = [], 0

    # Not shrunk: a case is short enough to be read, and shrinking would draw thousands
    @seed(number)
    @settings(max_examples=cases, deadline=None, database=None, phases=[Phase.generate])
    @given(LAYOUTS[kind])
    def read(layout: Folders | Table) -> None:
        nonlocal at_once
        files, right = layout.make()
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode(name, content))
            root = Path(folder)
            problem = wrong_reading(root, {}, (right,), root)
            at_once += not problem
            if problem.startswith("refused: "):
                problem = wrong_reading(root, {}, (Refused(("topwork ",)),), root)
            if problem:
                wrong.append(f"{layout}: {problem}")

    read()
    return wrong, at_once
