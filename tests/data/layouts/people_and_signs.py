"""Faces, gestures, handwriting and traffic signs: numbers in folders and files, several labels in one name."""

from __future__ import annotations

import io
from itertools import product
from typing import Any

import numpy as np
from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, classes, layout, lines, loose, table


def _arrays(**arrays: Any) -> bytes:
    """An .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: _pixels(values) for name, values in arrays.items()})
    return buffer.getvalue()


def _array(values: Any) -> bytes:
    """An .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, _pixels(values))
    return buffer.getvalue()


def _pixels(values: Any) -> np.ndarray:
    array = np.asarray(values)
    return array.astype(np.uint8) if array.dtype.kind == "i" else array.astype(np.float32)


@layout
def fair_face() -> Layout:
    """github.com/joojs/fairface: train/1.jpg and val/1.jpg, age, gender and race of each in a table per split."""
    head, files, found = ("file", "age", "gender", "race", "service_test"), dict[str, Content](), {}
    for name, split in (("train", "train"), ("val", "val")):
        cells = [(f"{name}/{n}.jpg", ("0-2", "20-29", "50-59")[n % 3], ("Male", "Female")[n % 2], ("Black", "Indian",
                  "White", "East Asian")[n // 2 % 4], n % 5 == 0) for n in range(1, 25)]  # fmt: skip
        files |= {**blank(cell[0] for cell in cells), f"fairface_label_{name}.csv": table(head, cells)}
        found |= {cell[0]: (cell, split) for cell in cells}
    readings = tuple(Read({path: (cell[k], split) for path, (cell, split) in found.items()}) for k in (1, 2, 3))
    return Layout(files, Refused(("age", "gender", "race"), readings))


@layout
def att_faces() -> Layout:
    """cl.cam.ac.uk, the ORL faces: s1/ to s40/, a person each, with 1.pgm to 10.pgm."""
    rows = {f"att_faces/s{k}/{n}.pgm": (f"s{k}", "") for k, n in product(range(1, 6), range(1, 5))}
    return Layout({**blank(rows), "att_faces/README": "Cite"}, asks(Read(rows), "s1"))


@layout
def kdef() -> Layout:
    """kdef.se: a folder per person, and the expression as two letters within each file's name."""
    rows = {f"KDEF/{at}/{at}{mood}{view}.JPG": (mood, "") for at, mood, view in
            product(("AF01", "AF02", "AM01", "AM02"), ("AN", "HA", "SA"), ("S", "FL", "HR"))}  # fmt: skip
    persons = Read({path: (path.split("/")[1], "") for path in rows})
    return Layout(blank(rows), Refused(("AF01",), (Read(rows), persons)))


@layout
def simpsons() -> Layout:
    """Kaggle alexattia/the-simpsons-characters-dataset: classes twice nested, a test folder whose names have labels."""
    labels = ("abraham_grampa_simpson", "bart_simpson", "lisa_simpson")
    rows = classes("simpsons_dataset/simpsons_dataset", labels, name="pic_{n:04}.jpg", each=6)
    test = (f"{label}_{n}.jpg" for label in labels for n in range(3))
    files = {**blank(rows), **loose("kaggle_simpson_testset/kaggle_simpson_testset", test)}
    files["annotation.txt"] = lines(
        f"./characters/{label}/pic_{n:04}.jpg,57,72,52,72,{label}" for label in labels for n in range(1, 7)
    )
    files["number_pic_char.csv"] = table(("", "name", "total"), [(n, label, 6) for n, label in enumerate(labels)])
    train = Read({path: (label, "train") for path, (label, _) in rows.items()})
    return Layout(files, (Read(rows), train, Refused(("simpsons_dataset",), (Read(rows), train))))


@layout
def best_artworks() -> Layout:
    """Kaggle ikarus777/best-artworks-of-all-time: each class folder, and all images again, smaller, in one folder."""
    labels = ("Albrecht_Durer", "Edgar_Degas", "Vincent_van_Gogh")
    rows = classes("images/images", labels, name="{label}_{n}.jpg", each=6)
    files = {**blank(rows), **loose("resized/resized", (path.rpartition("/")[2] for path in rows))}
    files["artists.csv"] = table(
        ("id", "name", "genre"), [(n, label.replace("_", " "), "Art") for n, label in enumerate(labels)]
    )
    return Layout(files, (Read(rows, ignored=("resized",)), Refused(("resized",), (Read(rows),))))


@layout
def distracted_drivers() -> Layout:
    """Kaggle, State Farm Distracted Driver Detection: imgs/train/c0, loose test images, the driver of each image."""
    rows = classes("imgs/train", ("c0", "c1", "c9"), "train", "img_{label}{n}.jpg", 6)
    files = {
        **blank(rows),
        **loose("imgs/test", ("img_1.jpg", "img_10.jpg")),
        "sample_submission.csv": table(("img", "c0"), [("img_1.jpg", 0.1)]),
    }
    cells = [(f"p{n % 3:03}", label, path.rpartition("/")[2]) for n, (path, (label, _)) in enumerate(rows.items())]
    return Layout(
        {**files, "driver_imgs_list.csv": table(("subject", "classname", "img"), cells)},
        asks(Read(rows), "driver_imgs_list.csv"),
    )


@layout
def leap_gestures() -> Layout:
    """Kaggle gti-upm/leapgestrecog: ten gestures below each of ten persons, and all of it twice."""
    labels = ("01_palm", "02_l", "03_fist")
    rows = {f"leapGestRecog/0{p}/{label}/frame_0{p}_{label[:2]}_{n:04}.png": (label, "")
            for p, label, n in product(range(4), labels, (1, 2, 3))}  # fmt: skip
    copies = {f"leapgestrecog/{path}": row for path, row in rows.items()}
    return Layout(blank([*rows, *copies]), Refused(("leapGestRecog",), (Read(rows), Read(copies))))


@layout
def leap_gestures_once() -> Layout:
    """The same without the copy: the persons are no classes."""
    rows = {f"leapGestRecog/0{p}/{label}/frame_0{p}_{label[:2]}_{n:04}.png": (label, "")
            for p, label, n in product(range(4), ("01_palm", "02_l", "03_fist"), (1, 2, 3))}  # fmt: skip
    return Layout(blank(rows), asks(Read(rows), "leapGestRecog/00"))


@layout
def fingers() -> Layout:
    """Kaggle koryakinp/fingers: an id, the number of fingers and the hand in each name."""
    label_of = [f"{n % 3}{'LR'[n % 2]}" for n in range(90)]
    rows = {f"{folder}/{n:08x}-89c6-48fa-9681-57e79e05{n:04x}_{label_of[n]}.png": (label_of[n], folder)
            for folder, start in (("train", 0), ("test", 60)) for n in range(start, start + 30)}  # fmt: skip
    return Layout(blank(rows), Refused(("--label-from",), (Read(rows),)))


@layout
def real_and_fake_faces() -> Layout:
    """Kaggle ciplab/real-and-fake-face-detection: training_real/ and training_fake/ are classes, twice."""
    top = "real_and_fake_face_detection/real_and_fake_face"
    rows = {f"{top}/training_{label}/{name}_{n:05}.jpg": (f"training_{label}", "")
            for label, name in (("real", "real"), ("fake", "easy")) for n in range(1, 5)}  # fmt: skip
    names = {"training_real": "real", "training_fake": "fake"}
    return Layout(blank(rows), (Read(rows, names=names), Refused(("training_real",), (Read(rows, names=names),))))


@layout
def faces_140k() -> Layout:
    """Kaggle xhlulu/140k-real-and-fake-faces: class folders below splits, and tables with two columns of paths."""
    top, files, rows = "real_vs_fake/real-vs-fake", dict[str, Content](), {}
    for name, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        cells = []
        for n, label in product(range(6), ("real", "fake")):
            path, number = f"{name}/{label}/{n}{split}.jpg", int(label == "real")
            old = f"/kaggle/input/flickrfaceshq/{n:05}.jpg"
            rows[f"{top}/{path}"] = (label, split)
            cells.append((len(cells), old, f"{n}{split}", number, label, path))
        files[f"{name}.csv"] = table(("", "original_path", "id", "label", "label_str", "path"), cells)
    return Layout({**files, **blank(rows)}, asks(Read(rows), "train.csv"))


@layout
def arabic_handwriting() -> Layout:
    """Kaggle mloey1/ahcd1: id_1_label_1.png, each split nested, and pixels and labels in separate tables."""
    rows, files = {}, dict[str, Content]()
    for name, size, split in (("Train", "13440x32x32", "train"), ("Test", "3360x32x32", "test")):
        rows |= {
            f"{name} Images {size}/{split}/id_{n}_label_{1 + n % 3}.png": (str(1 + n % 3), split) for n in range(1, 22)
        }
    files["csvTrainLabel 13440x1.csv"] = "".join(f"{1 + n % 3}\n" for n in range(21))
    files["csvTrainImages 13440x1024.csv"] = "".join(",".join(["0"] * 1024) + "\n" for _ in range(21))
    return Layout({**blank(rows), **files}, Refused(("--label-from",), (Read(rows),)))


@layout
def a_to_z_handwritten() -> Layout:
    """Kaggle sachinpatel21/az-handwritten-alphabets-in-csv-format: label and 784 pixels per line, no header."""
    text = table(None, [(k % 3, *((k * n) % 256 for n in range(784))) for k in range(12)])
    return Layout(
        {"A_Z Handwritten Data.csv": text},
        asks(Read(counts={(str(k), ""): 4 for k in range(3)}), "A_Z Handwritten Data.csv"),
    )


@layout
def kuzushiji_49() -> Layout:
    """github.com/rois-codh/kmnist: images and labels in separate .npz files, each with one array called arr_0."""
    rng_images = {"train": 12, "test": 6}
    files: dict[str, Content] = {}
    for split, count in rng_images.items():
        files[f"k49-{split}-imgs.npz"] = _arrays(arr_0=[[[n % 256] * 28] * 28 for n in range(count)])
        files[f"k49-{split}-labels.npz"] = _arrays(arr_0=[n % 3 for n in range(count)])
    files["k49_classmap.csv"] = table(
        ("index", "codepoint", "char"), [(0, "U+3042", "あ"), (1, "U+3044", "い"), (2, "U+3046", "う")]
    )
    counts = {(str(k), split): count // 3 for split, count in rng_images.items() for k in range(3)}
    return Layout(files, asks(Read(counts=counts), "npz"))


@layout
def sign_language_digits() -> Layout:
    """Kaggle ardamavi/sign-language-digits-dataset: X.npy and Y.npy, pixels from 0 to 1 and one-hot labels."""
    top = "Sign-language-digits-dataset"
    files = {
        f"{top}/X.npy": _array([[[n / 20] * 16] * 16 for n in range(12)]),
        f"{top}/Y.npy": _array([[float(n % 3 == k) for k in range(3)] for n in range(12)]),
    }
    return Layout(files, asks(Read(counts={(str(k), ""): 4 for k in range(3)}), "npy"))


@layout
def quick_draw() -> Layout:
    """console.cloud.google.com/storage/browser/quickdraw_dataset/full/numpy_bitmap: one .npy file per class."""
    files = {f"full_numpy_bitmap_{label}.npy": _array([[n] * 784 for n in range(5)]) for label in ("cat", "dog", "owl")}
    return Layout(files, Refused(("full_numpy_bitmap_cat (5 x 784)", "numpy.savez")))


@layout
def kuzushiji_twice() -> Layout:
    """The same with Kuzushiji-MNIST in one folder, as the download script leaves them."""
    files: dict[str, Content] = {}
    for name, split, start in (
        ("kmnist", "train", 0),
        ("kmnist", "test", 9),
        ("k49", "train", 90),
        ("k49", "test", 99),
    ):
        files[f"{name}-{split}-imgs.npz"] = _arrays(arr_0=[[[start + n] * 28] * 28 for n in range(6)])
        files[f"{name}-{split}-labels.npz"] = _arrays(arr_0=[n % 3 for n in range(6)])
    right = Read(counts={(str(k), split): 2 for k in range(3) for split in ("train", "test")})
    return Layout(files, Refused(("2 data sets",), (right,)))


@layout
def chinese_mnist() -> Layout:
    """Kaggle gpreda/chinese-mnist: three numbers in each name, and a table of them without the name."""
    cells = [(s, n, c, 10 * c, "零一二"[c - 1]) for s, n, c in product((1, 2, 3), (1, 2), (1, 2, 3))]
    paths = {f"data/data/input_{s}_{n}_{c}.jpg": (s, n, c) for s, n, c, *_ in cells}
    head = ("suite_id", "sample_id", "code", "value", "character")
    readings = tuple(Read({path: (str(ids[k]), "") for path, ids in paths.items()}) for k in range(3))
    return Layout({**blank(paths), "chinese_mnist.csv": table(head, cells)}, Refused(("--label-from",), readings))


@layout
def hasy_v2() -> Layout:
    """zenodo.org/records/259444: one table of all, and ten folds of train.csv and test.csv with paths from there."""
    head = ("path", "symbol_id", "latex", "user_id")
    cells = [
        (f"hasy-data/v2-{n:05}.png", 31 + n % 3, ("A", "\\pi", "\\rightarrow")[n % 3], 50 + n % 4) for n in range(24)
    ]
    files = {**blank(cell[0] for cell in cells), "hasy-data-labels.csv": table(head, cells)}
    for fold in (1, 2):
        moved = [(f"../../{cell[0]}", *cell[1:]) for cell in cells]
        files |= {f"classification-task/fold-{fold}/{split}.csv": table(head, part)
                  for split, part in (("train", moved[:18]), ("test", moved[18:]))}  # fmt: skip
    files["symbols.csv"] = table(("symbol_id", "latex", "training_samples"), [(31 + k, "A", 8) for k in range(3)])
    names = {"A": "31", "\\pi": "32", "\\rightarrow": "33"}
    whole = Read({cell[0]: (cell[2], "") for cell in cells}, names=names)
    given = Read({cell[0]: (cell[2], "train" if n < 18 else "test") for n, cell in enumerate(cells)}, names=names)
    return Layout(files, (whole, given, Refused(("hasy-data-labels.csv",), (whole, given))))


@layout
def chinese_traffic_signs() -> Layout:
    """nlpr.ia.ac.cn/pal/trafficdata: name;width;height;box;class; without a header, one list per split."""
    rows, files = {}, dict[str, Content]()
    for split, title, stem in (("train", "Train4170", "TSRD-Train"), ("test", "Test1994", "TSRD-Test")):
        names = [f"{n % 3:03}_{'' if split == 'train' else '1_'}{n:04}.png" for n in range(18)]
        rows |= {f"{stem}/{name}": (str(n % 3), split) for n, name in enumerate(names)}
        text = "".join(f"{name};{130 + n};{128 + n};19;7;120;117;{n % 3};\n" for n, name in enumerate(names))
        files[f"TsignRecg{title}Annotation.txt"] = text
    return Layout({**blank(rows), **files}, Read(rows))


@layout
def belgian_traffic_signs() -> Layout:
    """btsd.ethz.ch: Training/00000/ with a table in each class folder, and the test images in the same form."""
    head, rows, files = (
        ("Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId"),
        {},
        dict[str, Content](),
    )
    for folder, split in (("Training", "train"), ("Testing", "test")):
        for label in ("00000", "00001", "00061"):
            names = [f"0{n}153_00000{split[0]}.ppm" for n in range(4)]
            rows |= {f"BelgiumTSC_{folder}/{folder}/{label}/{name}": (label, split) for name in names}
            cells = [(name, 111, 102, 13, 11, 95, 88, int(label)) for name in names]
            files[f"BelgiumTSC_{folder}/{folder}/{label}/GT-{label}.csv"] = table(head, cells, ";")
        files[f"BelgiumTSC_{folder}/{folder}/Readme.txt"] = "Annotations"
    return Layout({**blank(rows), **files}, asks(Read(rows), "Training"))


@layout
def ages_in_folders() -> Layout:
    """Kaggle frabbisw/facial-age: a folder per year of age; numbers, but classes as they lie there."""
    rows = classes("face_age", ("001", "002", "014", "110"), name="{n}98.png")
    return Layout(blank(rows), asks(Read(rows), "001"))
