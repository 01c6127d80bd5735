"""Images in folders that mean nothing, and a table that labels them: competitions and medical archives."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.data.layouts import Content, Layout, Read, Refused, Rows, asks, blank, classes, layout, loose, table


def _competition(
    train: str, test: str, suffix: str, head: tuple[str, str], labels: Sequence[str], names: str = "train.csv"
) -> tuple[dict[str, Content], Rows, list[str]]:
    """Kaggle's form: images by id in two folders, a table for one of them; also the stems of the others."""
    stems = {f"{n:x}c1434d8d7": labels[n % len(labels)] for n in range(16, 16 + 3 * len(labels))}
    others = [f"{n:x}f92b61a1c" for n in range(40, 44)]
    rows = {f"{train}/{stem}{suffix}": (label, "train") for stem, label in stems.items()}
    files = {**blank(rows), **loose(test, (f"{stem}{suffix}" for stem in others))}
    return {**files, names: table(head, stems.items())}, rows, others


@layout
def aptos() -> Layout:
    """Kaggle aptos2019-blindness-detection: ids; sample_submission.csv names all test images as 0."""
    head = ("id_code", "diagnosis")
    files, rows, others = _competition("train_images", "test_images", ".png", head, ("0", "1", "2", "4"))
    files["test.csv"] = table(("id_code",), [(stem,) for stem in others])
    files["sample_submission.csv"] = table(head, [(stem, 0) for stem in others])
    return Layout(files, Read(rows, ignored=("test_images",)))


@layout
def cassava() -> Layout:
    """Kaggle cassava-leaf-disease-classification: file names, a JSON of the names of the numbers, TFRecords."""
    diseases = {
        "0": "Cassava Bacterial Blight (CBB)", "1": "Cassava Brown Streak Disease (CBSD)",
        "2": "Cassava Green Mottle (CGM)", "3": "Cassava Mosaic Disease (CMD)", "4": "Healthy",
    }  # fmt: skip
    rows = {f"train_images/10000{n}5157.jpg": (str(n % 5), "train") for n in range(15)}
    files = {**blank(rows), **loose("test_images", ("2216849948.jpg",))}
    files["train.csv"] = table(
        ("image_id", "label"), [(path.split("/")[1], label) for path, (label, _) in rows.items()]
    )
    files["sample_submission.csv"] = table(("image_id", "label"), [("2216849948.jpg", 4)])
    files["label_num_to_disease_map.json"] = json.dumps(diseases)
    files |= {"train_tfrecords/ld_train00-1338.tfrec": b"\n\0", "test_tfrecords/ld_test00-1.tfrec": b"\n\0"}
    return Layout(files, Read(rows, names=diseases, ignored=("test_images",)))


@layout
def ham_10000() -> Layout:
    """Kaggle kmader/skin-cancer-mnist-ham10000: two parts, six columns of few values, tables of pixels beside."""
    kinds = ("bkl", "nv", "df", "mel", "vasc", "bcc", "akiec")
    head = ("lesion_id", "image_id", "dx", "dx_type", "age", "sex", "localization")
    rows, cells = {}, []
    for n in range(28):
        name, kind = f"ISIC_00243{n:02}", kinds[n % 7]
        rows[f"HAM10000_images_part_{1 + n // 14}/{name}.jpg"] = (kind, "")
        sex, place = ("male", "female", "unknown")[n % 3], ("scalp", "back", "ear", "trunk")[n % 4]
        cells.append((f"HAM_00001{n // 2:02}", name, kind, ("histo", "follow_up")[n % 2], 5 * (n % 17), sex, place))
    pixels = table([*(f"pixel{n:04}" for n in range(64)), "label"], [[n] * 64 + [n % 7] for n in range(28)])
    files = {**blank(rows), "HAM10000_metadata.csv": table(head, cells), "hmnist_8_8_L.csv": pixels}
    return Layout(files, asks(Read(rows), "HAM10000_metadata.csv", "dx"))


@layout
def dog_breed() -> Layout:
    """Kaggle dog-breed-identification: labels.csv; the sample submission has a column per class with 1/120 in each."""
    breeds = ("boston_bull", "dingo", "pekinese")
    files, rows, others = _competition("train", "test", ".jpg", ("id", "breed"), breeds, "labels.csv")
    files["sample_submission.csv"] = table(("id", *breeds), [(stem, *[0.00833] * 3) for stem in others])
    return Layout(files, Read(rows, ignored=("test",)))


