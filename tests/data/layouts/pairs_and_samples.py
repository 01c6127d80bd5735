"""Folders that look like classes and are none: pairs of images, several data sets, samples with a label inside."""

from __future__ import annotations

import json

from tests.data.layouts import Layout, Read, Refused, Rows, asks, blank, classes, layout, loose

AB = ("ant", "bee")
STEMS = ("GOPR0372_07_00-000047", "GOPR0372_07_00-000061", "GOPR0384_11_02-000011", "GOPR0385_11_01-003011",
         "GOPR0868_11_00-000001", "GOPR0881_11_01-000201")  # fmt: skip


@layout
def ships_in_satellite_imagery() -> Layout:
    """Kaggle rhammell/ships-in-satellite-imagery: each archive in a folder of its name, the label in file names."""
    rows: Rows = {
        f"shipsnet/shipsnet/{n % 2}__20160710_182139_0c78__-118.2272{n}_33.7454{n}.png": (str(n % 2), "")
        for n in range(8)
    }
    files = {**blank(rows), **loose("scenes/scenes", ["lb_1.png", "sfbay_1.png"])}
    return Layout({**files, "shipsnet.json": '{"labels": [0, 1]}'}, Refused(("shipsnet/", "scenes/"), (Read(rows),)))


@layout
def archives_of_classes_in_folders_of_their_names() -> Layout:
    """As two archives that are unpacked by double click: each class is in a folder of its own name twice."""
    rows = {f"{label}/{label}/{label}{n:03}.jpg": (label, "") for label in ("leopards", "lions") for n in range(4)}
    return Layout(blank(rows), asks(Read(rows), "leopards"))


@layout
def div2k() -> Layout:
    """data.vision.ee.ethz.ch/cvl/DIV2K: images in high and in low resolution, with the same numbers."""
    files = {**loose("HR", [f"{n:04}.png" for n in range(1, 9)]), **loose("LR", [f"{n:04}.png" for n in range(1, 9)])}
    return Layout(files, Refused(("pairs", "HR/", "LR/")))


@layout
def div2k_with_factor_in_names() -> Layout:
    """The same with the factor in the names, and with splits."""
    files = {
        f"{split}/{kind}/{n:04}{end}.png": None
        for split in ("train", "val")
        for kind, end in (("HR", ""), ("LR_x2", "x2"))
        for n in range(1, 6)
    }
    return Layout(files, Refused(("pairs", "HR/")))


@layout
def gopro_deblurring() -> Layout:
    """seungjunnah.github.io/Datasets/gopro: input and target of a network, names of frames, splits above."""
    files = {f"{split}/{kind}/{split}_{stem}.png": None for split in ("train", "test") for kind in ("input", "target")
             for stem in STEMS}  # fmt: skip
    return Layout(files, Refused(("pairs", "/input/")))


@layout
def denoising_pairs() -> Layout:
    """As for denoising autoencoders: noisy/ and clean/, splits below."""
    files = {f"{kind}/{split}/{n}.png": None for kind in ("noisy", "clean") for split in ("train", "test")
             for n in range(5)}  # fmt: skip
    return Layout(files, Refused(("pairs", "clean/")))


@layout
def same_frames_of_two_cameras() -> Layout:
    """As LLVIP has visible/ and infrared/: the names of files are no plain numbers, and the same in both."""
    files = {f"{kind}/{n * 7 + 10013}.jpg": None for kind in ("infrared", "visible") for n in (0, 1, 4, 9, 11, 20)}
    return Layout(files, Refused(("pairs", "infrared/")))


@layout
def pets_numbered_alike() -> Layout:
    """Microsoft's PetImages: Cat/0.jpg and Dog/0.jpg are no pair, for numbers begin again in each class."""
    rows = {f"PetImages/{label}/{n}.jpg": (label, "") for label in ("Cat", "Dog") for n in range(12)}
    return Layout(blank(rows), Read(rows))


@layout
def frames_in_steps() -> Layout:
    """Every 30th frame of one video per class: such numbers begin again in each folder, too."""
    rows = {f"{label}/frame_{n * 30}.jpg": (label, "") for label in ("fire", "smoke") for n in range(8)}
    return Layout(blank(rows), Read(rows))


