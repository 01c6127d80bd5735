"""Folders as people make them: splits in other languages and in the names of classes, previews, copies, results."""

from __future__ import annotations

from tests.data.layouts import Layout, Read, Refused, asks, blank, classes, layout, lines, loose


@layout
def covid_radiography() -> Layout:
    """Kaggle tawsifurrahman/covid19-radiography-database: images/ and masks/ with the same names in each class."""
    labels, top = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"), "COVID-19_Radiography_Dataset"
    rows = {f"{top}/{label}/images/{label}-{n}.png": (label, "") for label in labels for n in (1, 2, 3)}
    masks = [path.replace("/images/", "/masks/") for path in rows]
    files = {**blank(rows), **blank(masks), **{f"{top}/{label}.metadata.xlsx": b"PK" for label in labels}}
    return Layout(files, Read(rows, ignored=(f"{top}/COVID/masks",)))


@layout
def thumbnails_in_class_folders() -> Layout:
    """As photo programs leave them: thumbs/ with the same names in each class folder, and hidden ones."""
    rows = classes("", ("ant", "bee"), name="{label}{n}.jpg")
    thumbs = [path.replace("/", f"/{name}/") for path in rows for name in ("thumbs", ".thumbs")]
    return Layout(blank([*rows, *thumbs]), Read(rows, ignored=("ant/thumbs", "ant/.thumbs")))


@layout
def thumbnails_of_all_classes() -> Layout:
    """One folder beside the classes with a preview of every image."""
    rows = classes("", ("ant", "bee"), name="{label}{n}.jpg")
    files = blank([*rows, *(f"web/{path.rpartition('/')[2]}" for path in rows)])
    return Layout(files, Refused(("web/", "same names")))


@layout
def boxes_are_a_kind_of_packaging() -> Layout:
    """Subfolders of a class that are called like annotations but hold images of their own."""
    rows = {f"packaging/{kind}/{kind}{n}.jpg": ("packaging", "") for kind in ("boxes", "bottles") for n in (1, 2)}
    rows |= classes("", ("fruit",))
    alone = Read({path: (path.split("/")[1], "") for path in rows if path.startswith("packaging")})
    return Layout(blank(rows), (Read(rows), Refused(("packaging",), (Read(rows), alone))))


@layout
def horse_2_zebra() -> Layout:
    """efrosgans.eecs.berkeley.edu/cyclegan/datasets: split and domain are in one name."""
    rows = {
        f"horse2zebra/{split}{domain}/n02381460_{n}.jpg": (domain, split)
        for split in ("train", "test")
        for domain in "AB"
        for n in (1, 2, 3)
    }
    return Layout(blank(rows), Read(rows))


@layout
def splits_as_suffix() -> Layout:
    """cats_train, cats_test, dogs_train, dogs_test: two classes, not four."""
    rows = {
        f"{label}_{name}/{n}.jpg": (label, split)
        for label in ("cats", "dogs")
        for name, split in (("train", "train"), ("valid", "val"))
        for n in (1, 2)
    }
    return Layout(blank(rows), Read(rows))


@layout
def splits_in_some_classes() -> Layout:
    """Splits below the classes, of which one has images for training only."""
    rows = {
        f"{label}/{name}/{label}{n}{split}.jpg": (label, split)
        for label in ("cats", "cows", "dogs")
        for name, split in (("training", "train"), ("validation", "val"))
        if (label, split) != ("cows", "val")
        for n in (1, 2)
    }
    return Layout(blank(rows), Read(rows))


@layout
def market_1501() -> Layout:
    """zheng-lab-anu/Market-1501: the folders are splits of images of persons, whose number is in the file names."""
    rows = {
        f"bounding_box_{split}/{person:04}_c{n}s1_000151_01.jpg": (f"{person:04}", split)
        for split, persons in (("train", (2, 7)), ("test", (3, 4)))
        for person in persons
        for n in (1, 2)
    }
    files = {**blank(rows), **loose("query", ("0003_c3s1_000551_00.jpg", "0004_c4s1_000551_00.jpg"))}
    return Layout(files, Refused(("bounding_box_train", "without a label")))


