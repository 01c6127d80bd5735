"""Text lists, MATLAB files and synsets of the data sets that papers compare on."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.io import savemat
from tests.data.layouts import Content, Layout, Read, Refused, Rows, asks, blank, classes, layout, lines, loose, table


def _mat(**variables: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, variables)
    return buffer.getvalue()


def _structs(rows: list[Mapping[str, Any]]) -> np.ndarray:
    array = np.zeros((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for n, row in enumerate(rows):
        for name, value in row.items():
            array[0, n][name] = value
    return array


@layout
def cub_200_2011() -> Layout:
    """data.caltech.edu/records/65de6-vp158: numbered images, labels and splits in three lists."""
    labels = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
    names = [f"{label}/{label[4:]}_00{n}_{n}8.jpg" for label in labels for n in range(10, 14)]
    kept = [n % 2 for n in range(len(names))]
    rows = {
        f"CUB_200_2011/images/{name}": (name.split("/")[0], "train" if keep else "test")
        for name, keep in zip(names, kept, strict=True)
    }
    top = "CUB_200_2011"
    files = {
        f"{top}/images.txt": lines(enumerate(names, 1)),
        f"{top}/image_class_labels.txt": lines((n, 1 + (n - 1) // 4) for n in range(1, 13)),
        f"{top}/train_test_split.txt": lines(enumerate(kept, 1)),
        f"{top}/classes.txt": lines(enumerate(labels, 1)),
        f"{top}/bounding_boxes.txt": lines((n, 60.0, 27.0, 325.0, 304.0) for n in range(1, 13)),
        f"{top}/README": "Caltech-UCSD Birds-200-2011",
        f"{top}/parts/parts.txt": lines([(1, "back"), (2, "beak")]),
        f"{top}/attributes/image_attribute_labels.txt": lines((n, 1, 0, 3, 27.7) for n in range(1, 13)),
        "attributes.txt": lines([(1, "has_bill_shape::curved_(up_or_down)")]),
    }  # fmt: skip
    return Layout({**blank(rows), **files}, asks(Read(rows), "train_test_split.txt"))


@layout
def fgvc_aircraft() -> Layout:
    """robots.ox.ac.uk/~vgg/data/fgvc-aircraft: variant, family and manufacturer of each image, in lists per split."""
    planes = (("707-320", "Boeing 707", "Boeing"), ("737-200", "Boeing 737", "Boeing"), ("A300B4", "A300", "Airbus"))
    top, kinds = "fgvc-aircraft-2013b/data", ("variant", "family", "manufacturer")
    files: dict[str, Content] = {}
    found: dict[str, Rows] = {kind: {} for kind in kinds}
    for start, split in ((1025794, "train"), (1340192, "val"), (1514522, "test")):
        numbers = range(start, start + 6)
        files[f"{top}/images_{split}.txt"] = lines(map(str, numbers))
        for k, kind in enumerate(kinds):
            listed = [(n, planes[n % 3][k]) for n in numbers]
            files[f"{top}/images_{kind}_{split}.txt"] = lines(listed)
            found[kind] |= {f"{top}/images/{n}.jpg": (label, split) for n, label in listed}
    for k, (kind, name) in enumerate(zip(kinds, ("variants", "families", "manufacturers"), strict=True)):
        both = str(files[f"{top}/images_{kind}_train.txt"]) + str(files[f"{top}/images_{kind}_val.txt"])
        files[f"{top}/images_{kind}_trainval.txt"] = both
        files[f"{top}/{name}.txt"] = lines(sorted({plane[k] for plane in planes}))
    files[f"{top}/images_box.txt"] = lines((path.split("/")[-1][:-4], 3, 144, 998, 431) for path in found["variant"])
    files["fgvc-aircraft-2013b/README"] = "FGVC-Aircraft"
    readings = tuple(Read(rows) for rows in found.values())
    return Layout({**blank(found["variant"]), **files}, (readings[0], Refused(("variant", "manufacturer"), readings)))


@layout
def food_101() -> Layout:
    """data.vision.ee.ethz.ch/cvl/datasets_extra/food-101: class folders below images/, splits by id in meta/."""
    labels = ("apple_pie", "baby_back_ribs", "baklava")
    rows = classes("food-101/images", labels, "train", "10056{n}.jpg", 4) | classes(
        "food-101/images", labels, "test", "1034{n}.jpg", 2
    )
    stems = {path.removeprefix("food-101/images/").removesuffix(".jpg"): split for path, (_, split) in rows.items()}
    files = {f"food-101/meta/{s}.txt": lines(k for k, v in stems.items() if v == s) for s in ("train", "test")}
    files |= {"food-101/meta/classes.txt": lines(labels), "food-101/README.txt": "Food-101"}
    files["food-101/meta/labels.txt"] = lines(label.replace("_", " ").capitalize() for label in labels)
    files["food-101/meta/train.json"] = '{"apple_pie": ["apple_pie/100561"]}'
    return Layout({**blank(rows), **files}, asks(Read(rows), "meta/train.txt"))


@layout
def dtd() -> Layout:
    """robots.ox.ac.uk/~vgg/data/dtd: ten splits of the same images; some images have several joint attributes."""
    labels = ("banded", "blotchy", "braided")
    paths = [f"{label}/{label}_{n:04}.jpg" for label in labels for n in range(1, 7)]
    files: dict[str, Content] = {}
    first: Rows = {}
    for number in range(1, 11):
        for k, split in enumerate(("train", "val", "test")):
            chosen = [path for n, path in enumerate(paths) if (n + number) % 3 == k]
            files[f"dtd/labels/{split}{number}.txt"] = lines(chosen)
            if number == 1:
                first |= {f"dtd/images/{path}": (path.split("/")[0], split) for path in chosen}
    joint = [f"{path} {path.split('/')[0]}" + (" lined" if n % 5 == 0 else "") for n, path in enumerate(paths)]
    files["dtd/labels/labels_joint_anno.txt"] = lines(joint)
    right = Read(first)
    folders = Read({path: (label, "") for path, (label, _) in first.items()})
    return Layout({**blank(first), **files}, (right, Refused(("train1.txt",), (right, folders))))


@layout
def oxford_pets() -> Layout:
    """robots.ox.ac.uk/~vgg/data/pets: breed in the file name, three numbers in the lists; '#' before comments."""
    breeds = ("Abyssinian", "american_bulldog", "Bengal")
    files: dict[str, Content] = {"annotations/README": "The Oxford-IIIT Pet Dataset"}
    rows, listed = {}, {"trainval": [], "test": []}
    for n, breed in enumerate(breeds, 1):
        for k in range(1, 7):
            part = "trainval" if k < 5 else "test"
            rows[f"images/{breed}_{k}.jpg"] = (breed, "train" if k < 5 else "test")
            listed[part].append(f"{breed}_{k} {n} {1 + breed[0].islower()} {n}")
            files[f"annotations/trimaps/{breed}_{k}.png"] = None
    files |= {f"annotations/{part}.txt": lines(text) for part, text in listed.items()}
    head = "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\n#SPECIES: 1:Cat 2:Dog\n"
    files["annotations/list.txt"] = head + lines(itertools.chain(*listed.values()))
    files["annotations/xmls/Abyssinian_1.xml"] = "<annotation/>"
    files["images/Abyssinian_100.mat"] = b"MATLAB"
    right = Read(rows)
    numbers = Read({path: (str(breeds.index(label) + 1), split) for path, (label, split) in rows.items()})
    names = Read({path: (label, "") for path, (label, _) in rows.items()})
    return Layout({**blank(rows), **files}, (right, numbers, Refused(("annotations",), (right, numbers, names))))


@layout
def flowers_102() -> Layout:
    """robots.ox.ac.uk/~vgg/data/flowers/102: numbers in imagelabels.mat, the three splits in setid.mat."""
    labels = [str(1 + n % 4) for n in range(24)]
    splits = ["train" if n < 8 else "val" if n < 12 else "test" for n in range(24)]
    rows = {f"jpg/image_{n + 1:05}.jpg": row for n, row in enumerate(zip(labels, splits, strict=True))}
    chosen = {
        name: np.array([[n + 1 for n in range(24) if splits[n] == split]], dtype=np.uint16)
        for name, split in (("trnid", "train"), ("valid", "val"), ("tstid", "test"))
    }
    numbers = np.array([labels], dtype=np.uint8)
    files = {"imagelabels.mat": lambda: _mat(labels=numbers), "setid.mat": lambda: _mat(**chosen)}
    return Layout({**blank(rows), **files}, asks(Read(rows), "setid.mat"))


def _cars(names: tuple[str, ...], images: str, marks: str, test_marks: str) -> tuple[dict[str, Content], Rows]:
    rows: Rows = {}
    files: dict[str, Content] = {}
    for split, path in (("train", f"{marks}/cars_train_annos.mat"), ("test", test_marks)):
        found = [
            {"bbox_x1": 1, "bbox_y1": 1, "bbox_x2": 8, "bbox_y2": 7, "class": 1 + n % 3, "fname": f"{n + 1:05}.jpg"}
            for n in range(9)
        ]
        folder = images.format(split=split)
        rows |= {f"{folder}/{row['fname']}": (names[int(row["class"]) - 1], split) for row in found}
        files[path] = lambda found=found: _mat(annotations=_structs(found))
    files[f"{marks}/cars_meta.mat"] = lambda: _mat(class_names=np.array([names], dtype=object))
    return {**blank(rows), **files, f"{marks}/README.txt": "Stanford Cars"}, rows


CARS = ("AM General Hummer SUV 2000", "Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012")


@layout
def stanford_cars() -> Layout:
    """ai.stanford.edu/~jkrause/cars: cars_train/, cars_test/ and the devkit."""
    files, rows = _cars(CARS, "cars_{split}", "devkit", "cars_test_annos_withlabels.mat")
    return Layout(files, Read(rows))


@layout
def stanford_cars_on_kaggle() -> Layout:
    """Kaggle jessicali9530/stanford-cars-dataset: each folder nested in itself, and the devkit in car_devkit/."""
    at = "cars_{split}/cars_{split}"
    files, rows = _cars(CARS, at, "car_devkit/devkit", "car_devkit/devkit/cars_test_annos_withlabels.mat")
    return Layout(files, asks(Read(rows), "devkit"))


@layout
def tiny_imagenet() -> Layout:
    """cs231n.stanford.edu/tiny-imagenet-200.zip: val/ loose with a list, test/ without labels, names in words.txt."""
    top, synsets = "tiny-imagenet-200", {"n01443537": "goldfish, Carassius auratus", "n02124075": "Egyptian cat"}
    rows: Rows = {}
    files: dict[str, Content] = loose(f"{top}/test/images", (f"test_{n}.JPEG" for n in range(3)))
    for synset in synsets:
        rows |= {f"{top}/train/{synset}/images/{synset}_{n}.JPEG": (synset, "train") for n in range(4)}
        files[f"{top}/train/{synset}/{synset}_boxes.txt"] = lines(
            (f"{synset}_{n}.JPEG", 0, 10, 63, 58) for n in range(4)
        )
    marks = [(f"val_{n}.JPEG", sorted(synsets)[n % 2], 0, 32, 44, 62) for n in range(6)]
    rows |= {f"{top}/val/images/{name}": (synset, "val") for name, synset, *_ in marks}
    files[f"{top}/val/val_annotations.txt"] = lines(marks, "\t")
    files |= {
        f"{top}/wnids.txt": lines(synsets),
        f"{top}/words.txt": lines([("n00001740", "entity"), *synsets.items()], "\t"),
    }
    right = Read(rows, names=synsets, ignored=("test",))
    return Layout({**blank(rows), **files}, asks(right, "val_annotations.txt"))


@layout
def imagenet_on_kaggle() -> Layout:
    """Kaggle imagenet-object-localization-challenge: val/ flat, its labels in LOC_val_solution.csv with boxes."""
    top, synsets = (
        "ILSVRC/Data/CLS-LOC",
        {"n01440764": "tench, Tinca tinca", "n01443537": "goldfish, Carassius auratus"},
    )
    rows: Rows = {}
    for synset in synsets:
        rows |= {f"{top}/train/{synset}/{synset}_{n}.JPEG": (synset, "train") for n in range(4)}
    marks = [(f"ILSVRC2012_val_{n:08}", sorted(synsets)[n % 2]) for n in range(1, 7)]
    rows |= {f"{top}/val/{name}.JPEG": (synset, "val") for name, synset in marks}
    head = ("ImageId", "PredictionString")
    trained = [path.rsplit("/", 1)[1][:-5] for path in rows if "/train/" in path]
    files: dict[str, Content] = {
        "LOC_train_solution.csv": table(head, [(name, f"{name[:9]} 115 49 448 294 ") for name in trained]),
        "LOC_val_solution.csv": table(head, [(name, f"{synset} 85 1 499 272 ") for name, synset in marks]),
        "LOC_sample_submission.csv": table(head, [("ILSVRC2012_test_00000001", "n01440764 1 1 2 2")]),
        "LOC_synset_mapping.txt": lines(synsets.items()),
        "ILSVRC/ImageSets/CLS-LOC/train_cls.txt": lines((f"{name[:9]}/{name}", n) for n, name in enumerate(trained, 1)),
        "ILSVRC/ImageSets/CLS-LOC/val.txt": lines((name, n) for n, (name, _) in enumerate(marks, 1)),
        "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": "<annotation/>",
        **loose(f"{top}/test", ("ILSVRC2012_test_00000001.JPEG",)),
    }  # fmt: skip
    right = Read(rows, names=synsets, ignored=("test",))
    return Layout({**blank(rows), **files}, asks(right, "LOC_val_solution.csv"))


@layout
def resisc_45() -> Layout:
    """torchgeo.RESISC45: NWPU-RESISC45/, and lists of file names alone for the three splits."""
    labels = ("airplane", "airport", "baseball_diamond")
    rows, listed = {}, {"train": [], "val": [], "test": []}
    for label, n in itertools.product(labels, range(1, 7)):
        split = ("train", "train", "train", "train", "val", "test")[n - 1]
        rows[f"NWPU-RESISC45/{label}/{label}_{n:03}.jpg"] = (label, split)
        listed[split].append(f"{label}_{n:03}.jpg")
    files = {f"resisc45-{split}.txt": lines(names) for split, names in listed.items()}
    return Layout({**blank(rows), **files}, asks(Read(rows), "resisc45-train.txt"))


@layout
def garbage_classification() -> Layout:
    """Kaggle asdasdasasdas/garbage-classification: class folders, and numbered lists of splits beside them."""
    labels = ("glass", "paper", "cardboard")
    top = "Garbage classification/Garbage classification"
    rows, listed = {}, {"train": [], "val": [], "test": []}
    for k, label in enumerate(labels, 1):
        for n, split in enumerate(("train", "train", "train", "val", "test", "test"), 1):
            rows[f"{top}/{label}/{label}{n}.jpg"] = (label, split)
            listed[split].append((f"{label}{n}.jpg", k))
    files = {f"one-indexed-files-notrash_{split}.txt": lines(cells) for split, cells in listed.items()}
    files["one-indexed-files.txt"] = lines(itertools.chain(*listed.values()))
    files["zero-indexed-files.txt"] = lines((name, k - 1) for name, k in itertools.chain(*listed.values()))
    right = Read(rows, names={label: str(k) for k, label in enumerate(labels, 1)})
    folders = Read({path: (label, "") for path, (label, _) in rows.items()})
    return Layout({**blank(rows), **files}, (right, Refused(("one-indexed-files",), (right, folders))))


@layout
def mmpretrain_lists() -> Layout:
    """mmpretrain.readthedocs.io, CustomDataset: 'path number' in meta/train.txt, names in classes.txt."""
    rows, files = {}, {}
    for split in ("train", "val", "test"):
        cells = [(f"{split}_{n:03}.jpg", n % 3) for n in range(6)]
        rows |= {f"{split}/{name}": (str(k), split) for name, k in cells}
        files[f"meta/{split}.txt"] = lines(cells)
    files["classes.txt"] = lines(("cat", "dog", "fox"))
    right = Read(rows, names={"0": "cat", "1": "dog", "2": "fox"})
    return Layout({**blank(rows), **files}, asks(right, "meta/train.txt"))


@layout
def one_list() -> Layout:
    """The list itself is given: path and number with a blank between."""
    rows = {f"images/img{n:03}.jpg": (str(n % 3), "") for n in range(9)}
    files = {"train.txt": lines((path, label) for path, (label, _) in rows.items())}
    return Layout({**blank(rows), **files}, Read(rows), "train.txt")


@layout
def one_list_with_class_names() -> Layout:
    """The same with --class-names."""
    rows = {f"images/img{n:03}.jpg": (("cat", "dog", "fox")[n % 3], "") for n in range(9)}
    files = {
        "train.txt": lines((path, n % 3) for n, path in enumerate(rows)),
        "names.txt": lines(("cat", "dog", "fox")),
    }
    return Layout({**blank(rows), **files}, Read(rows), "train.txt", {"class_names": "names.txt"})


@layout
def places_365() -> Layout:
    """places2.csail.mit.edu, small images: classes by letter for training, val_256/ loose, numbers in the lists."""
    names = ("/a/airfield", "/a/bar", "/b/bakery")
    train = {f"data_256{name}/{n:08}.jpg": (name.split("/")[2], "") for name in names for n in range(1, 5)}
    val = {f"val_256/Places365_val_{n:08}.jpg": (str(n % 3), "") for n in range(6)}
    files = {
        "categories_places365.txt": lines((name, n) for n, name in enumerate(names)),
        "places365_train_standard.txt": lines(
            (path.removeprefix("data_256"), names.index("/".join(path.removeprefix("data_256").split("/")[:3])))
            for path in train
        ),
        "places365_val.txt": lines((path.split("/")[1], label) for path, (label, _) in val.items()),
    }
    right = Read(train), Read(val)
    return Layout({**blank(train), **blank(val), **files}, Refused(("places365_train_standard.txt",), right))


@layout
def raf_db() -> Layout:
    """whdeng.cn/RAF: one list for both splits, which the names of the images say; aligned copies of all images."""
    cells = [(f"{s}_{n:05}.jpg", 1 + n % 3) for s, number in (("train", 12), ("test", 6)) for n in range(number)]
    rows = {f"basic/Image/original/{name}": (str(label), name.split("_")[0]) for name, label in cells}
    aligned = [f"{name[:-4]}_aligned.jpg" for name, _ in cells]
    files = {"basic/EmoLabel/list_patition_label.txt": lines(cells)}
    return Layout({**blank(rows), **loose("basic/Image/aligned", aligned), **files}, Read(rows))