@layout
def numbered_copies_of_numbered_images() -> Layout:
    """Numbers that begin again in each class, with copies that are called by what was done to the image."""
    kinds = ("", "flip_", "rotated_", "noise_", "blur_", "dark_")
    rows = {f"{label}/{kind}{n:02}.jpg": (label, "") for label in ("day", "night") for kind in kinds for n in range(8)}
    return Layout(blank(rows), Read(rows))


@layout
def rgb_and_depth_in_each_class() -> Layout:
    """As the objects of RGB-D data sets: each class has a folder of each kind of image."""
    files = {f"{label}/{kind}/{label}_{n}.png": None for label in AB for kind in ("rgb", "depth") for n in range(4)}
    right = Read({name: (name.partition("/")[0], "") for name in files if "/rgb/" in name})
    return Layout(files, Refused(("rgb",), (right,)))


@layout
def raw_and_resized_in_each_class() -> Layout:
    """The same with copies, below train and test."""
    files = {f"{split}/{label}/{kind}/{label}_{n}.png": None for split in ("train", "test") for label in AB
             for kind in ("raw", "resized") for n in range(4)}  # fmt: skip
    right = Read({name: (name.split("/")[1], name.split("/")[0]) for name in files if "/raw/" in name})
    return Layout(files, Refused(("raw",), (right,)))


@layout
def cityscapes() -> Layout:
    """cityscapes-dataset.com: cities below the splits, masks in a tree of the same form."""
    files: dict[str, str | None] = {}
    for split, city in (("train", "aachen"), ("train", "bochum"), ("val", "ulm"), ("test", "bonn")):
        for n in range(3):
            stem = f"{city}_{n:06}_000019"
            files[f"leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png"] = None
            files |= {f"gtFine/{split}/{city}/{stem}_gtFine_{kind}.png": None for kind in ("color", "labelIds")}
            files[f"gtFine/{split}/{city}/{stem}_gtFine_polygons.json"] = "{}"
    return Layout(files, Refused(("segmentation", "gtFine")))


@layout
def kolektor() -> Layout:
    """vicos.si/resources/kolektorsdd: a folder per object, in each some images with their masks."""
    files = {f"kos{k:02}/Part{n}{end}": None for k in range(1, 7) for n in range(4) for end in (".jpg", "_label.bmp")}
    return Layout(files, Refused(("segmentation",)))


@layout
def classes_with_masks() -> Layout:
    """As BUSI: masks beside the images of classes with names are no reason to ask."""
    rows = classes("Dataset_BUSI_with_GT", ("benign", "malignant", "normal"), name="{label} ({n}).png")
    return Layout({**blank(rows), **blank(name.replace(").png", ")_mask.png") for name in rows)}, Read(rows))


@layout
def patients_with_a_file_of_the_label() -> Layout:
    """A folder per patient, with the images and one file that says the diagnosis."""
    files: dict[str, str | None] = {f"p{k:02}/s{n}.png": None for k in range(6) for n in range(3)}
    files |= {f"p{k:02}/label.txt": ("healthy\n", "ill\n")[k % 2] for k in range(6)}
    return Layout(files, Refused(("label.txt", "p00/", "healthy")))


@layout
def samples_with_a_json_file() -> Layout:
    """The same with JSON, below folders of splits, and a name that says nothing."""
    files: dict[str, str | None] = {
        f"{split}/plate{k}/well{n}.tif": None for split, ks in (("train", range(6)), ("test", range(6, 10))) for k in ks
        for n in range(3)
    }  # fmt: skip
    files |= {f"{name.rpartition('/')[0]}/info.json": json.dumps({"treatment": ("drug", "none")[n % 2]})
              for n, name in enumerate(list(files)[::3])}  # fmt: skip
    return Layout(files, Refused(("info.json", "/plate")))


@layout
def classes_with_a_license_each() -> Layout:
    """A file of the same name in each class folder that says the same, or a sentence, is no label."""
    rows = classes("", ("oak", "elm", "ash"))
    texts = {f"{label}/LICENSE.txt": "CC BY\n" for label in ("oak", "elm", "ash")}
    texts |= {f"{label}/about.txt": f"Photographs of {label}, by many people, in spring.\n" for label in ("oak", "elm")}
    return Layout({**blank(rows), **texts}, Read(rows))
