"""Plants, animals, land from above, galaxies: folders of several levels, lists, and tables of another shape."""

from __future__ import annotations

import json
from itertools import product

from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, classes, layout, lines, loose, table


@layout
def uc_merced() -> Layout:
    """weegee.vision.ucmerced.edu/datasets/landuse.html: Images/ and a note beside it."""
    rows = classes("UCMerced_LandUse/Images", ("agricultural", "airplane", "river"), name="{label}{n:02}.tif")
    return Layout({**blank(rows), "UCMerced_LandUse/readme.txt": "Please cite"}, Read(rows))


@layout
def pattern_net() -> Layout:
    """sites.google.com/view/zhouwx/dataset: images/ and a PDF."""
    rows = classes("PatternNet/images", ("airplane", "baseball_field", "beach"), name="{label}{n:03}.jpg")
    return Layout({**blank(rows), "PatternNet/patternnet_description.pdf": b"%PDF-1.4"}, Read(rows))


@layout
def rsi_cb_256() -> Layout:
    """github.com/lehaifeng/RSI-CB: 35 classes below seven kinds of land."""
    kinds = {"construction land": ("city_building", "container"), "woodland": ("mangrove", "river_protection_forest"),
             "water area": ("sea", "lakeshore")}  # fmt: skip
    paths = [f"RSI-CB256/{kind}/{label}/{label}({n}).tif" for kind, labels in kinds.items() for label in labels
             for n in (1, 2, 3)]  # fmt: skip
    leaves, tops = (Read({path: (path.split("/")[k], "") for path in paths}) for k in (2, 1))
    joined = Read({path: ("/".join(path.split("/")[1:3]), "") for path in paths})
    return Layout(blank(paths), (leaves, Refused(("woodland",), (leaves, tops, joined))))


