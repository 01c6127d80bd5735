"""Data sets of competitions, museums and satellites whose tables, splits or annotations have forms of their own."""

from __future__ import annotations

import json

from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, layout, lines, loose, table

AB = ("ant", "bee")
BUILDINGS = ("all_souls", "ashmolean", "radcliffe_camera")


@layout
def oxford_buildings() -> Layout:
    """robots.ox.ac.uk/~vgg/data/oxbuildings: the building in the file names, and lists for each query."""
    rows = {f"oxbuild_images/{label}_{n:06}.jpg": (label, "") for label in BUILDINGS for n in (1, 6, 13, 24, 35)}
    files: dict[str, Content] = {**blank(rows), "gt_files/all_souls_1_good.txt": "all_souls_000006\nall_souls_000013\n"}
    files["gt_files/all_souls_1_query.txt"] = "oxc1_all_souls_000013 136.5 34.1 648.5 955.7\n"
    return Layout(files, Refused(("radcliffe_camera",), (Read(rows),)))


@layout
def ubc_ocean() -> Layout:
    """Kaggle UBC-OCEAN: thumbnails whose names have one more word than the ids in the table."""
    cells = [(4 + n * 9, ("HGSC", "LGSC", "EC", "CC")[n % 4], 23785, 20008, "False") for n in range(16)]
    rows = {f"train_thumbnails/{cell[0]}_thumbnail.png": (str(cell[1]), "") for cell in cells}
    files: dict[str, Content] = {**blank(rows), **loose("test_thumbnails", ["41_thumbnail.png"])}
    files["train.csv"] = table(("image_id", "label", "image_width", "image_height", "is_tma"), cells)
    return Layout(files, asks(Read(rows)))


@layout
def danish_fungi() -> Layout:
    """sites.google.com/view/danish-fungi-dataset: tables for training and for the public test, with equal columns."""
    kinds = (("Amanita", "muscaria"), ("Russula", "emetica"))
    cells = [(*kinds[n % 2], f"2237{n:04}-{n * 31}.JPG", n % 2, ("forest", "lawn", "heath")[n % 3]) for n in range(16)]
    rows = {f"DF20/{cell[2]}": (str(cell[1]), "train" if n < 11 else "test") for n, cell in enumerate(cells)}
    files: dict[str, Content] = blank(rows)
    head = ("genus", "species", "image_path", "class_id", "Habitat")
    files["DF20-train_metadata_PROD.csv"] = table(head, cells[:11])
    files["DF20-public_test_metadata_PROD.csv"] = table(head, cells[11:])
    return Layout(files, asks(Read(rows)))


@layout
def forest_fires() -> Layout:
    """Mendeley gjmr63rz2r: training and validation in one folder, as its name says."""
    rows = {
        f"Forest Fire Dataset/{name}/{label}/{label}_{k * 100 + n:04}.jpg": (label, split)
        for k, (name, split) in enumerate((("Training and Validation", "train"), ("Testing", "test")))
        for label in ("fire", "nofire")
        for n in range(6)
    }
    return Layout(blank(rows), Read(rows))


@layout
def splits_in_arabic() -> Layout:
    rows = {f"{name}/{label}/{split}{n + k * 40}.jpg": (label, split)
            for k, (name, split) in enumerate((("تدريب", "train"), ("تحقق", "val"), ("اختبار", "test")))
            for label in ("قط", "كلب") for n in range(6)}  # fmt: skip
    return Layout(blank(rows), Read(rows))


@layout
def splits_in_turkish() -> Layout:
    rows = {f"{name}/{label}/{split}{n + k * 40}.jpg": (label, split)
            for k, (name, split) in enumerate((("Eğitim", "train"), ("Doğrulama", "val"), ("Test", "test")))
            for label in ("kedi", "köpek") for n in range(6)}  # fmt: skip
    return Layout(blank(rows), Read(rows))