@layout
def histopathologic() -> Layout:
    """Kaggle histopathologic-cancer-detection: .tif, ids without suffix, a sample submission of zeros."""
    files, rows, others = _competition("train", "test", ".tif", ("id", "label"), ("0", "1"), "train_labels.csv")
    files["sample_submission.csv"] = table(("id", "label"), [(stem, 0) for stem in others])
    return Layout(files, Read(rows, ignored=("test",)))


@layout
def plant_pathology_2020() -> Layout:
    """Kaggle plant-pathology-2020-fgvc7: one-hot columns; train and test in one folder, by name."""
    head = ("image_id", "healthy", "multiple_diseases", "rust", "scab")
    rows = {f"images/Train_{n}.jpg": (head[1 + n % 4], "train") for n in range(12)}
    files = {**blank(rows), **loose("images", (f"Test_{n}.jpg" for n in range(4)))}
    files["train.csv"] = table(head, [(f"Train_{n}", *[int(n % 4 == k) for k in range(4)]) for n in range(12)])
    files["test.csv"] = table(head[:1], [(f"Test_{n}",) for n in range(4)])
    files["sample_submission.csv"] = table(head, [(f"Test_{n}", 0.25, 0.25, 0.25, 0.25) for n in range(4)])
    return Layout(files, Read(rows, ignored=("images/Test_0.jpg",)))


@layout
def isic_2019() -> Layout:
    """challenge.isic-archive.com, 2019, on Kaggle as andrewmvd/isic-2019: one-hot 1.0 and 0.0, metadata beside."""
    kinds = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC", "UNK")
    top = "ISIC_2019_Training_Input/ISIC_2019_Training_Input"
    stems = [f"ISIC_00000{n:02}" + ("_downsampled" if n % 5 == 1 else "") for n in range(24)]
    rows = {f"{top}/{stem}.jpg": (kinds[n % 8], "") for n, stem in enumerate(stems)}
    truth = [(stem, *[float(k == n % 8) for k in range(9)]) for n, stem in enumerate(stems)]
    notes = [(stem, 55.0, "anterior torso", "", ("female", "male")[n % 2]) for n, stem in enumerate(stems)]
    head = ("image", "age_approx", "anatom_site_general", "lesion_id", "sex")
    files = {
        **blank(rows),
        "ISIC_2019_Training_GroundTruth.csv": table(("image", *kinds), truth),
        "ISIC_2019_Training_Metadata.csv": table(head, notes),
        f"{top}/ATTRIBUTION.txt": "CC-BY-NC", f"{top}/LICENSE.txt": "CC-BY-NC",
    }  # fmt: skip
    return Layout(files, asks(Read(rows), "ISIC_2019_Training_GroundTruth.csv"))


@layout
def roboflow_multi_class() -> Layout:
    """Roboflow, export as 'Multi-Class Classification': _classes.csv with one 1 in a row and blanks in its header."""
    files, rows = {}, {}
    for folder, split, n_images in (("train", "train", 6), ("valid", "val", 3), ("test", "test", 3)):
        names = [f"{folder}-{n:03}_jpg.rf.0f3e{n:028}.jpg" for n in range(n_images)]
        rows |= {f"{folder}/{name}": (("cat", "dog", "fox")[n % 3], split) for n, name in enumerate(names)}
        cells = [(name, *[int(n % 3 == k) for k in range(3)]) for n, name in enumerate(names)]
        files[f"{folder}/_classes.csv"] = table(("filename", " cat", " dog", " fox"), cells)
    return Layout({**blank(rows), **files, "README.roboflow.txt": "pets - v1"}, Read(rows))


@layout
def gtsrb_on_kaggle() -> Layout:
    """Kaggle meowmeowmeowmeowmeow/gtsrb-german-traffic-sign: Train/ by class, Test/ loose, a table each, and Meta."""
    head = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId", "Path")
    rows, files = {}, {}
    for folder, split in (("Train", "train"), ("Test", "test")):
        cells = []
        for n in range(9):
            path = f"Train/{n % 3}/{n % 3:05}_00000_{n:05}.png" if folder == "Train" else f"Test/{n:05}.png"
            rows[path] = (str(n % 3), split)
            cells.append((27 + n, 26 + n, 5, 5, 22 + n, 20 + n, n % 3, path))
        files[f"{folder}.csv"] = table(head, cells)
    meta = [(f"Meta/{n}.png", n, 0, 0, "3.29") for n in range(3)]
    files["Meta.csv"] = table(("Path", "ClassId", "ShapeId", "ColorId", "SignId"), meta)
    files |= loose("Meta", ("0.png", "1.png", "2.png"))
    return Layout({**blank(rows), **files}, asks(Read(rows, ignored=("Meta",)), "Train.csv", "Test.csv"))


