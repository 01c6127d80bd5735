"""Medical archives: studies of patients in folders, tables of examinations, several images and labels per patient."""

from __future__ import annotations

from itertools import product

from tests.data.layouts import Content, Layout, Read, Refused, Rows, blank, layout, lines, loose, table


def _mura() -> tuple[Rows, Rows]:
    """The images with what is normal, and with the part of the body."""
    abnormal, parts = {}, {}
    for split, given in (("train", "train"), ("valid", "val")):
        for part, patient in product(("XR_ELBOW", "XR_HAND", "XR_WRIST"), range(1, 5)):
            for study, word in ((1, "positive" if patient % 2 else "negative"), *([(2, "negative")] * (patient == 4))):
                for n in (1, 2):
                    path = f"{split}/{part}/patient{patient:05}/study{study}_{word}/image{n}.png"
                    abnormal[path], parts[path] = (word, given), (part, given)
    return abnormal, parts


@layout
def mura() -> Layout:
    """stanfordmlgroup.github.io/competitions/mura: study1_positive below patient, lists of studies and of images."""
    abnormal = {f"MURA-v1.1/{path}": row for path, row in _mura()[0].items()}
    files: dict[str, Content] = {**blank(abnormal)}
    for split in ("train", "valid"):
        own = [path for path in abnormal if path.startswith(f"MURA-v1.1/{split}/")]
        studies = dict.fromkeys(path.rpartition("/")[0] + "/" for path in own)
        files[f"MURA-v1.1/{split}_image_paths.csv"] = lines([(path,) for path in own])
        files[f"MURA-v1.1/{split}_labeled_studies.csv"] = table(None, [(at, int("pos" in at)) for at in studies])
    return Layout(files, Refused(("study",), (Read(abnormal),)))


@layout
def mura_without_lists() -> Layout:
    """The same, and only one part of the body was copied."""
    rows = {path: row for path, row in _mura()[0].items() if "ELBOW" in path}
    return Layout(blank(rows), Refused(("study1_positive",), (Read(rows),)))


@layout
def mura_one_split() -> Layout:
    """The same, and the user gives the elbows for training."""
    rows = {path: (label, "") for path, (label, _) in _mura()[0].items() if path.startswith("train/XR_ELBOW/")}
    return Layout(blank(rows), Refused(("study1_positive",), (Read(rows),)), "train/XR_ELBOW")


@layout
def cases_with_their_diagnosis() -> Layout:
    """As many theses deposit it: a folder per case, its number before what was found."""
    words = ("benign", "malignant", "benign", "normal", "malignant", "benign", "normal", "benign")
    rows = {f"{n:03}_{word}/{view}.png": (word, "") for n, word in enumerate(words, 1) for view in ("cc", "mlo")}
    return Layout(blank(rows), Refused(("001_benign",), (Read(rows),)))


@layout
def diagnosis_with_number_of_the_case() -> Layout:
    """The same the other way round."""
    words = ("benign", "malignant", "benign", "normal", "malignant", "benign", "normal", "benign")
    rows = {f"{word}-{n}/{view}.png": (word, "") for n, word in enumerate(words, 1) for view in ("cc", "mlo")}
    return Layout(blank(rows), Refused(("benign-1",), (Read(rows),)))


def _odir(n: int) -> tuple[str, str]:
    return ("normal fundus", "N") if n % 3 else ("cataract", "C")


@layout
def odir_5k() -> Layout:
    """odir2019.grand-challenge.org: a row per patient with two images, the findings of each and of both."""
    head = ("ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus", "Left-Diagnostic Keywords",
            "Right-Diagnostic Keywords", "N", "D", "G", "C", "A", "H", "M", "O")  # fmt: skip
    cells, names = [], []
    for n in range(12):
        pair = [f"{n}_left.jpg", f"{n}_right.jpg"]
        left, right = _odir(n), _odir(n + 1)
        marks = [int(letter in (left[1], right[1])) for letter in "NDGCAHMO"]
        cells.append((n, 40 + n, ("Female", "Male")[n % 2], *pair, left[0], right[0], *marks))
        names += pair
    files = {**loose("ODIR-5K/Training Images", names), **loose("ODIR-5K/Testing Images", ("937_left.jpg",))}
    files |= {"ODIR-5K/annotations.csv": table(head, cells)}
    return Layout(files, Refused(("Left-Fundus", "Right-Fundus", "--path-column")))