@layout
def dota() -> Layout:
    """captain-whu.github.io/DOTA: corners of turned boxes, the class and the difficulty, below two lines of head."""
    text = "imagesource:GoogleEarth\ngsd:0.146\n2753 2408 2861 2385 2888 2468 2805 2502 plane 0\n"
    files: dict[str, Content] = {f"train/images/P{n:04}.png": None for n in range(8)}
    return Layout(files | {f"train/labelTxt/P{n:04}.txt": text for n in range(8)}, Refused(("detection",)))


@layout
def kitti() -> Layout:
    """cvlibs.net/datasets/kitti: 15 words for each thing, the first of which is its class."""
    text = "Car 0.00 0 -1.57 599.41 156.40 629.75 189.25 2.85 2.63 12.34 0.47 1.49 69.44 -1.56\n"
    files: dict[str, Content] = {f"training/image_2/{n:06}.png": None for n in range(8)}
    return Layout(files | {f"training/label_2/{n:06}.txt": text for n in range(8)}, Refused(("detection",)))


@layout
def vis_drone() -> Layout:
    """github.com/VisDrone: eight numbers with commas for each thing."""
    files: dict[str, Content] = {f"VisDrone2019-DET-train/images/9999{n}_d.jpg": None for n in range(8)}
    text = "684,8,273,116,0,0,0,0\n406,119,265,70,1,4,0,0\n"
    files |= {f"VisDrone2019-DET-train/annotations/9999{n}_d.txt": text for n in range(8)}
    return Layout(files, Refused(("detection",)))


@layout
def create_ml() -> Layout:
    """roboflow.com/formats/createml-json: boxes by their centers, a file for each split."""
    files: dict[str, Content] = {}
    right: dict[str, tuple[str, str]] = {}
    for split in ("train", "valid"):
        names = [f"{split}{n}_jpg.rf.{n * 77:032x}.jpg" for n in range(8)]
        boxes = [{"label": AB[n % 2], "coordinates": {"x": 5, "y": 6, "width": 4, "height": 2}} for n in range(8)]
        rows = [{"image": name, "annotations": [box]} for name, box in zip(names, boxes, strict=True)]
        files |= {**loose(split, names), f"{split}/_annotations.createml.json": json.dumps(rows)}
        found = "val" if split == "valid" else split
        right |= {f"{split}/{name}#xywh=3,5,4,2": (AB[n % 2], found) for n, name in enumerate(names)}
    return Layout(files, Refused(("detection",), (Read(right),)))


@layout
def plant_clef() -> Layout:
    """imageclef.org/lifeclef/2015/plant: a file of facts for each image, one of which is the species."""
    files: dict[str, Content] = loose("train", [f"{100 + n}.jpg" for n in range(8)])
    files |= {f"train/{100 + n}.xml": f"<Image><Content>Leaf</Content><ClassId>{n % 3}</ClassId></Image>"
              for n in range(8)}  # fmt: skip
    return Layout(files, Refused(("train/100.xml",)))


@layout
def lmdb() -> Layout:
    """As LSUN and many benchmarks are published: a database."""
    return Layout({"bedroom_train_lmdb/data.mdb": bytes(100), "bedroom_train_lmdb/lock.mdb": bytes(10)},
                  Refused(("data.mdb", "LMDB")))  # fmt: skip


@layout
def veri_776() -> Layout:
    """vehiclereid.github.io/VeRi: names of the images without labels, these in a file of XML."""
    names = [f"{k:04}_c{n:03}_0001{n:04}_0.jpg" for k in (1, 2, 4) for n in range(1, 6)]
    files: dict[str, Content] = {**loose("VeRi/image_train", names), "VeRi/name_train.txt": lines(names)}
    files |= loose("VeRi/image_test", [f"{k:04}_c{n:03}_0002{n:04}_0.jpg" for k in (3, 5) for n in range(1, 4)])
    return Layout(files, Refused(("without a label", "0001")))