def _in_language(names: dict[str, str], labels: tuple[str, ...]) -> Layout:
    rows: dict[str, tuple[str, str]] = {}
    for name, split in names.items():
        rows |= classes(name, labels, split, f"{split}{{n}}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def splits_in_german() -> Layout:
    """Trainingsdaten, Validierungsdaten, Testdaten."""
    return _in_language({"Trainingsdaten": "train", "Validierungsdaten": "val", "Testdaten": "test"}, ("Hund", "Katze"))


@layout
def splits_in_spanish() -> Layout:
    """With and without accents; the classes differ between the splits."""
    return _in_language({"Entrenamiento": "train", "Validación": "val", "prueba": "test"}, ("gato", "perro"))


@layout
def splits_in_chinese() -> Layout:
    """Training and test set."""
    return _in_language({"训练集": "train", "测试集": "test"}, ("狗", "猫"))


@layout
def splits_in_russian_without_classes() -> Layout:
    """Folders of splits with images that have no label are no two classes."""
    return Layout(
        {**loose("обучение", ("1.jpg", "2.jpg")), **loose("тест", ("3.jpg", "4.jpg"))},
        Refused(("обучение", "without a label")),
    )


@layout
def splits_of_two_letters() -> Layout:
    """tr and te, as in many repositories of papers."""
    return _in_language({"tr": "train", "te": "test"}, ("ant", "bee"))


@layout
def languages_of_two_letters() -> Layout:
    """The same letters are classes where there are others."""
    rows = classes("", ("de", "en", "te", "tr"))
    return Layout(blank(rows), asks(Read(rows), "te/"))


@layout
def splits_in_mixed_case() -> Layout:
    """Train, VALID and a slip of the shift key."""
    return _in_language({"Train": "train", "VALID": "val", "tEST": "test"}, ("ant", "bee"))


@layout
def class_called_images() -> Layout:
    """What scanned pages show: images, labels, barcodes."""
    rows = classes("", ("barcodes", "images", "labels"))
    return Layout(blank(rows), Refused(("labels/", "images/"), (Read(rows),)))


@layout
def copy_of_a_class() -> Layout:
    """A class folder that was duplicated in a file manager."""
    rows = classes("", ("ant", "bee"))
    files = blank([*rows, *(f"ant - Copy/000{n}.jpg" for n in (1, 2, 3))])
    return Layout(files, Refused(("ant - Copy", "copy of ant")))


@layout
def results_beside_data() -> Layout:
    """A project: the classes in data/, plots of it beside."""
    rows = classes("data", ("ant", "bee"))
    files = {**blank(rows), **loose("loss curves", ("fold1.png", "fold2.png")), **loose("figures", ("a.png",))}
    return Layout(files, asks(Read(rows), "data"))


@layout
def results_beside_classes() -> Layout:
    """Plots that a program has written beside the class folders."""
    rows = classes("", ("ant", "bee"))
    return Layout({**blank(rows), **loose("results", ("roc.png", "loss.png"))}, Refused(("results/",)))


@layout
def patients_without_classes() -> Layout:
    """A folder for each patient is no class."""
    files = blank(f"patient{patient:03}/slice{n}.png" for patient in range(1, 6) for n in (1, 2, 3))
    return Layout(files, Refused(("patient001", "without a label")))


@layout
def patients_and_a_table_of_patients() -> Layout:
    """The same with a table that has no row for an image, but for a patient: the images of a patient are a group."""
    files = blank(f"patient{patient:03}/slice{n}.png" for patient in range(1, 6) for n in (1, 2, 3))
    rows = [(f"patient{patient:03}", ("benign", "malignant")[patient % 2], 40 + patient) for patient in range(1, 6)]
    text = lines([("patient", "diagnosis", "age"), *rows], ",")
    right = Read({name: (("benign", "malignant")[int(name[7:10]) % 2], "") for name in files})
    return Layout({**files, "clinical.csv": text}, asks(right))