@layout
def odir_5k_on_kaggle() -> Layout:
    """Kaggle andrewmvd/ocular-disease-recognition-odir5k: full_df.csv, a row per eye, and the same images smaller."""
    head = ("ID", "Patient Age", "Patient Sex", "Left-Fundus", "Right-Fundus", "Left-Diagnostic Keywords",
            "Right-Diagnostic Keywords", "N", "D", "G", "C", "A", "H", "M", "O", "filepath", "labels", "target",
            "filename")  # fmt: skip
    cells, names = [], {}
    for n, side in product(range(12), ("right", "left")):
        left, right = _odir(n), _odir(n + 1)
        own = right if side == "right" else left
        marks = [int(letter in (left[1], right[1])) for letter in "NDGCAHMO"]
        name, at = f"{n}_{side}.jpg", "../input/ocular-disease-recognition-odir5k/ODIR-5K/Training Images"
        target = str([int(letter == own[1]) for letter in "NDGCAHMO"])
        cells.append((n, 40 + n, ("Female", "Male")[n % 2], f"{n}_left.jpg", f"{n}_right.jpg", left[0], right[0],
                      *marks, f"{at}/{name}", f"['{own[1]}']", target, name))  # fmt: skip
        names[name] = own[1]
    files = {**loose("ODIR-5K/ODIR-5K/Training Images", names), **loose("preprocessed_images", names)}
    files |= {"full_df.csv": table(head, cells), **loose("ODIR-5K/ODIR-5K/Testing Images", ("937_left.jpg",))}
    readings = tuple(
        Read({f"{at}/{name}": (label, "") for name, label in names.items()}, names={"N": "['N']", "C": "['C']"})
        for at in ("preprocessed_images", "ODIR-5K/ODIR-5K/Training Images")
    )
    return Layout(files, (*readings, Refused(("full_df.csv",), readings)))


@layout
def nih_chest_x_ray_14() -> Layout:
    """Kaggle nih-chest-xrays/data: twelve folders of images, labels joined by '|', lists of splits by patient."""
    labels = ("Cardiomegaly", "Cardiomegaly|Emphysema", "No Finding", "Hernia", "Effusion|Hernia", "No Finding")
    labels += ("Emphysema", "Effusion", "No Finding", "Cardiomegaly|Effusion", "No Finding", "Hernia")
    head = ("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age", "Patient Gender",
            "View Position", "OriginalImage[Width", "Height]", "OriginalImagePixelSpacing[x", "y]", "")  # fmt: skip
    names = [f"{n // 2 + 1:08}_{n % 2:03}.png" for n in range(24)]
    cells = [(name, labels[n % 12], n % 2, n // 2 + 1, 58, "MF"[n % 2], ("PA", "AP")[n % 2], 2682, 2749, 0.143, 0.143,
              "") for n, name in enumerate(names)]  # fmt: skip
    files = blank(f"images_{1 + n // 12:03}/images/{name}" for n, name in enumerate(names))
    files |= {"Data_Entry_2017.csv": table(head, cells), "train_val_list.txt": lines([(n,) for n in names[:16]])}
    files |= {"test_list.txt": lines([(n,) for n in names[16:]]), "README_CHESTXRAY.pdf": b"%PDF-1.4"}
    return Layout(files, Refused(("several labels", "Data_Entry_2017.csv", "Cardiomegaly|Emphysema")))


