"""Archives, Parquet and arrays, read where they lie."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.io import savemat
from tests.data.layouts import Content, Layout, Read, Refused, Rows, asks, blank, classes, encode, layout, table


def _counts(rows: Rows) -> dict[tuple[str, str], int]:
    return {row: list(rows.values()).count(row) for row in rows.values()}


def _zip(files: Mapping[str, Content]) -> Callable[[], bytes]:
    def write() -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, (2024, 5, 1, 0, 0, 0)), encode(name, content))
        return buffer.getvalue()

    return write


def _tar(files: Mapping[str, Content], mode: str = "w") -> Callable[[], bytes]:
    def write() -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as archive:  # pyrefly: ignore
            for name, content in files.items():
                data = encode(name, content)
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return buffer.getvalue()

    return write


def _in(archive: str, rows: Rows) -> Rows:
    return {f"{archive}/{path}": row for path, row in rows.items()}


@layout
def zip_of_class_folders() -> Layout:
    """archive.zip, as Kaggle sends every data set, with a Mac's copies in it."""
    rows = classes("pets/train", ("cat", "dog"), "train") | classes("pets/test", ("cat", "dog"), "test", "t{n}.jpg")
    strays = {f"__MACOSX/{path.rpartition('/')[0]}/._x.jpg": b"\0\5\x16\7" for path in rows}
    files = {"archive.zip": _zip({**blank(rows), **strays})}
    return Layout(files, Read(counts=_counts(rows)), "archive.zip")


@layout
def folder_with_a_zip() -> Layout:
    """The folder that the zip was downloaded to is given."""
    rows = classes("pets", ("cat", "dog"))
    files = {"archive.zip": _zip(blank(rows)), "README.md": "# Pets"}
    return Layout(files, asks(Read(counts=_counts(rows)), "archive.zip"))


@layout
def zip_beside_a_table() -> Layout:
    """huggingface/datasets #7337: images.zip and metadata.csv that names its members."""
    rows = {f"img{n:03}.jpg": (("cat", "dog")[n % 2], "") for n in range(8)}
    files: dict[str, Content] = {"images.zip": _zip(blank(rows))}
    files["metadata.csv"] = table(("file_name", "label"), [(name, label) for name, (label, _) in rows.items()])
    return Layout(files, asks(Read(counts=_counts(rows)), "images.zip"))


@layout
def zip_beside_its_folder() -> Layout:
    """The zip, and what was unpacked from it: the images count once."""
    rows = classes("pets", ("cat", "dog"))
    return Layout({**blank(rows), "pets.zip": _zip(blank(rows))}, Read(rows))


@layout
def zip_of_images_and_table() -> Layout:
    """A competition's zip: images by id and train.csv in it."""
    rows = {f"train_images/img{n:03}.png": (str(n % 2), "train") for n in range(8)}
    cells = [(path[13:-4], label) for path, (label, _) in rows.items()]
    files = {"aptos.zip": _zip({**blank(rows), "train.csv": table(("id_code", "diagnosis"), cells)})}
    unpack = Refused(("aptos.zip", "unpack"))
    return Layout(files, (Read(counts=_counts(rows)), unpack), "aptos.zip")


@layout
def tar_of_class_folders() -> Layout:
    """A tar that is no shard of WebDataset: class folders in it."""
    rows = classes("flower_photos", ("daisy", "roses", "tulips"))
    files = {"flower_photos.tar": _tar({**blank(rows), "flower_photos/LICENSE.txt": "CC BY"})}
    return Layout(files, Read(_in("flower_photos.tar", rows)), "flower_photos.tar")


@layout
def tar_gz() -> Layout:
    """download.tensorflow.org/example_images/flower_photos.tgz: compressed as a whole."""
    rows = classes("flower_photos", ("daisy", "roses", "tulips"))
    files = {"flower_photos.tgz": _tar({**blank(rows), "flower_photos/LICENSE.txt": "CC BY"}, "w:gz")}
    unpacked = Read(counts=_counts(rows))
    return Layout(files, Refused(("flower_photos.tgz", "tar -x"), (unpacked,)), "flower_photos.tgz")