@layout
def satellite_of_four() -> Layout:
    """Kaggle mahmoudreda55/satellite-image-classification: class folders whose images are called train_1.jpg."""
    rows = classes("data", ("cloudy", "desert", "green_area", "water"), name="train_{n}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def deep_weeds() -> Layout:
    """github.com/AlexOlsen/DeepWeeds: images/, and labels/ with all rows, and five divisions of them into splits."""
    kinds = ("Chinee apple", "Lantana", "Negative")
    names = [f"201609{n:02}-140314-0.jpg" for n in range(30)]
    rows = {f"images/{name}": (kinds[n % 3], "") for n, name in enumerate(names)}
    cells = [(name, n % 3, kinds[n % 3]) for n, name in enumerate(names)]
    files: dict[str, Content] = {**blank(rows), "labels/labels.csv": table(("Filename", "Label", "Species"), cells)}
    for k in range(5):
        for split, part in (("train", cells[:18]), ("val", cells[18:24]), ("test", cells[24:])):
            files[f"labels/{split}_subset{k}.csv"] = table(("Filename", "Label"), [cell[:2] for cell in part])
    numbers = {kind: str(k) for k, kind in enumerate(kinds)}
    given = ["train"] * 18 + ["val"] * 6 + ["test"] * 6
    divided = Read({f"images/{n}": (kinds[k % 3], given[k]) for k, n in enumerate(names)}, names=numbers)
    return Layout(files, (divided, Read(rows), Refused(("labels.csv", "train_subset0.csv"), (divided, Read(rows)))))


@layout
def deep_weeds_on_kaggle() -> Layout:
    """The table of all images alone."""
    kinds = ("Chinee apple", "Lantana", "Negative")
    rows = {f"images/201609{n:02}-140314-0.jpg": (kinds[n % 3], "") for n in range(30)}
    cells = [(path[7:], n % 3, kinds[n % 3]) for n, path in enumerate(rows)]
    return Layout({**blank(rows), "labels.csv": table(("Filename", "Label", "Species"), cells)}, Read(rows))


@layout
def plant_doc() -> Layout:
    """github.com/pratikkayal/PlantDoc-Dataset: names of the web, one class for training only."""
    labels = ("Apple Scab Leaf", "Apple leaf", "Corn rust leaf")
    rows = classes("PlantDoc-Dataset/train", labels, "train", "0{n}_apple-scab-leaf-spot.jpg?w=64.jpg")
    rows |= classes("PlantDoc-Dataset/train", ("Tomato two spotted spider mites leaf",), "train", "s-l{n}.jpg")
    rows |= classes("PlantDoc-Dataset/test", labels, "test", "index%20{n}.jpg")
    return Layout({**blank(rows), "PlantDoc-Dataset/LICENSE.txt": "CC BY"}, Read(rows))


@layout
def leaf_snap() -> Layout:
    """leafsnap.com/dataset: a table with two paths per row, of the image and of its segmentation."""
    head = ("file_id", "image_path", "segmented_path", "species", "source")
    kinds, files, rows, masks, cells = ("Abies concolor", "Acer rubrum", "Zelkova serrata"), {}, {}, {}, []
    for n in range(24):
        inner = f"{('lab', 'field')[n % 2]}/{kinds[n % 3].lower().replace(' ', '_')}/ny1157-01-{n}"
        pair = f"dataset/images/{inner}.jpg", f"dataset/segmented/{inner}.png"
        files |= blank(pair)
        rows[pair[0]] = masks[pair[1]] = (kinds[n % 3], "")
        cells.append((55497 + n, *pair, kinds[n % 3], inner.partition("/")[0]))
    files["leafsnap-dataset-images.txt"] = table(head, cells, "\t")
    return Layout(files, (Read(rows), Refused(("image_path", "segmented_path"), (Read(rows), Read(masks)))))


@layout
def fish_with_ground_truth() -> Layout:
    """Kaggle crowww/a-large-scale-fish-dataset: in each class folder one of its name, and its masks in 'NAME GT'."""
    rows = {f"Fish_Dataset/Fish_Dataset/{label}/{label}/0000{n}.png": (label, "")
            for label in ("Black Sea Sprat", "Red Mullet", "Shrimp", "Trout") for n in (1, 2, 3)}  # fmt: skip
    masks = [path.replace(f"{label}/0", f"{label} GT/0") for path, (label, _) in rows.items()]
    files = {**blank([*rows, *masks]), "Fish_Dataset/Fish_Dataset/README.txt": "", "Fish_Dataset/license.txt": ""}
    return Layout(files, Read(rows, ignored=("Trout GT",)))


@layout
def nabirds() -> Layout:
    """dl.allaboutbirds.org/nabirds: numbered folders below images/, lists of labels, splits and of the hierarchy."""
    ids = [(f"{295 + n % 3:04}", f"0000139e-21dc-4d0c-bfe1-4cae3c85c{n:03}") for n in range(18)]
    stems = {stem.replace("-", "_"): f"images/{folder}/{stem.replace('-', '')}.jpg" for folder, stem in ids}
    names = {295: "Oldsquaw", 296: "Ring-necked Duck (Female)", 297: "Wood Duck"}
    rows = {path: (str(295 + n % 3), ("test", "train")[n % 2]) for n, path in enumerate(stems.values())}
    files: dict[str, Content] = {**blank(rows)}
    files["images.txt"] = lines((stem, path[7:]) for stem, path in stems.items())
    files["image_class_labels.txt"] = lines((stem, 295 + n % 3) for n, stem in enumerate(stems))
    files["train_test_split.txt"] = lines((stem, n % 2) for n, stem in enumerate(stems))
    files["classes.txt"] = lines((0, "Birds") if n == 0 else (n, names[n]) for n in (0, 295, 296, 297))
    files["hierarchy.txt"] = lines((n, 0) for n in names)
    shown = {str(n): name for n, name in names.items()}
    return Layout({f"nabirds/{path}": content for path, content in files.items()},
                  Read({f"nabirds/{path}": row for path, row in rows.items()}, names=shown))  # fmt: skip


@layout
def herbarium() -> Layout:
    """Kaggle herbarium-2021-fgvc8: images in folders of numbers, COCO with a category and no box in metadata.json."""
    names = [f"images/{n % 4:03}/{n:02}/{n}.jpg" for n in range(16)]
    meta = {
        "annotations": [{"category_id": n % 4, "id": n, "image_id": n, "institution_id": 0} for n in range(16)],
        "images": [{"file_name": name, "height": 1000, "id": n, "width": 666} for n, name in enumerate(names)],
        "categories": [{"family": "Rubiaceae", "id": k, "name": f"Genus species{k}"} for k in range(4)],
        "info": {"year": 2021},
    }  # fmt: skip
    rows = {f"train/{name}": (f"Genus species{n % 4}", "train") for n, name in enumerate(names)}
    files = {**blank(rows), "train/metadata.json": json.dumps(meta), **loose("test/images/000", ("0.jpg", "1.jpg"))}
    test = {"images": [{"file_name": f"images/000/{n}.jpg", "id": n} for n in (0, 1)], "info": {}}
    return Layout({**files, "test/metadata.json": json.dumps(test)}, asks(Read(rows), "metadata.json"))


@layout
def iwildcam_wilds() -> Layout:
    """wilds.stanford.edu, iwildcam_v2.0: train/ holds the images of all splits, which a column names."""
    head = ("split", "location_remapped", "location", "sequence_remapped", "seq_id", "filename", "y", "category_id")
    kinds = ("train", "val", "test", "id_val", "id_test", "train")
    cells = [(kinds[n % 6], n % 4, 288, n, f"30048d32-{n}", f"99136aa6-21bc-11ea-{n:04}.jpg", n % 3, n % 3 * 24)
             for n in range(36)]  # fmt: skip
    files = {
        **loose("iwildcam_v2.0/train", (cell[5] for cell in cells)),
        "iwildcam_v2.0/metadata.csv": table(head, cells),
    }
    files["iwildcam_v2.0/categories.csv"] = table(
        ("category_id", "name", "y"), [(k * 24, "empty", k) for k in range(3)]
    )
    return Layout(files, Refused(("metadata.csv", "id_val")))


@layout
def waterbirds() -> Layout:
    """github.com/kohpangwei/group_DRO: class folders of birds, a table that calls them land or water, splits 0 to 2."""
    head = ("img_id", "img_filename", "y", "split", "place", "place_filename")
    labels = ("001.Black_footed_Albatross", "004.Groove_billed_Ani", "072.Pomarine_Jaeger", "200.Common_Yellowthroat")
    paths = [f"{label}/{label[4:]}_{n:04}_796111.jpg" for label in labels for n in range(6)]
    cells = [
        (n, path, int(path[:3] in ("001", "072")), n % 3, n % 2, f"/o/ocean/{n:08}.jpg") for n, path in enumerate(paths)
    ]
    top = "waterbird_complete95_forest2water2"
    splits = ("train", "val", "test")
    table_ = Read({f"{top}/{cell[1]}": (str(cell[2]), splits[cell[3]]) for cell in cells})
    birds = Read({f"{top}/{path}": (path.partition("/")[0], "") for path in paths})
    return Layout({**{f"{top}/{path}": None for path in paths}, f"{top}/metadata.csv": table(head, cells)},
                  Refused(("metadata.csv",), (table_, birds)))  # fmt: skip


@layout
def galaxy_zoo() -> Layout:
    """Kaggle galaxy-zoo-the-galaxy-challenge: shares of answers in 37 columns for each number."""
    names = [100008 + 15 * n for n in range(30)]
    head = ("GalaxyID", "Class1.1", "Class1.2", "Class1.3", "Class2.1", "Class2.2")
    cells = [
        (name, *(round(abs((n * 7919 + k * 104729) % 997) / 997, 6) for k in range(5))) for n, name in enumerate(names)
    ]
    files = {
        **loose("images_training_rev1", (f"{name}.jpg" for name in names)),
        **loose("images_test_rev1", ("100018.jpg",)),
    }
    files |= {
        "training_solutions_rev1.csv": table(head, cells),
        "all_zeros_benchmark.csv": table(head, [(100018, *[0] * 5)]),
    }
    return Layout(files, Refused(("training_solutions_rev1.csv", "regression")))


@layout
def leaf_classification() -> Layout:
    """Kaggle leaf-classification: numbers, 99 species, and 192 measured columns; half of the images are for testing."""
    kinds = ("Acer_Opalus", "Pterocarya_Stenoptera", "Quercus_Hartwissiana")
    head = ("id", "species", "margin1", "shape1", "texture1")
    numbers = list(range(1, 60, 2))
    cells = [(n, kinds[n % 3], n / 1000, n / 3000, n / 7000) for n in numbers]
    files = {**loose("images", (f"{n}.jpg" for n in range(1, 61))), "train.csv": table(head, cells)}
    files["test.csv"] = table(("id", *head[2:]), [(n, n / 1000, n / 3000, n / 7000) for n in range(2, 61, 2)])
    return Layout(files, asks(Read({f"images/{n}.jpg": (kinds[n % 3], "train") for n in numbers}), "train.csv"))


@layout
def invasive_species() -> Layout:
    """Kaggle invasive-species-monitoring: numbers that begin again for the test images."""
    files = {**loose("train", (f"{n}.jpg" for n in range(1, 25))), **loose("test", (f"{n}.jpg" for n in range(1, 13)))}
    files |= {"train_labels.csv": table(("name", "invasive"), [(n, n % 2) for n in range(1, 25)])}
    files |= {"sample_submission.csv": table(("name", "invasive"), [(n, 0.5) for n in range(1, 13)])}
    return Layout(
        files, asks(Read({f"train/{n}.jpg": (str(n % 2), "train") for n in range(1, 25)}), "train_labels.csv")
    )


@layout
def butterflies() -> Layout:
    """Kaggle phucthaiv02/butterfly-image-classification: Image_1.jpg in train/ and in test/, a table for each."""
    kinds = ("SOUTHERN DOGFACE", "ADONIS", "BROWN SIPROETA")
    names = [f"Image_{n}.jpg" for n in range(1, 25)]
    files = {**loose("train", names), **loose("test", names[:10])}
    files["Training_set.csv"] = table(("filename", "label"), [(name, kinds[n % 3]) for n, name in enumerate(names)])
    files["Testing_set.csv"] = table(("filename",), [(name,) for name in names[:10]])
    return Layout(files, Read({f"train/{name}": (kinds[n % 3], "train") for n, name in enumerate(names)}))


@layout
def paddy_disease() -> Layout:
    """Kaggle paddy-disease-classification: class folders for training, a table with the variety, loose test images."""
    kinds, kinds_of_rice = ("blast", "dead_heart", "normal"), ("ADT45", "Ponni")
    rows = {f"train_images/{kinds[n % 3]}/1003{n:02}.jpg": (kinds[n % 3], "train") for n in range(24)}
    cells = [
        (path.rpartition("/")[2], label, kinds_of_rice[n % 2], 45 + 5 * (n % 4))
        for n, (path, (label, _)) in enumerate(rows.items())
    ]
    files = {**blank(rows), "train.csv": table(("image_id", "label", "variety", "age"), cells)}
    files |= {
        **loose("test_images", ("200001.jpg", "200002.jpg")),
        "sample_submission.csv": table(("image_id", "label"), [("200001.jpg", "")]),
    }
    return Layout(files, asks(Read(rows), "train.csv"))


@layout
def fisheries() -> Layout:
    """Kaggle the-nature-conservancy-fisheries-monitoring: one of the classes is OTHER, test_stg1/ is loose."""
    rows = classes("train", ("ALB", "BET", "NoF", "OTHER"), "train", "img_0{n}{label}.jpg")
    files = {**blank(rows), **loose("test_stg1", ("img_00005.jpg",))}
    files["sample_submission_stg1.csv"] = table(("image", "ALB"), [("img_00005.jpg", 0.4)])
    return Layout(files, asks(Read(rows, ignored=("test_stg1",)), "train"))


@layout
def images_of_two_cameras_and_classes() -> Layout:
    """As Kaggle's plant data are collected: class and view in numbered folders, cat-1, cat-2, dog-1."""
    rows = {f"{label}_{n}/{k}.jpg": (label, "") for label, n, k in product(("cat", "dog"), (1, 2, 3), (1, 2))}
    return Layout(blank(rows), Refused(("cat_1",), (Read(rows),)))