@layout
def chexpert() -> Layout:
    """stanfordmlgroup.github.io/competitions/chexpert: a column per finding with 1.0, 0.0, -1.0 or nothing."""
    head = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Cardiomegaly", "Edema", "Pneumonia")
    files: dict[str, Content] = {}
    for split in ("train", "valid"):
        cells = []
        for n in range(1, 13):
            view = ("frontal", "lateral")[n % 2]
            path = f"CheXpert-v1.0-small/{split}/patient{n:05}/study1/view1_{view}.jpg"
            marks = (("1.0", "", "", ""), ("", "1.0", "1.0", "-1.0"), ("0.0", "1.0", "", "1.0"))[n % 3]
            cells.append((path, ("Female", "Male")[n % 2], 30 + n, view.title(), ("AP", "")[n % 2], *marks))
            files[path] = None
        files[f"CheXpert-v1.0-small/{split}.csv"] = table(head, cells)
    return Layout(files, Refused(("train.csv", "--label-column")))


@layout
def isic_2018() -> Layout:
    """challenge.isic-archive.com, 2018, task 3: a folder of images and one of a one-hot table for each split."""
    head, top = ("image", "MEL", "NV", "BCC", "AKIEC"), "ISIC2018_Task3"
    files, rows = {}, {}
    for name, split, start in (("Training", "train", 24306), ("Validation", "val", 34321), ("Test", "test", 34524)):
        stems = [f"ISIC_{start + n:07}" for n in range(8)]
        files |= {f"{top}_{name}_Input/{stem}.jpg": None for stem in stems}
        files[f"{top}_{name}_Input/LICENSE.txt"] = "CC-0"
        files[f"{top}_{name}_GroundTruth/{top}_{name}_GroundTruth.csv"] = table(
            head, [(stem, *(float(k == n % 4) for k in range(4))) for n, stem in enumerate(stems)]
        )
        rows |= {f"{top}_{name}_Input/{stem}.jpg": (head[1 + n % 4], split) for n, stem in enumerate(stems)}
    return Layout({**files}, Read(rows))


@layout
def isic_2020() -> Layout:
    """Kaggle siim-isic-melanoma-classification: jpeg/train/, diagnosis and its summary, DICOM and TFRecords beside."""
    kinds = (
        ("nevus", "benign", 0),
        ("melanoma", "malignant", 1),
        ("unknown", "benign", 0),
        ("lentigo NOS", "benign", 0),
    )
    head = ("image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge", "diagnosis",
            "benign_malignant", "target")  # fmt: skip
    cells = [(f"ISIC_26372{n:02}", f"IP_7279{n // 3:03}", ("male", "female")[n % 2], 45 + 5 * (n % 4),
              ("head/neck", "torso", "")[n % 3], *kinds[n % 4]) for n in range(24)]  # fmt: skip
    files: dict[str, Content] = {f"jpeg/train/{cell[0]}.jpg": None for cell in cells}
    files |= {**loose("jpeg/test", ("ISIC_0052060.jpg",)), "tfrecords/train00-2071.tfrec": b"\n\0"}
    files |= {
        "train.csv": table(head, cells),
        "test.csv": table(head[:5], [("ISIC_0052060", "IP_3579794", "male", 70, "")]),
    }
    readings = tuple(
        Read(
            {f"jpeg/train/{cell[0]}.jpg": (cell[k], "train") for cell in cells}, names={"benign": "0", "malignant": "1"}
        )
        for k in (5, 6)
    )
    return Layout(files, (readings[1], Refused(("train.csv", "diagnosis"), readings)))


@layout
def derm7pt() -> Layout:
    """derm.cs.sfu.ca: two images of each case, clinical and dermoscopic, and row numbers of the splits."""
    head = ("case_num", "diagnosis", "seven_point_score", "pigment_network", "level_of_diagnostic_difficulty",
            "elevation", "sex", "derm", "clinic", "case_id")  # fmt: skip
    cells = []
    for n in range(1, 25):
        kind = ("blue nevus", "melanoma", "basal cell carcinoma")[n % 3]
        names = f"NEL/Nel{n:03}.jpg", f"NEL/NEL{n:03}c.JPG"
        cells.append(
            (n, kind, n % 8, ("absent", "typical")[n % 2], "low", "flat", ("male", "female")[n % 2], *names, "")
        )
    files = blank(f"images/{name}" for cell in cells for name in cell[7:9])
    files |= {
        "meta/meta.csv": table(head, cells),
        "meta/train_indexes.csv": table(("indexes",), [(n,) for n in (0, 2)]),
    }
    return Layout(files, Refused(("derm", "clinic", "--path-column")))