@layout
def rar() -> Layout:
    """NWPU-RESISC45.rar, the only form of its authors."""
    return Layout({"NWPU-RESISC45.rar": b"Rar!\x1a\7\0"}, Refused(("NWPU-RESISC45.rar", "unpack")), "NWPU-RESISC45.rar")


def _parquet(label: str, split: str, start: int, names: list[str]) -> Callable[[], bytes]:
    def write() -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = [
            {"image": {"bytes": encode(f"{split}{n}.jpg"), "path": f"{split}{n}.jpg"}, label: n % len(names)}
            for n in range(start, start + 6)
        ]
        features = {"image": {"_type": "Image"}, label: {"names": names, "_type": "ClassLabel"}}
        meta = {"huggingface": json.dumps({"info": {"features": features}})}
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(meta), buffer)
        return buffer.getvalue()

    return write


@layout
def hub_download() -> Layout:
    """huggingface.co/datasets/AI-Lab-Makerere/beans as git or huggingface-cli downloads it: data/*.parquet."""
    names = ["angular_leaf_spot", "bean_rust", "healthy"]
    files: dict[str, Content] = {
        "data/train-00000-of-00002.parquet": _parquet("labels", "train", 0, names),
        "data/train-00001-of-00002.parquet": _parquet("labels", "train", 6, names),
        "data/validation-00000-of-00001.parquet": _parquet("labels", "validation", 20, names),
        "data/test-00000-of-00001.parquet": _parquet("labels", "test", 30, names),
        ".gitattributes": "*.parquet filter=lfs",
    }
    head = "---\ndataset_info:\n  features:\n  - name: image\n    dtype: image\n  - name: labels\n"
    head += "    dtype:\n      class_label:\n"
    named = "        names:\n" + "".join(f"          '{n}': {name}\n" for n, name in enumerate(names))
    files["README.md"] = f"{head}{named}---\n# Beans\n"
    counts = {(name, split): n for name in names for split, n in (("train", 4), ("val", 2), ("test", 2))}
    return Layout(files, Read(counts=counts), needs="pyarrow")


@layout
def one_parquet_file() -> Layout:
    """A single Parquet file of it is given."""
    files = {"train-00000-of-00001.parquet": _parquet("label", "train", 0, ["cat", "dog"])}
    right = Read(counts={("cat", ""): 3, ("dog", ""): 3})
    return Layout(files, right, "train-00000-of-00001.parquet", needs="pyarrow")


def _npz(arrays: Mapping[str, Any]) -> Callable[[], bytes]:
    def write() -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    return write


def _pixels(number: int, shape: tuple[int, ...] = (28, 28)) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (number, *shape), dtype=np.uint8)


@layout
def med_mnist() -> Layout:
    """zenodo.org/records/10519652, bloodmnist.npz: images and labels of shape (N, 1) for each split."""
    arrays = {}
    for split, number in (("train", 12), ("val", 4), ("test", 8)):
        arrays[f"{split}_images"] = _pixels(number, (28, 28, 3))
        arrays[f"{split}_labels"] = (np.arange(number, dtype=np.uint8) % 4)[:, None]
    counts = {(str(k), split): n for k in range(4) for split, n in (("train", 3), ("val", 1), ("test", 2))}
    return Layout({"bloodmnist.npz": _npz(arrays)}, Read(counts=counts), "bloodmnist.npz")


@layout
def med_mnist_multi_label() -> Layout:
    """chestmnist.npz: fourteen labels of 0 and 1 per image."""
    arrays = {}
    for split, number in (("train", 12), ("val", 4), ("test", 8)):
        arrays[f"{split}_images"] = _pixels(number)
        arrays[f"{split}_labels"] = np.random.default_rng(number).integers(0, 2, (number, 14), dtype=np.uint8)
    files = {"chestmnist.npz": _npz(arrays)}
    return Layout(files, Refused(("chestmnist.npz", "several labels")), "chestmnist.npz")


