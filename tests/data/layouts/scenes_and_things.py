"""Scenes, objects, materials and shops: lists per class, domains, and splits in several folders."""

from __future__ import annotations

from itertools import product

from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, classes, layout, lines, loose, table


@layout
def sun_397() -> Layout:
    """vision.princeton.edu/projects/2010/SUN: classes by letter, some divided further, ten partitions by path."""
    inner = ("a/abbey", "a/apartment_building/outdoor", "b/bank_vault", "c/cathedral/indoor", "c/cathedral/outdoor")
    paths = [f"SUN397/{at}/sun_{at[-3:]}{n}.jpg" for at in inner for n in range(4)]
    files: dict[str, Content] = {**blank(paths), "SUN397/ClassName.txt": lines(f"/{at}" for at in inner)}
    for k, part in product((1, 2), ("Training", "Testing")):
        chosen = [path[6:] for n, path in enumerate(paths) if (n % 2 == 0) == (part == "Training")]
        files[f"Partitions/{part}_{k:02}.txt"] = lines(chosen)
    label_of = {path: path[7:].rpartition("/")[0] for path in paths}
    right = Read({path: (label, ("train", "test")[n % 2]) for n, (path, label) in enumerate(label_of.items())})
    return Layout(files, asks(right, "SUN397"))


@layout
def mit_indoor() -> Layout:
    """web.mit.edu/torralba/www/indoor.html: Images/, and TrainImages.txt and TestImages.txt of paths alone."""
    labels = ("airport_inside", "bakery", "wine_cellar")
    paths = [f"Images/{label}/{label}_{n}_1_.jpg" for label in labels for n in range(6)]
    files = {
        "TrainImages.txt": lines(p[7:] for p in paths if p[-8] != "5"),
        "TestImages.txt": lines(p[7:] for p in paths if p[-8] == "5"),
    }
    rows = {path: (path.split("/")[1], "test" if path[-8] == "5" else "train") for path in paths}
    return Layout({**blank(paths), **files}, asks(Read(rows), "TrainImages.txt"))


@layout
def minc_2500() -> Layout:
    """opensurfaces.cs.cornell.edu/publications/minc: five divisions of the same images, paths from above."""
    labels = ("brick", "carpet", "wood")
    paths = [f"minc-2500/images/{label}/{label}_{n:06}.jpg" for label in labels for n in range(8)]
    files: dict[str, Content] = {**blank(paths), "minc-2500/categories.txt": lines(labels)}
    for k in (1, 2):
        for split, part in (
            ("train", paths[:3] + paths[8:12] + paths[16:21]),
            ("validate", paths[3:5] + paths[12:14] + paths[21:22]),
            ("test", paths[5:8] + paths[14:16] + paths[22:]),
        ):
            files[f"minc-2500/labels/{split}{k}.txt"] = lines(path[10:] for path in part)
    given = {
        path: split
        for split, part in (
            ("train", paths[:3] + paths[8:12] + paths[16:21]),
            ("val", paths[3:5] + paths[12:14] + paths[21:22]),
            ("test", paths[5:8] + paths[14:16] + paths[22:]),
        )
        for path in part
    }
    right = Read({path: (path.split("/")[2], given[path]) for path in paths})
    return Layout(files, asks(right, "train1.txt"))


@layout
def flickr_materials() -> Layout:
    """people.csail.mit.edu/celiu/CVPR2010/FMD: image/ and mask/ with the same classes in each."""
    labels = ("fabric", "foliage", "glass")
    rows = classes("image", labels, name="{label}_moderate_{n:03}_new.jpg")
    return Layout(blank([*rows, *(path.replace("image/", "mask/", 1) for path in rows)]), Read(rows, ignored=("mask",)))


@layout
def stanford_40_actions() -> Layout:
    """vision.stanford.edu/Datasets/40actions.html: flat images, a list per class and split, and boxes in XML."""
    labels = ("applauding", "blowing_bubbles", "riding_a_bike")
    files, rows = dict[str, Content](), {}
    for label in labels:
        names = [f"{label}_{n:03}.jpg" for n in range(1, 7)]
        rows |= {f"JPEGImages/{name}": (label, "train" if n < 4 else "test") for n, name in enumerate(names)}
        files[f"ImageSplits/{label}_train.txt"] = lines(names[:4])
        files[f"ImageSplits/{label}_test.txt"] = lines(names[4:])
    for split in ("train", "test"):
        files[f"ImageSplits/{split}.txt"] = lines(path[11:] for path, row in rows.items() if row[1] == split)
    files["ImageSplits/actions.txt"] = lines(
        [("action_name", "number_of_train/test_images"), *((label, "4/2") for label in labels)], "\t"
    )
    files |= {
        f"XMLAnnotations/{path[11:-4]}.xml": "<annotation><object><bndbox></bndbox></object></annotation>"
        for path in rows
    }
    whole = Read({path: (label, "") for path, (label, _) in rows.items()})
    return Layout({**blank(rows), **files}, (Read(rows), Refused(("detection", "--label-from"), (Read(rows), whole))))