@layout
def tiles_of_slides_and_a_table_of_cases() -> Layout:
    """As portal.gdc.cancer.gov has them: a folder of tiles per case, and a clinical table."""
    cases = [f"TCGA-{a}-{b}" for a, b in (("AA", 3525), ("AD", 6890), ("CM", 4743), ("AF", 2687), ("AZ", 4313))]
    cells = [(case, ("MSI", "MSS")[n % 2], 60 + n) for n, case in enumerate(cases)]
    rows = {f"tiles/{case}/{x}_{y}.png": (status, "") for case, status, _ in cells for x in (512, 1024)
            for y in (0, 512, 2048)}  # fmt: skip
    return Layout({**blank(rows), "clinical.csv": table(("case_id", "msi_status", "age"), cells)},
                  Refused(("clinical.csv",), (Read(rows),)))  # fmt: skip


@layout
def clips_and_a_table_of_actions() -> Layout:
    """Frames of videos in folders, with the action of each video in a table, below the folders of splits."""
    names = [f"clip_{n:03}" for n in range(12)]
    rows = {f"{split}/{name}/frame_{k:03}.jpg": (("run", "jump")[n % 2], split)
            for n, name in enumerate(names) for split in [("train", "test")[n % 3 == 2]] for k in range(4)}  # fmt: skip
    cells = [(name, ("run", "jump")[n % 2]) for n, name in enumerate(names)]
    return Layout({**blank(rows), "annotations.csv": table(("clip", "action"), cells)}, asks(Read(rows)))


@layout
def an_image_in_a_folder_of_its_id() -> Layout:
    """One image in each folder, whose number is an id in the table."""
    rows = {f"subset/{n * 1311}/img.png": (AB[n % 2], "") for n in range(1, 11)}
    return Layout({**blank(rows), "labels.csv": table(("id", "label"), [(n * 1311, AB[n % 2]) for n in range(1, 11)])},
                  asks(Read(rows)))  # fmt: skip


@layout
def folders_of_classes_and_a_table_of_their_families() -> Layout:
    """A table of classes is no table of samples: it has a name for each folder."""
    names = {"n01": "Apis mellifera", "n02": "Bombus terrestris", "n03": "Vespa crabro", "n04": "Vespula vulgaris"}
    rows = {f"{code}/{code}_{n * n}.jpg": (code, "") for code in names for n in range(6)}
    cells = [(code, name, ("Apidae", "Vespidae")[n // 2]) for n, (code, name) in enumerate(names.items())]
    return Layout({**blank(rows), "classes.csv": table(("code", "name", "family"), cells)}, Read(rows, names=names))


@layout
def images_generated_in_epochs() -> Layout:
    """What a program writes while it learns is no class, as are scenes, runs and lots that are numbered."""
    return Layout(blank(f"samples/epoch_{e:03}/{n}.png" for e in (10, 20, 30, 40, 50) for n in range(8)),
                  Refused(("epoch_010/",)))  # fmt: skip


@layout
def tests_public_and_private() -> Layout:
    """Two tests beside the images for training, as after a competition."""
    rows = {f"train/{label}/{label}{n * n}.jpg": (label, "train") for label in AB for n in range(6)}
    rows |= {f"{name}/{label}/{name}{label}{n * n}.jpg": (label, "test") for name in ("test_public", "test_private")
             for label in AB for n in range(3)}  # fmt: skip
    return Layout(blank(rows), Read(rows))


@layout
def numbers_of_patients_in_file_names() -> Layout:
    """Numbers in the table, and in the names of files a word and the number with zeros."""
    rows = {f"img/patient_{n:04}.png": (AB[n % 2], "") for n in range(1, 17)}
    cells = [(n, AB[n % 2]) for n in range(1, 17)]
    return Layout({**blank(rows), "outcomes.csv": table(("patient", "outcome"), cells)}, asks(Read(rows)))