@layout
def gtsrb_original() -> Layout:
    """benchmark.ini.rub.de: .ppm and a table with ';' in each class folder; the test images loose beside theirs."""
    head = ("Filename", "Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2", "ClassId")
    rows, files = {}, {}
    for label in ("00000", "00001", "00002"):
        folder = f"GTSRB/Final_Training/Images/{label}"
        names = [f"00000_0000{n}.ppm" for n in range(3)]
        rows |= {f"{folder}/{name}": (label, "train") for name in names}
        cells = [(name, 29, 30, 5, 6, 24, 25, int(label)) for name in names]
        files[f"{folder}/GT-{label}.csv"] = table(head, cells, ";")
    names = [f"{n:05}.ppm" for n in range(4)]
    rows |= {f"GTSRB/Final_Test/Images/{name}": (f"{n % 3:05}", "test") for n, name in enumerate(names)}
    cells = [(name, 53, 54, 6, 5, 48, 49, n % 3) for n, name in enumerate(names)]
    files["GT-final_test.csv"] = table(head, cells, ";")
    numbers = {f"{n:05}": str(n) for n in range(3)}
    labeled = Read({path: row for path, row in rows.items() if row[1] == "train"}, names=numbers)
    right = Read(rows, names=numbers)
    return Layout({**blank(rows), **files}, (right, Refused(("Final_Test",), (right, labeled))))


@layout
def imagefolder_with_metadata() -> Layout:
    """huggingface.co/docs/datasets/image_dataset: metadata.csv beside the images of each split."""
    files, rows = {}, {}
    for folder, split in (("train", "train"), ("validation", "val"), ("test", "test")):
        names = [f"{n:04}.png" for n in range(4)]
        rows |= {f"{folder}/{name}": (("cat", "dog")[n % 2], split) for n, name in enumerate(names)}
        cells = [(name, ("cat", "dog")[n % 2]) for n, name in enumerate(names)]
        files[f"{folder}/metadata.csv"] = table(("file_name", "label"), cells)
    return Layout({**blank(rows), **files, "README.md": "---\nlicense: mit\n---\n"}, Read(rows))


@layout
def imagefolder_with_json_lines() -> Layout:
    """The same with metadata.jsonl, the images one folder further inside."""
    files, rows = {}, {}
    for folder, split in (("train", "train"), ("test", "test")):
        lines = []
        for n in range(4):
            rows[f"data/{folder}/images/{n:04}.png"] = (("cat", "dog")[n % 2], split)
            lines.append(json.dumps({"file_name": f"images/{n:04}.png", "label": ("cat", "dog")[n % 2]}) + "\n")
        files[f"data/{folder}/metadata.jsonl"] = "".join(lines)
    return Layout({**blank(rows), **files}, Read(rows))


@layout
def one_table_with_splits() -> Layout:
    """As many authors deposit at Zenodo: images/ and one table with a column for the split, data and dictionary."""
    cells = [(f"IMG_{n:03}.tif", f"plot {n % 4}", ("oak", "ash")[n % 2], ("training", "validation", "testing")[n % 3])
             for n in range(12)]  # fmt: skip
    split = {"training": "train", "validation": "val", "testing": "test"}
    rows = {f"images/{name}": (label, split[part]) for name, _, label, part in cells}
    files = {"metadata.csv": table(("File", "Site", "Species", "Set"), cells)}
    words = [("File", "name of the image"), ("Site", "where"), ("Species", "what"), ("Set", "use")]
    files["data_dictionary.csv"] = table(("column", "meaning"), words)
    return Layout({**blank(rows), **files}, asks(Read(rows), "metadata.csv", "Species"))


@layout
def table_beside_class_folders_that_agrees() -> Layout:
    """Class folders and a table that says the same of each image, as scripts that made the folders leave it."""
    rows = classes("", ("healthy", "rust"), name="leaf{n}.jpg")
    cells = [(n, path, label) for n, (path, (label, _)) in enumerate(rows.items())]
    return Layout({**blank(rows), "labels.csv": table(("", "image", "label"), cells)}, Read(rows))


@layout
def table_beside_class_folders_that_differs() -> Layout:
    """Class folders of a first rater, and a table of a second one that names the same images otherwise."""
    rows = classes("", ("healthy", "rust"), name="{label}{n}.jpg", each=4)
    second = {path: (("a", "b", "c")[n % 3], "") for n, path in enumerate(rows)}
    cells = [(path, label) for path, (label, _) in second.items()]
    files = {**blank(rows), "second_rater.csv": table(("image", "grade"), cells)}
    return Layout(files, Refused(("second_rater.csv", "healthy"), (Read(rows), Read(second))))