@layout
def imagenette() -> Layout:
    """github.com/fastai/imagenette: synsets below train/ and val/, and a table of labels with more and more noise."""
    labels = ("n01440764", "n02102040", "n03888257")
    rows = classes("imagenette2-160/train", labels, "train", "{label}_{n}.JPEG", 6)
    rows |= classes("imagenette2-160/val", labels, "val", "ILSVRC2012_val_0000{n}{label}.JPEG", 6)
    head = (
        "path",
        "noisy_labels_0",
        "noisy_labels_1",
        "noisy_labels_5",
        "noisy_labels_25",
        "noisy_labels_50",
        "is_valid",
    )
    cells = [(path[16:], label, *(labels[n % 3] if n % k == 0 else label for k in (9, 7, 5, 3)), split == "val")
             for n, (path, (label, split)) in enumerate(rows.items())]  # fmt: skip
    names = {"n01440764": "tench", "n02102040": "English springer", "n03888257": "parachute"}
    return Layout({**blank(rows), "imagenette2-160/noisy_imagenette.csv": table(head, cells)},
                  asks(Read(rows, names=names), "noisy_imagenette.csv"))  # fmt: skip


@layout
def imagenet_100() -> Layout:
    """Kaggle ambityga/imagenet100: the classes of training are divided over four folders."""
    labels = [f"n0{n}440764" for n in range(1, 9)]
    rows = {}
    for k in range(4):
        rows |= classes(f"train.X{k + 1}", labels[2 * k : 2 * k + 2], "train", "{label}_{n}.JPEG")
    rows |= classes("val.X", labels, "val", "ILSVRC2012_val_{n}{label}.JPEG")
    names = "{" + ", ".join(f'"{label}": "thing {n}"' for n, label in enumerate(labels)) + "}"
    shown = {label: f"thing {n}" for n, label in enumerate(labels)}
    return Layout({**blank(rows), "Labels.json": names}, Read(rows, names=shown))


@layout
def mini_imagenet() -> Layout:
    """As few-shot learning divides it: train.csv, val.csv and test.csv have different classes."""
    files, rows = dict[str, Content](), {}
    for k, split in enumerate(("train", "val", "test")):
        labels = (f"n0153282{k}", f"n0155899{k}")
        cells = [(f"{label}0000000{n}.jpg", label) for label in labels for n in range(1, 6)]
        files |= {**loose("images", (cell[0] for cell in cells)), f"{split}.csv": table(("filename", "label"), cells)}
        rows |= {f"images/{name}": (label, split) for name, label in cells}
    return Layout(files, Refused(("train.csv", "labels")))


@layout
def domain_net() -> Layout:
    """ai.bu.edu/M3SDA: six domains with the same classes, and two lists of paths and numbers for each."""
    files, rows = dict[str, Content](), {}
    for domain in ("clipart", "real", "sketch"):
        for split, start in (("train", 0), ("test", 8)):
            cells = [
                (f"{domain}/{label}/{domain}_{n:03}_{start:06}.jpg", k)
                for k, label in enumerate(("aircraft", "zebra"))
                for n in range(start, start + 5)
            ]
            files |= {**blank(cell[0] for cell in cells), f"{domain}_{split}.txt": lines(cells)}
            rows |= {path: (path.split("/")[1], split) for path, _ in cells}
    domains = tuple(
        Read({p: row for p, row in rows.items() if p.startswith(f"{d}/")}) for d in ("clipart", "real", "sketch")
    )
    new = tuple(Read({p: (label, "") for p, (label, _) in read.rows.items()}) for read in (*domains, Read(rows)))
    return Layout(files, (Read(rows), Refused(("clipart", "sketch"), (Read(rows), *domains, *new))))


