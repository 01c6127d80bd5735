"""Forms in which images are published that topwork does not open: compressed archives, pickles, HDF5, MATLAB."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator

from topwork.core import commands
from topwork.data.sources.array_files import files_of
from topwork.data.sources.base import DataArgument
from topwork.data.sources.reading import Evidence, Refused

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
_PICKLES = (
    ("CIFAR-10", {*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"}, "hf:uoft-cs/cifar10"),
    ("CIFAR-100", {"train", "test", "meta"}, "hf:uoft-cs/cifar100"),
)
_NUMBERS = (
    (
        "SVHN as MATLAB files", {"train_32x32.mat", "test_32x32.mat"}, "svhn.npz",
        """import numpy, scipy.io; a = {s: scipy.io.loadmat(FOLDER + s + "_32x32.mat") for s in ("train", "test")}; """
        """numpy.savez(FOLDER + "svhn.npz", **{s + "_images": a[s]["X"].transpose(3, 0, 1, 2) for s in a}, """
        """**{s + "_labels": a[s]["y"].ravel() % 10 for s in a})""",
    ),
    (
        "STL-10 as binary files", {"train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"}, "stl10.npz",
        """import numpy; a = lambda name: numpy.fromfile(FOLDER + name + ".bin", "u1"); parts = ("train", "test"); """
        """numpy.savez(FOLDER + "stl10.npz", **{s + "_labels": a(s + "_y") for s in parts}, """
        """**{s + "_images": a(s + "_X").reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1) for s in parts})""",
    ),
)  # fmt: skip
"""Name of a data set, its files, and the code that writes their images as arrays."""
_CONTAINERS = {
    (".h5", ".hdf5", ".hdf"): "an HDF5 file",
    (".tfrecord", ".tfrecords"): "a TFRecord file",
    (".mat",): "a MATLAB file",
    (".mdb", ".lmdb"): "an LMDB database",
    (".bin",): "a binary file without a known format",
    (".pkl", ".pickle", ".pt", ".pth", ".joblib"): "a pickle, which runs code when it is opened",
}


class UnreadableSource:
    """Recognizes data that topwork does not open, and says what to do instead."""

    name = "unreadable"
    supported_options = frozenset[str]()

    def readings(self, data: DataArgument) -> Iterator[Refused]:
        """None but refusals."""
        files = files_of(data)
        yield from _cifar(files)
        yield from _numbers(files)
        if data.tree is not None and data.tree.top.total:
            return
        for path in files:
            if path.lower().endswith(_COMPRESSED):
                yield Refused(
                    f"{path} is compressed as a whole, so that single images cannot be read from it. Unpack it: "
                    f"{commands.unpack(path)}",
                    Evidence.LIKELY,
                )
                return
        for path in files:
            suffix = os.path.splitext(path)[1].lower()
            kind = next((kind for suffixes, kind in _CONTAINERS.items() if suffix in suffixes), "")
            if kind:
                yield Refused(
                    f"{path} is {kind}; topwork does not open it. Save the images as files in one folder per class, or "
                    "save pixels and labels as arrays with numpy.savez('data.npz', x_train=..., y_train=...), and run: "
                    f"{commands.command('check', 'data.npz')}",
                    Evidence.POSSIBLE,
                )
                return


def _by_folder(files: list[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for path in files:
        found[os.path.dirname(path)].add(os.path.basename(path))
    return found


def _numbers(files: list[str]) -> Iterator[Refused]:
    for folder, names in _by_folder(files).items():
        for title, expected, target, code in _NUMBERS:
            if expected <= names and target not in names:
                written = code.replace("FOLDER", json.dumps(os.path.join(folder, ""), ensure_ascii=False))
                yield Refused(
                    f"{folder} holds {title}, which topwork does not open. Convert the images and labels to arrays: "
                    f"{commands.write_arrays(written, os.path.join(folder, target))}",
                    Evidence.CERTAIN,
                )


def _cifar(files: list[str]) -> Iterator[Refused]:
    for folder, names in _by_folder(files).items():
        for title, expected, other in _PICKLES:
            if expected <= names and all(_is_pickle(os.path.join(folder, name)) for name in expected):
                yield Refused(
                    f"{folder} holds {title} as Python pickles. A pickle can run any code when it is opened, so "
                    f"topwork opens none. Use the same images from the hub: {commands.command('check', other)}",
                    Evidence.CERTAIN,
                )


def _is_pickle(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(1) == b"\x80"