@layout
def stray_table_beside_class_folders() -> Layout:
    """Class folders, and the results of an earlier training."""
    rows = classes("data/train", ("cat", "dog"), "train") | classes("data/val", ("cat", "dog"), "val", "v{n}.jpg")
    files = {"data/results.csv": table(("epoch", "loss", "label"), [(1, 0.7, "a"), (2, 0.4, "b")])}
    return Layout({**blank(rows), **files, "data/model.h5": b"\x89HDF"}, Read(rows))


@layout
def separate_tables_per_split() -> Layout:
    """train.csv, val.csv and test.csv for one folder of images, as Kaggle andrewmvd/... and many papers have them."""
    files, rows = {}, {}
    for at, (name, split) in enumerate((("train", "train"), ("val", "val"), ("test", "test"))):
        chosen = [(f"{at}{n:03}.jpg", ("benign", "malignant")[n % 2]) for n in range(6)]
        rows |= {f"images/{image}": (label, split) for image, label in chosen}
        files[f"{name}.csv"] = table(("image_name", "benign_malignant"), chosen)
    return Layout({**blank(rows), **files}, Read(rows))


@layout
def fer_2013() -> Layout:
    """Kaggle challenges-in-representation-learning: fer2013.csv, 48 x 48 numbers in one cell, Usage for the split."""
    usage = {"Training": "train", "PublicTest": "val", "PrivateTest": "test"}
    cells = [(n % 3, " ".join(["70", "80", str(n % 256)] * 768), name) for n in range(6) for name in usage]
    counts = {(str(label), split): 2 for label in range(3) for split in usage.values()}
    files = {"fer2013.csv": table(("emotion", "pixels", "Usage"), cells), "README": "fer2013"}
    return Layout(files, (Read(counts=counts), Refused(("fer2013.csv", "pixel"))))


@layout
def tables_with_other_labels_per_split() -> Layout:
    """Names for training and numbers for validation would make twice as many classes."""
    files: dict[str, Content] = blank(f"images/{n}.jpg" for n in range(20))
    files["train.csv"] = table(("image", "label"), [(f"{n}.jpg", ("cat", "dog")[n % 2]) for n in range(14)])
    files["val.csv"] = table(("image", "label"), [(f"{n}.jpg", n % 2) for n in range(14, 20)])
    return Layout(files, Refused(("train.csv", "val.csv", "cat")))


@layout
def aptos_in_parts() -> Layout:
    """Kaggle mariaherrerot/aptos2019: each split nested in itself, and the table for training is train_1.csv."""
    files: dict[str, Content] = {}
    rows: Rows = {}
    for split, name in (("train", "train_1.csv"), ("val", "valid.csv"), ("test", "test.csv")):
        stems = [f"{split[0]}{n:x}0a2c1434d8d" for n in range(8)]
        found = {f"{split}_images/{split}_images/{stem}.png": (str(n % 4), split) for n, stem in enumerate(stems)}
        files |= blank(found) | {name: table(("id_code", "diagnosis"), [(s, n % 4) for n, s in enumerate(stems)])}
        rows |= found
    return Layout(files, Read(rows))


@layout
def fashion_product_images() -> Layout:
    """Kaggle paramaggarwal/fashion-product-images-small: styles.csv with a class of three sizes and other columns."""
    kinds = [("Apparel", "Topwear", "Shirts"), ("Apparel", "Bottomwear", "Jeans"), ("Apparel", "Topwear", "Tshirts"),
             ("Accessories", "Watches", "Watches"), ("Footwear", "Shoes", "Casual Shoes")]  # fmt: skip
    cells = [
        (15970 + n, ("Men", "Women")[n % 2], *kinds[n % 5], ("Navy Blue", "Black", "White")[n % 3],
         ("Fall", "Summer")[n // 2 % 2], 2010 + n % 8, ("Casual", "Formal")[n // 3 % 2], f"Turtle Check {n} Shirt")
        for n in range(30)
    ]  # fmt: skip
    head = ("id", "gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "year", "usage")
    files: dict[str, Content] = {"styles.csv": table((*head, "productDisplayName"), cells)}
    files["images.csv"] = table(("filename", "link"), [(f"{c[0]}.jpg", f"http://a.b/{c[0]}.jpg") for c in cells])
    readings = tuple(Read({f"images/{c[0]}.jpg": (str(c[k]), "") for c in cells}) for k in (2, 3, 4))
    return Layout(blank(readings[0].rows) | files, Refused(("masterCategory", "articleType"), readings))