@layout
def keras_mnist() -> Layout:
    """storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz: x_train, y_train, x_test, y_test."""
    arrays = {"x_train": _pixels(12), "y_train": np.arange(12, dtype=np.uint8) % 3}
    arrays |= {"x_test": _pixels(6), "y_test": np.arange(6, dtype=np.uint8) % 3}
    counts = {(str(k), split): n for k in range(3) for split, n in (("train", 4), ("test", 2))}
    return Layout({"mnist.npz": _npz(arrays)}, Read(counts=counts), "mnist.npz")


def _mat(**variables: np.ndarray) -> Callable[[], bytes]:
    def write() -> bytes:
        buffer = io.BytesIO()
        savemat(buffer, variables)
        return buffer.getvalue()

    return write


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def _mnist(pattern: str) -> dict[str, bytes]:
    made = {}
    for name, number in (("train", 12), ("t10k", 6)):
        made[pattern.format(name, "images", 3)] = _idx(_pixels(number))
        made[pattern.format(name, "labels", 1)] = _idx(np.arange(number, dtype=np.uint8) % 3)
    return made


MNIST = Read(counts={(str(k), split): n for k in range(3) for split, n in (("train", 4), ("test", 2))})


@layout
def mnist_idx() -> Layout:
    """yann.lecun.com/exdb/mnist, unpacked."""
    return Layout(_mnist("{}-{}-idx{}-ubyte"), MNIST)


@layout
def mnist_idx_gz() -> Layout:
    """github.com/zalandoresearch/fashion-mnist, data/fashion: the same, each file compressed."""
    packed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in _mnist("{}-{}-idx{}-ubyte").items()}
    return Layout(packed, MNIST)


@layout
def emnist() -> Layout:
    """nist.gov/itl/products-and-services/emnist-dataset, gzip.zip: six data sets in one folder, of which two."""
    files = _mnist("emnist-letters-{}-{}-idx{}-ubyte").items() | _mnist("emnist-digits-{}-{}-idx{}-ubyte").items()
    packed = {f"gzip/{name.replace('t10k', 'test')}.gz": gzip.compress(data, mtime=0) for name, data in sorted(files)}
    return Layout(packed, Refused(("emnist digits", "emnist letters"), (MNIST,)))


@layout
def medmnist_all() -> Layout:
    """zenodo.org/records/10519652: a .npz file for each of several data sets and sizes."""
    arrays: dict[str, np.ndarray] = {}
    for split, number in (("train", 12), ("test", 6)):
        arrays |= {f"{split}_images": _pixels(number), f"{split}_labels": np.arange(number)[:, None] % 3}
    names = ("bloodmnist.npz", "pathmnist.npz", "pathmnist_64.npz")
    return Layout({name: _npz(arrays) for name in names}, Refused(names, (MNIST,)))


@layout
def arrays_of_each_split() -> Layout:
    """numpy.org/doc, savez: one file for each split, with equal names of arrays in both."""
    files = {
        f"{split}.npz": _npz({"x": _pixels(number), "y": np.arange(number) % 3})
        for split, number in (("train", 12), ("test", 6))
    }
    return Layout(files, MNIST)


@layout
def mnist_idx_on_kaggle() -> Layout:
    """Kaggle hojjatk/mnist-dataset: every file twice, once with a dot in its name, once in a folder."""
    once, more = _mnist("{}-{}.idx{}-ubyte"), _mnist("{0}-{1}-idx{2}-ubyte/{0}-{1}-idx{2}-ubyte")
    return Layout({**once, **more}, asks(MNIST, "idx3-ubyte"))


