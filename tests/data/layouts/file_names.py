"""Labels in the names of the files: never taken in silence, but shown with the expression that reads them."""

from __future__ import annotations

from tests.data.layouts import Layout, Read, Refused, blank, layout, loose, table


@layout
def dogs_vs_cats() -> Layout:
    """Kaggle dogs-vs-cats: train/cat.0.jpg, test1/1.jpg, sampleSubmission.csv."""
    rows = {f"train/{label}.{n}.jpg": (label, "train") for label in ("cat", "dog") for n in range(8)}
    files = {**blank(rows), **loose("test1", (f"{n}.jpg" for n in range(1, 5)))}
    files["sampleSubmission.csv"] = table(("id", "label"), [(n, 0) for n in range(1, 5)])
    return Layout(files, Refused(("--label-from", "train"), (Read(rows),)))


@layout
def dogs_vs_cats_train() -> Layout:
    """The same, and the user gives train/."""
    rows = {f"train/{label}.{n}.jpg": (label, "") for label in ("cat", "dog") for n in range(8)}
    return Layout(blank(rows), Refused(("--label-from",), (Read(rows),)), "train")


@layout
def utk_face() -> Layout:
    """susanqq.github.io/UTKFace: age_gender_race_date.jpg.chip.jpg, three labels in one name."""
    names = [f"{20 + n % 5}_{n % 2}_{n % 3}_201701161745251{n:02}.jpg.chip.jpg" for n in range(18)]
    readings = tuple(Read({f"UTKFace/{name}": (name.split("_")[k], "") for name in names}) for k in range(3))
    return Layout(loose("UTKFace", names), Refused(("--label-from",), readings))


@layout
def flat_prefixes() -> Layout:
    """UC Merced and RESISC45 copied into one folder: agricultural00.tif, airplane07.tif."""
    labels = ("agricultural", "airplane", "baseballdiamond")
    rows = {f"Images/{label}{n:02}.tif": (label, "") for label in labels for n in range(6)}
    return Layout(blank(rows), Refused(("--label-from",), (Read(rows),)))


@layout
def pets_images_alone() -> Layout:
    """Oxford Pets without its lists, as the fast.ai course loads it: images/great_pyrenees_173.jpg."""
    labels = ("great_pyrenees", "Egyptian_Mau", "pug")
    rows = {f"images/{label}_{n}.jpg": (label, "") for label in labels for n in range(1, 8)}
    return Layout(blank(rows), Refused(("--label-from",), (Read(rows),)))


@layout
def pets_with_expression() -> Layout:
    """The same, and the user says how the label is read."""
    labels = ("great_pyrenees", "Egyptian_Mau", "pug")
    rows = {f"images/{label}_{n}.jpg": (label, "") for label in labels for n in range(1, 8)}
    return Layout(blank(rows), Read(rows), "images", {"label_from": r"^(.+)_\d+\.jpg$"})


@layout
def camera_names() -> Layout:
    """Names of two cameras and a phone: letters and numbers, but no labels."""
    names = [f"{camera}{n:04}.JPG" for camera in ("DSC_", "IMG_", "PXL_2024") for n in range(5)]
    return Layout(loose("", names), Refused(("label",)))