@layout
def pacs() -> Layout:
    """github.com/facebookresearch/DomainBed: four domains below kfold/, the same classes and file names in each."""
    rows = {f"PACS/kfold/{domain}/{label}/pic_{n:03}.jpg": (label, "") for domain, label, n in
            product(("art_painting", "cartoon", "photo", "sketch"), ("dog", "guitar", "person"), (1, 2))}  # fmt: skip
    alone = tuple(Read({p: row for p, row in rows.items() if f"/{d}/" in p}) for d in ("art_painting", "photo"))
    return Layout(blank(rows), Refused(("art_painting", "sketch"), (Read(rows), *alone)))


@layout
def imagenet_c() -> Layout:
    """zenodo.org/records/2235448: classes below five severities below each corruption."""
    labels = ("n01440764", "n02102040", "n03888257")
    rows = {f"{kind}/{k}/{label}/ILSVRC2012_val_{n}{label}.JPEG": (label, "") for kind, k, label, n in
            product(("gaussian_noise", "motion_blur", "snow"), range(1, 6), labels, (1, 2))}  # fmt: skip
    noise = Read({path: row for path, row in rows.items() if path.startswith("gaussian_noise")})
    return Layout(blank(rows), Refused(("gaussian_noise",), (Read(rows), noise)))


@layout
def core_50() -> Layout:
    """vlomonaco.github.io/core50: fifty objects in each of eleven sessions."""
    rows = {f"core50_128x128/s{s}/o{o}/C_{s:02}_{o:02}_{n:03}.png": (f"o{o}", "") for s, o, n in
            product(range(1, 5), (1, 2, 3, 11), (0, 1))}  # fmt: skip
    return Layout(blank(rows), asks(Read(rows), "s1"))


@layout
def coil_100() -> Layout:
    """cs.columbia.edu/CAVE/software/softlib/coil-100.php: obj1__0.png, an object at each angle."""
    rows = {f"coil-100/obj{k}__{5 * n}.png": (f"obj{k}", "") for k, n in product(range(1, 5), range(8))}
    return Layout({**blank(rows), "coil-100/convertGroupppm2png.pl": "#!"}, Refused(("--label-from",), (Read(rows),)))


@layout
def zappos_50k() -> Layout:
    """vision.cs.utexas.edu/projects/finegrained/utzap50k: kind, kind below it, and brand."""
    rows = {f"ut-zap50k-images/{kind}/{sub}/{brand}/{n}{sub[:2]}.jpg": (kind, sub) for kind, sub in
            (("Boots", "Ankle"), ("Boots", "Knee High"), ("Shoes", "Heels"), ("Shoes", "Loafers"))
            for brand in ("Gabor", "Rieker") for n in (1, 2)}  # fmt: skip
    readings = tuple(Read({path: (row[k], "") for path, row in rows.items()}) for k in (0, 1))
    joined = Read({path: ("/".join(row), "") for path, row in rows.items()})
    return Layout(blank(rows), (readings[0], Refused(("Boots",), (*readings, joined))))


@layout
def microsoft_cats_and_dogs() -> Layout:
    """microsoft.com/download, kagglecatsanddogs_5340.zip: PetImages/, documents, and Thumbs.db in each class."""
    rows = classes("PetImages", ("Cat", "Dog"), name="{n}.jpg", each=6)
    files = {
        "PetImages/Cat/Thumbs.db": b"\xd0\xcf",
        "readme[1].txt": "",
        "MSR-LA - 3467.docx": b"PK",
        "CDLA-Permissive-2.0.pdf": b"%PDF",
    }
    return Layout({**blank(rows), **files}, Read(rows))