def _csv_of_pixels(number: int, label: bool, first: int) -> bytes:
    head = [*(["label"] if label else []), *(f"pixel{n}" for n in range(first, 784 + first))]
    pixels = _pixels(number).reshape(number, 784).tolist()
    return table(head, [[*([n % 3] if label else []), *row] for n, row in enumerate(pixels)])


@layout
def digit_recognizer() -> Layout:
    """Kaggle digit-recognizer: train.csv with a label and 784 pixels, test.csv without a label."""
    files = {"train.csv": _csv_of_pixels(12, True, 0), "test.csv": _csv_of_pixels(6, False, 0)}
    files["sample_submission.csv"] = table(("ImageId", "Label"), [(n, 0) for n in range(1, 7)])
    right = Read(counts={(str(k), "train"): 4 for k in range(3)}, ignored=("test.csv",))
    return Layout(files, asks(right, "train.csv", "pixel"))


@layout
def fashion_mnist_csv() -> Layout:
    """Kaggle zalando-research/fashionmnist: two tables of pixels, and the IDX files of the same images beside."""
    files: dict[str, Content] = {**_mnist("{}-{}-idx{}-ubyte")}
    files["fashion-mnist_train.csv"] = _csv_of_pixels(12, True, 1)
    files["fashion-mnist_test.csv"] = _csv_of_pixels(6, True, 1)
    return Layout(files, asks(MNIST, "fashion-mnist_train.csv"))


@layout
def sign_mnist() -> Layout:
    """Kaggle datamunge/sign-language-mnist: the tables of pixels, each also in a folder of its name."""
    train, test = _csv_of_pixels(12, True, 1), _csv_of_pixels(6, True, 1)
    files = {"sign_mnist_train.csv": train, "sign_mnist_train/sign_mnist_train.csv": train}
    files |= {"sign_mnist_test.csv": test, "sign_mnist_test/sign_mnist_test.csv": test}
    files |= {"amer_sign2.png": None, "american_sign_language.PNG": None}
    return Layout(files, asks(MNIST, "sign_mnist_train.csv"))


@layout
def svhn() -> Layout:
    """ufldl.stanford.edu/housenumbers, format 2: X of 32 x 32 x 3 x N and y in files of MATLAB; 10 is the digit 0."""
    files: dict[str, Content] = {}
    for split, number in (("train", 12), ("test", 6)):
        digits = np.array([10, 1, 2])[np.arange(number) % 3][:, None].astype(np.uint8)
        files[f"{split}_32x32.mat"] = _mat(X=_pixels(number, (32, 32, 3)).transpose(1, 2, 3, 0), y=digits)
    return Layout(files, Refused(("SVHN", "MATLAB"), (MNIST,)))


@layout
def stl_10() -> Layout:
    """cs.stanford.edu/~acoates/stl10: bytes without a shape, column by column, and unlabeled images."""
    files: dict[str, Content] = {"class_names.txt": "airplane\nbird\ncar\n", "fold_indices.txt": "0 1 2\n"}
    for split, number in (("train", 12), ("test", 6)):
        files[f"{split}_X.bin"] = _pixels(number, (3, 96, 96)).tobytes()
        files[f"{split}_y.bin"] = (np.arange(number, dtype=np.uint8) % 3).tobytes()
    files["unlabeled_X.bin"] = _pixels(2, (3, 96, 96)).tobytes()
    return Layout({f"stl10_binary/{name}": data for name, data in files.items()}, Refused(("STL-10",), (MNIST,)))


@layout
def data_sets_in_one_npz() -> Layout:
    """As authors deposit at Zenodo: the arrays of several data sets in one file."""
    arrays: dict[str, np.ndarray] = {}
    for split, number in (("train", 12), ("test", 6)):
        for name in ("leaf", "fruit"):
            arrays |= {f"{name}_{split}_images": _pixels(number), f"{name}_{split}_labels": np.arange(number) % 3}
    return Layout({"all.npz": _npz(arrays)}, Refused(("fruit, leaf",), (MNIST,)), "all.npz")
