"""Parquet, arrays, IDX and tables of pixels: the images, labels and splits that were put in, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.drawings import draw
from tests.shards import write_shard, write_zip

from topwork.core.artifacts import Manifest
from topwork.core.config import DataConfig
from topwork.core.errors import TopworkError
from topwork.data.images import load_image
from topwork.data.manifest import build_manifest
from topwork.data.sources import list_images


def listing(data: Path, **options: str) -> Manifest:
    return list_images(DataConfig.model_validate({"path": str(data), **options}))


def png(label: int, number: int) -> bytes:
    buffer = io.BytesIO()
    draw(label, number, 8).save(buffer, "PNG")
    return buffer.getvalue()


def write_parquet(path: Path, rows: list[dict[str, object]], names: list[str] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows)
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def rows_of(labels: list[object]) -> list[dict[str, object]]:
    return [{"image": {"bytes": png(0, n), "path": f"{n}.png"}, "label": label} for n, label in enumerate(labels)]


@pytest.mark.parametrize("path", ["{above}/secret.png", "../secret.png", "link.png"])
def test_a_row_of_parquet_names_no_file_outside_its_folder(tmp_path: Path, path: str) -> None:
    image = png(0, 5)
    (tmp_path / "secret.png").write_bytes(image)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/link.png").symlink_to("../secret.png")
    (tmp_path / "d/1.png").write_bytes(image)
    rows = rows_of(["ant", "bee", "ant"])
    rows[0]["image"] = {"bytes": None, "path": "1.png"}
    write_parquet(tmp_path / "d/x.parquet", rows)
    assert len(listing(tmp_path / "d/x.parquet").rows) == 3
    rows[1]["image"] = {"bytes": None, "path": path.format(above=tmp_path)}
    write_parquet(tmp_path / "d/x.parquet", rows)
    with pytest.raises(TopworkError, match=r"row 1 names the file .*\.png, which is not in .*d\. "):
        listing(tmp_path / "d/x.parquet")


def test_parquet_of_the_hub_gives_the_bytes_the_names_and_the_splits(tmp_path: Path) -> None:
    for name, labels in (("train-00000-of-00002", [0, 1, -1]), ("train-00001-of-00002", [1]), ("test-00000", [0])):
        write_parquet(tmp_path / "hub" / "data" / f"{name}.parquet", rows_of(labels), ["ant", "bee"])
    (tmp_path / "hub" / "README.md").write_text("---\n---\n")
    found = listing(tmp_path / "hub")
    assert [(row.label, row.split) for row in found.rows] == [
        ("ant", "test"), ("ant", "train"), ("bee", "train"), ("bee", "train")
    ]  # fmt: skip
    assert [Path(row.ref.path).read_bytes() for row in found.rows] == [png(0, n) for n in (0, 0, 1, 0)]
    assert found.ignored == {"train-00000-of-00002.parquet": "1 of 3 rows without a label"}
    assert "Parquet" in found.reading


def test_a_copy_is_made_once_and_again_if_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "x.parquet", rows_of(["ant", "bee"]))
    first = listing(tmp_path / "x.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(pq.ParquetFile, "iter_batches", None)
        assert listing(tmp_path / "x.parquet") == first
    path = Path(first.rows[1].ref.path)
    path.write_bytes(path.read_bytes()[:20])
    assert listing(tmp_path / "x.parquet") == first
    assert path.read_bytes() == png(0, 1)
    write_parquet(tmp_path / "x.parquet", rows_of(["ant", "wasp"]))
    assert [row.label for row in listing(tmp_path / "x.parquet").rows] == ["ant", "wasp"]


def test_plain_bytes_and_paths_beside_the_file_are_read_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [{"img": png(1, n), "class": "xy"[n]} for n in range(2)])
    assert [(row.label, Path(row.ref.path).read_bytes()) for row in listing(tmp_path / "a.parquet").rows] == [
        ("x", png(1, 0)), ("y", png(1, 1))
    ]  # fmt: skip
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "1.png").write_bytes(png(2, 2))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": None, "path": "1.png"}], kind), "label": ["z"]})
    pq.write_table(table, tmp_path / "more" / "b.parquet")
    (row,) = listing(tmp_path / "more" / "b.parquet").rows
    assert Path(row.ref.path).read_bytes() == png(2, 2)


ARRAYS = {
    "gray": np.random.default_rng(0).integers(0, 256, (6, 9, 8), dtype=np.uint8),
    "colors": np.random.default_rng(1).integers(0, 256, (6, 9, 8, 3), dtype=np.uint8),
    "wide": np.random.default_rng(2).integers(0, 65536, (6, 9, 8), dtype=np.uint16),
}


def stored(found: Manifest) -> list[np.ndarray]:
    images = []
    for row in found.rows:
        with Image.open(row.ref.path) as image:
            images.append(np.asarray(image))
    return images


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_stored_without_loss(tmp_path: Path, kind: str) -> None:
    pixels = ARRAYS[kind]
    labels = np.array([0, 1, 2, 0, 1, 2])[:, None]
    path = tmp_path / "set.npz"
    np.savez(path, train_images=pixels[:4], train_labels=labels[:4], val_images=pixels[4:], val_labels=labels[4:])
    found = listing(path)
    assert [(row.label, row.split) for row in found.rows] == [
        (str(n % 3), "train" if n < 4 else "val") for n in range(6)
    ]
    assert all((one == two).all() for one, two in zip(stored(found), pixels, strict=True))
    np.savez_compressed(path, x=pixels.astype(np.int64), y=np.eye(3, dtype=int)[labels[:, 0]])  # one-hot
    found = listing(path)
    assert [row.label for row in found.rows] == ["0", "1", "2", "0", "1", "2"]
    assert all((one == two).all() for one, two in zip(stored(found), pixels, strict=True))


def test_a_damaged_file_beside_the_images_keeps_nothing_from_being_read(class_folders: Path) -> None:
    expected = listing(class_folders).rows
    (class_folders / "features.npz").write_bytes(b"PK")
    (class_folders / "meta.parquet").write_bytes(b"PAR1")
    assert listing(class_folders).rows == expected
    with pytest.raises(TopworkError, match=r"features\.npz is damaged"):
        listing(class_folders, source="arrays")


def test_floats_and_channels_first_are_understood(tmp_path: Path) -> None:
    pixels = ARRAYS["colors"]
    np.savez(tmp_path / "set.npz", X_train=pixels.transpose(0, 3, 1, 2) / 255.0, y_train=list("ababab"))
    found = listing(tmp_path / "set.npz")
    assert [row.label for row in found.rows] == list("ababab")
    assert all((one == two).all() for one, two in zip(stored(found), pixels, strict=True))


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def test_idx_files_and_tables_of_pixels_give_the_same_images(tmp_path: Path) -> None:
    pixels, labels = ARRAYS["gray"][:, :8], np.array([7, 3, 7, 3, 7, 3], dtype=np.uint8)
    for folder, packed in (("plain", False), ("packed", True)):
        (tmp_path / folder).mkdir()
        for name, chosen in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
            for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
                data = idx(array[chosen])
                path = tmp_path / folder / f"{name}-{kind}-ubyte{'.gz' if packed else ''}"
                path.write_bytes(gzip.compress(data) if packed else data)
    (tmp_path / "table").mkdir()
    for name, chosen in (("x_train.csv", range(4)), ("x_test.csv", range(4, 6))):
        lines = [",".join(map(str, [labels[n], *pixels[n].ravel()])) for n in chosen]
        (tmp_path / "table" / name).write_text(
            "\n".join([",".join(["label", *(f"pixel{n}" for n in range(64))]), *lines])
        )
    for data in ("plain", "packed", "table"):
        found = listing(tmp_path / data)
        by_split = sorted(zip(((row.split, row.label) for row in found.rows), map(bytes, stored(found)), strict=True))
        expected = [(("train" if n < 4 else "test", str(labels[n])), pixels[n].tobytes()) for n in range(6)]
        assert by_split == sorted(expected), data
    assert "8 x 8 gray" in listing(tmp_path / "table").reading


@pytest.mark.parametrize(
    ("names", "encoding"),
    [(("Training", "PublicTest", "PrivateTest"), "utf-8"), (("train", "valid", "Testing"), "utf-16")],
)
def test_a_table_with_all_pixels_in_one_column_has_the_splits_of_its_last_column(
    tmp_path: Path, names: tuple[str, ...], encoding: str
) -> None:
    pixels = ARRAYS["gray"][:3, :8]
    lines = [f"{n},{' '.join(map(str, pixels[n].ravel()))},{name}" for n, name in enumerate(names)]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *lines]), encoding=encoding)
    found = listing(tmp_path / "fer2013.csv")
    assert [(row.label, row.split) for row in found.rows] == [("0", "train"), ("1", "val"), ("2", "test")]
    assert all((one == two).all() for one, two in zip(stored(found), pixels, strict=True))


HEADER = ",".join(["label", *(f"pixel{n}" for n in range(64))])


def refused_files(folder: Path) -> dict[str, str]:
    """Name to what the message about a file must say."""
    np.savez(folder / "pickled.npz", x=np.zeros((2, 8, 8)), y=np.array([{}, None], dtype=object))
    np.savez(folder / "tags.npz", x_train=np.zeros((2, 8, 8), np.uint8), y_train=np.array([[1, 1], [0, 1]]))
    np.savez(folder / "range.npz", x=np.full((2, 8, 8), -7.5), y=[0, 1])
    np.savez(folder / "volumes.npz", x=np.zeros((2, 8, 8, 8), np.uint8), y=[0, 1])
    (folder / "cut.npz").write_bytes((folder / "range.npz").read_bytes()[:300])
    (folder / "odd.csv").write_text("label," + ",".join(f"pixel{n}" for n in range(70)) + "\n1" + ",2" * 70)
    (folder / "short.csv").write_text(HEADER + "\n1" + ",2" * 64 + "\n1" + ",2" * 63)
    (folder / "cut.parquet").write_bytes(b"PAR1" + bytes(100))
    write_parquet(folder / "unnamed.parquet", [{"image": {"bytes": png(0, 0), "path": ""}, "colour": 1}])
    write_parquet(folder / "tags.parquet", rows_of([[1, 2], [1]]))
    (folder / "images.tar.gz").write_bytes(gzip.compress(b"x"))
    (folder / "images.rar").write_bytes(b"Rar!")
    (folder / "images.h5").write_bytes(b"\x89HDF")
    (folder / "train_32x32.mat").write_bytes(b"MATLAB 5.0 MAT-file")  # SVHN
    (folder / "train_X.bin").write_bytes(bytes(96 * 96 * 3))  # STL-10
    return {
        "pickled.npz": "Python objects in 'y'. They are stored as a pickle",
        "tags.npz": r"tags.npz has several labels per image \(2 columns",
        "range.npz": "range.npz has values from -7.5 to -7.5; expected 0 to 255, or 0 to 1",
        "volumes.npz": "has the shape 2 x 8 x 8 x 8; expected N x height x width",
        "cut.npz": "is damaged",
        "odd.csv": "odd.csv has 70 pixels per row, which do not form a square image",
        "short.csv": "short.csv:3 does not have the 64 pixel values",
        "cut.parquet": "cut.parquet is damaged",
        "unnamed.parquet": "topwork check .*unnamed.parquet --label-column",
        "tags.parquet": "Several labels per image",
        "images.tar.gz": "compressed as a whole.*tar -xf .* topwork check",
        "images.rar": "unrar x .* topwork check",
        "images.h5": "is an HDF5 file; topwork does not open it",
        "train_32x32.mat": "train_32x32.mat is a MATLAB file; topwork does not open it.*topwork check data.npz",
        "train_X.bin": "train_X.bin is a binary file without.*topwork check data.npz",
    }


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    for name, word in refused_files(tmp_path).items():
        with pytest.raises(TopworkError, match=word) as told:
            listing(tmp_path / name)
        assert "\n" not in str(told.value), name


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"]:
        (tmp_path / name).write_bytes(b"\x80\x02}q\x01.")
    with pytest.raises(TopworkError, match=r"CIFAR-10 as Python pickles.*topwork check hf:uoft-cs/cifar10"):
        listing(tmp_path)


@pytest.mark.parametrize("write", [write_zip, write_shard])
def test_an_archive_is_read_as_its_folder(
    tmp_path: Path, class_folders: Path, write: Callable[[Path, list[tuple[str, bytes]]], Path]
) -> None:
    files = [(p.relative_to(class_folders).as_posix(), p.read_bytes()) for p in sorted(class_folders.rglob("*.png"))]
    suffix = ".zip" if write is write_zip else ".tar"
    inside = [*files, ("__MACOSX/ant/._1.png", b"x"), ("readme.txt", b"x")]
    path = write(tmp_path / "one" / f"insects{suffix}", inside)
    plain = build_manifest(DataConfig(path=str(class_folders)), tmp_path / "cache")
    expected = [(row.id, row.label) for row in plain.rows]
    assert build_manifest(DataConfig(path=str(path)), tmp_path / "cache").rows == plain.rows
    for row in listing(path).rows:
        assert load_image(row.ref).tobytes() == load_image(class_folders / row.id).tobytes()
    write(class_folders / f"backup{suffix}", files)  # beside the images it is no folder
    assert [(row.id, row.label) for row in listing(class_folders).rows] == expected


def test_a_folder_with_an_archive_per_class_is_read_as_class_folders(tmp_path: Path) -> None:
    for label in range(2):
        write_zip(tmp_path / f"class{label}.zip", [(f"{n}.png", png(label, n)) for n in range(3)])
    found = listing(tmp_path)
    assert [(row.id, row.label) for row in found.rows] == [
        (f"class{label}.zip/{n}.png", f"class{label}") for label in range(2) for n in range(3)
    ]
    assert [Path(row.ref.store).name for row in found.rows[::3]] == ["class0.zip", "class1.zip"]