@layout
def products() -> Layout:
    """cvlibs.net, Stanford Online Products: class and kind of each product in lists with a header, by blanks."""
    files, found = dict[str, Content](), {}
    kinds = ("bicycle", "cabinet", "chair")
    for split, start in (("train", 0), ("test", 12)):
        cells = []
        for n in range(start, start + 12):
            path = f"{kinds[n % 3]}_final/{111085122871 + n // 3}_{n % 3}.JPG"
            cells.append((n + 1, n // 2 + 1, n % 3 + 1, path))
            files[path] = None
            found[path] = (str(n // 2 + 1), str(n % 3 + 1), split)
        files[f"Ebay_{split}.txt"] = lines([("image_id", "class_id", "super_class_id", "path"), *cells])
    files["Ebay_info.txt"] = lines(
        [("image_id", "class_id", "super_class_id", "path"), (1, 1, 1, "bicycle_final/x.JPG")]
    )
    kinds_read = Read({f"Stanford_Online_Products/{p}": (row[1], row[2]) for p, row in found.items()},
                      names={"1": "bicycle_final", "2": "cabinet_final", "3": "chair_final"})  # fmt: skip
    folders = Read({f"Stanford_Online_Products/{p}": (p.partition("/")[0], "") for p in found})
    return Layout({f"Stanford_Online_Products/{p}": c for p, c in files.items()},
                  Refused(("Ebay_train.txt",), (kinds_read, folders)))  # fmt: skip


@layout
def neu_det() -> Layout:
    """faculty.neu.edu.cn/songkechen, on Kaggle as kaustubhdikshit/neu-surface-defect-database: classes and boxes."""
    files, rows = dict[str, Content](), {}
    for folder, split in (("train", "train"), ("validation", "val")):
        own = classes(
            f"NEU-DET/{folder}/images", ("crazing", "inclusion", "patches"), split, f"{{label}}_{split}{{n}}.jpg"
        )
        files |= {f"NEU-DET/{folder}/annotations/{path.rpartition('/')[2][:-3]}xml": "<annotation/>" for path in own}
        rows |= own
    return Layout({**blank(rows), **files}, asks(Read(rows), "NEU-DET"))


@layout
def neu_cls() -> Layout:
    """The same for classification: Cr_1.bmp in one folder."""
    rows = {f"NEU-CLS/{label}_{n}.bmp": (label, "") for label in ("Cr", "In", "Pa", "RS") for n in range(1, 7)}
    return Layout(blank(rows), Refused(("--label-from",), (Read(rows),)))


@layout
def kaggle_waste() -> Layout:
    """Kaggle techsash/waste-classification-data: classes of one letter, and all of it twice in other case."""
    rows = {}
    for folder, split in (("TRAIN", "train"), ("TEST", "test")):
        rows |= classes(f"DATASET/{folder}", ("O", "R"), split, f"{{label}}_{split}{{n}}.jpg")
    copies = {f"dataset/{path}": row for path, row in rows.items()}
    return Layout(blank([*rows, *copies]), (Read(rows), Refused(("DATASET",), (Read(rows), Read(copies)))))


@layout
def surface_cracks() -> Layout:
    """data.mendeley.com/datasets/5y9wdsg2zt: Positive/ and Negative/ with the same file names, and the archive."""
    rows = classes("", ("Negative", "Positive"), name="{n:05}.jpg", each=6)
    return Layout({**blank(rows), "Concrete Crack Images for Classification.rar": b"Rar!\x1a\x07\0"}, Read(rows))


@layout
def kaggle_cars_with_folders() -> Layout:
    """Kaggle jutrera/stanford-car-dataset-by-classes-folder: folders, and tables without header of names and boxes."""
    files, rows = dict[str, Content](), {}
    labels = ("AM General Hummer SUV 2000", "Acura TL Sedan 2012", "smart fortwo Convertible 2012")
    for split in ("train", "test"):
        own = classes(f"car_data/car_data/{split}", labels, split, f"0{{n}}{split}{{label:.3}}.jpg")
        rows |= own
        cells = [
            (path.rpartition("/")[2], 39, 116, 569, 375, labels.index(label) + 1) for path, (label, _) in own.items()
        ]
        files[f"anno_{split}.csv"] = table(None, cells)
    files["names.csv"] = "".join(f"{label}\n" for label in labels)
    return Layout({**blank(rows), **files}, asks(Read(rows), "anno_train.csv"))


@layout
def playing_cards() -> Layout:
    """Kaggle gpiosenka/cards-image-datasetclassification: folders, and a table with the kind of each card."""
    files, rows, cells = dict[str, Content](), {}, []
    for folder, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        own = classes(folder, ("ace of clubs", "eight of hearts", "joker"), split, "{n}.jpg")
        rows |= own
        cells += [(n, path, label, label.partition(" ")[0], folder) for n, (path, (label, _)) in enumerate(own.items())]
    head = ("class index", "filepaths", "labels", "card type", "data set")
    files |= {"cards.csv": table(head, cells), "14card types-14-(200 X 200)-94.61.h5": b"\x89HDF"}
    return Layout({**blank(rows), **files}, asks(Read(rows), "cards.csv"))