@layout
def cbis_ddsm() -> Layout:
    """cancerimagingarchive.net, CBIS-DDSM: whole image, crop and mask in three columns of paths."""
    head = ("patient_id", "breast_density", "left or right breast", "image view", "abnormality type", "assessment",
            "pathology", "subtlety", "image file path", "cropped image file path", "ROI mask file path")  # fmt: skip
    files = dict[str, Content]()
    for split in ("train", "test"):
        cells = []
        for n in range(12):
            at = [
                f"Mass-{name}_P_{n:05}_LEFT_CC/{k}-1.png"
                for k, name in enumerate((split, f"{split}_crop", f"{split}_mask"))
            ]
            kind = ("MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK")[n % 3]
            cells.append((f"P_{n:05}", n % 4 + 1, "LEFT", "CC", "mass", n % 5, kind, n % 5 + 1, *at))
            files |= blank(at)
        files[f"mass_case_description_{split}_set.csv"] = table(head, cells)
    return Layout(files, Refused(("image file path", "cropped image file path", "--path-column")))


@layout
def busi() -> Layout:
    """scholar.cu.edu.eg, Dataset_BUSI_with_GT: each image with one or more masks beside it in the class folder."""
    rows, files = {}, dict[str, Content]()
    for label, n in product(("benign", "malignant", "normal"), (1, 2, 3)):
        rows[f"Dataset_BUSI_with_GT/{label}/{label} ({n}).png"] = (label, "")
        masks = ("_mask", "_mask_1") if n == 2 else ("_mask",)
        files |= {f"Dataset_BUSI_with_GT/{label}/{label} ({n}){mask}.png": None for mask in masks}
    return Layout({**files, **blank(rows)}, Read(rows, ignored=("benign (1)_mask.png", "benign (2)_mask_1.png")))


@layout
def lc_25000() -> Layout:
    """Kaggle andrewmvd/lung-and-colon-cancer-histopathological-images: kinds of tissue below two organs."""
    leaves = {"colon_image_sets": ("colon_aca", "colon_n"), "lung_image_sets": ("lung_aca", "lung_n", "lung_scc")}
    paths = [f"lung_colon_image_set/{organ}/{kind}/{kind.replace('_', '')}{n}.jpeg"
             for organ, kinds in leaves.items() for kind in kinds for n in (1, 2, 3)]  # fmt: skip
    readings = tuple(Read({path: (path.split("/")[k], "") for path in paths}) for k in (2, 1))
    joined = Read({path: ("/".join(path.split("/")[1:3]), "") for path in paths})
    return Layout(blank(paths), (readings[0], Refused(("colon_image_sets",), (readings[0], joined))))


@layout
def chest_ct_scans() -> Layout:
    """Kaggle mohamedhanyyy/chest-ctscan-images: the stage is in the names of the classes, but not for testing."""
    stages = {"adenocarcinoma": "left.lower.lobe_T2_N0_M0_Ib", "large.cell.carcinoma": "left.hilum_T2_N2_M0_IIIa",
              "normal": "", "squamous.cell.carcinoma": "left.hilum_T1_N2_M0_IIIa"}  # fmt: skip
    rows = {}
    for folder, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        for label, stage in stages.items():
            name = f"{label}_{stage}" if stage and split != "test" else label
            rows |= {f"Data/{folder}/{name}/{split}{n:06} ({n}).png": (label, split) for n in (1, 2, 3)}
    return Layout(blank(rows), (Read(rows), Refused(("adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib", "adenocarcinoma"))))
