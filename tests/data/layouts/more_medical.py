"""More of medicine: tissue, eyes and scans, with validation sets and folders of another form than for training."""

from __future__ import annotations

from itertools import product

from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, classes, layout, lines, loose, table


@layout
def nct_crc_he() -> Layout:
    """zenodo.org/records/1214456: NCT-CRC-HE-100K and CRC-VAL-HE-7K, the same classes from other patients."""
    labels = ("ADI", "LYM", "TUM")
    rows = classes("NCT-CRC-HE-100K", labels, "train", "{label}-AAA{n}.tif")
    rows |= classes("CRC-VAL-HE-7K", labels, "val", "{label}-TCGA-{n}.tif")
    whole = Read({path: (label, "") for path, (label, _) in rows.items()})
    one = Read({path: row for path, row in whole.rows.items() if path.startswith("NCT")})
    return Layout(blank(rows), (Read(rows), Refused(("NCT-CRC-HE-100K", "CRC-VAL-HE-7K"), (whole, one))))


@layout
def kather_2016() -> Layout:
    """Kaggle kmader/colorectal-histology-mnist: numbered classes, ten large images, tables of pixels beside."""
    labels = ("01_TUMOR", "02_STROMA", "03_COMPLEX", "04_LYMPHO")
    top = "Kather_texture_2016_image_tiles_5000/Kather_texture_2016_image_tiles_5000"
    rows = classes(top, labels, name="1A11_CRC-Prim-HE-07_02{n}.tif_Row_1_Col_1.tif", each=6)
    large = "Kather_texture_2016_larger_images_10/Kather_texture_2016_larger_images_10"
    files = {**blank(rows), **loose(large, ("CRC-Prim-HE-01_APPLICATION.tif",))}
    head = (*(f"pixel{n:04}" for n in range(64)), "label")
    files |= {"hmnist_8_8_L.csv": table(head, [(*(n % 256 for n in range(64)), 1 + k % 4) for k in range(24)])}
    pixels = Read(counts={(str(k), ""): 6 for k in range(1, 5)})
    folders = Read(rows, names={label: label.partition("_")[2] for label in labels})
    return Layout(files, (folders, Refused(("Kather",), (folders, pixels))))


@layout
def bach() -> Layout:
    """iciar2018-challenge.grand-challenge.org: class folders, and a table without header of the same images."""
    labels = {"Benign": "b", "InSitu": "is", "Invasive": "iv", "Normal": "n"}
    top = "ICIAR2018_BACH_Challenge/Photos"
    rows = {f"{top}/{label}/{short}{n:03}.tif": (label, "") for label, short in labels.items() for n in (1, 2, 3)}
    cells = [(path.rpartition("/")[2], label) for path, (label, _) in rows.items()]
    files = {f"{top}/microscopy_ground_truth.csv": table(None, cells), f"{top}/Thumbs.db": b"\xd0\xcf"}
    return Layout({**blank(rows), **files}, asks(Read(rows), "microscopy_ground_truth.csv"))


@layout
def c_nmc_leukemia() -> Layout:
    """Kaggle andrewmvd/leukemia-classification: classes below folds, and a table of numbers for the second split."""
    top, rows = "C-NMC_Leukemia", {}
    for fold, label in product((0, 1, 2), ("all", "hem")):
        at = f"{top}/training_data/fold_{fold}/{label}"
        rows |= {f"{at}/UID_{fold}{n}_{n}_1_{label}.bmp": (label, "train") for n in (1, 2, 3)}
    names = [f"{n}.bmp" for n in range(1, 7)]
    second = f"{top}/validation_data/C-NMC_test_prelim_phase_data"
    cells = [(f"UID_57_{n}_1_{('hem', 'all')[n % 2]}.bmp", name, n % 2) for n, name in enumerate(names)]
    files = {
        **blank(rows),
        **loose(second, names),
        f"{second}_labels.csv": table(("Patient_ID", "new_names", "labels"), cells),
    }
    files |= loose(f"{top}/testing_data/C-NMC_test_final_phase_data", names)
    return Layout(files, Read(rows, ignored=("validation_data", "testing_data")))


@layout
def camelyon_17_wilds() -> Layout:
    """wilds.stanford.edu, camelyon17_v1.0: no column names a file; its name is made of four columns."""
    head = ("", "patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split")
    cells = [(n, f"{4 + n % 3:03}", n % 2, 3328 + 32 * n, 21792, n % 2, n % 4, n % 5, n % 2) for n in range(24)]
    top = "camelyon17_v1.0"
    files = blank(
        f"{top}/patches/patient_{p}_node_{node}/patch_patient_{p}_node_{node}_x_{x}_y_{y}.png"
        for _, p, node, x, y, *_ in cells
    )
    return Layout(
        {**files, f"{top}/metadata.csv": table(head, cells)}, Refused(("patient_004_node_0", "without a label"))
    )


@layout
def patch_camelyon() -> Layout:
    """github.com/basveeling/pcam: HDF5 files of images and of labels, and tables of where they were cut."""
    names = [f"camelyonpatch_level_2_split_{split}_{kind}.h5" for split in ("train", "valid", "test") for kind in "xy"]
    files: dict[str, Content] = dict.fromkeys(names, b"\x89HDF\r\n\x1a\n")
    head = ("coord_y", "coord_x", "tumor_patch", "center_tumor_patch", "wsi")
    files["camelyonpatch_level_2_split_train_meta.csv"] = table(head, [(1, 2, True, False, "camelyon16_train_001")])
    return Layout(files, Refused(("HDF5", ".h5")))


@layout
def idrid() -> Layout:
    """ieee-dataport.org, IDRiD, grading: lettered folders of splits, tables with empty columns and blanks in names."""
    top, head = "B. Disease Grading", ("Image name", "Retinopathy grade", "Risk of macular edema ", "", "")
    files, grades, risks = dict[str, Content](), {}, {}
    for letter, name, split in (("a", "Training", "train"), ("b", "Testing", "test")):
        cells = [(f"IDRiD_{n:03}", n % 4, n % 3, "", "") for n in range(1, 13)]
        title = f"{letter}. {name} Set"
        paths = {cell[0]: f"{top}/1. Original Images/{title}/{cell[0]}.jpg" for cell in cells}
        grades |= {paths[cell[0]]: (str(cell[1]), split) for cell in cells}
        risks |= {paths[cell[0]]: (str(cell[2]), split) for cell in cells}
        files |= {**blank(paths.values()), f"{top}/2. Groundtruths/{letter}. IDRiD_Disease Grading_{name} Labels.csv":
                  table(head, cells)}  # fmt: skip
    return Layout(files, Refused(("Retinopathy grade", "Risk of macular edema"), (Read(grades), Read(risks))))


@layout
def rfmid() -> Layout:
    """riadd.grand-challenge.org: each split nested three times, several findings of 0 and 1 for each number."""
    head, files = ("ID", "Disease_Risk", "DR", "ARMD", "MH"), dict[str, Content]()
    for title, inner in (("Training_Set", "Training"), ("Evaluation_Set", "Validation"), ("Test_Set", "Test")):
        files |= loose(f"{title}/{title}/{inner}", (f"{n}.png" for n in range(1, 9)))
        cells = [(n, int(n > 1), n % 2, int(n > 4), int(n == 7)) for n in range(1, 9)]
        files[f"{title}/{title}/RFMiD_{inner}_Labels.csv"] = table(head, cells)
    return Layout(files, Refused(("several labels", "Labels.csv")))


@layout
def covidx() -> Layout:
    """Kaggle andyczhao/covidx-cxr2: text lists of patient, file, class and source, without a header."""
    files, rows = dict[str, Content](), {}
    for name, split in (("train", "train"), ("val", "val"), ("test", "test")):
        names = [f"{split}{n:04}x_jumbo.jpeg" for n in range(12)]
        cells = [(300 + n // 2, name, ("negative", "positive")[n % 2], ("ricord", "cohen")[n % 3 > 1])
                 for n, name in enumerate(names)]  # fmt: skip
        files |= {**loose(name, (cell[1] for cell in cells)), f"{name}.txt": lines(cells)}
        rows |= {f"{name}/{cell[1]}": (cell[2], split) for cell in cells}
    return Layout(files, asks(Read(rows), "train.txt"))


@layout
def br_35_h() -> Layout:
    """Kaggle ahmedhamada0/brain-tumor-detection: yes/, no/, images to be predicted, and a part of them with boxes."""
    rows = {f"{label}/{label[0]}{n}.jpg": (label, "") for label in ("yes", "no") for n in range(6)}
    files = {**blank(rows), **loose("pred", ("pred0.jpg", "pred1.jpg"))}
    return Layout(files, Read(rows, ignored=("pred",)))


@layout
def br_35_h_with_masks() -> Layout:
    """The same with its folder for detection, of which no image has a class."""
    rows = {f"{label}/{label[0]}{n}.jpg": (label, "") for label in ("yes", "no") for n in range(6)}
    top = "Br35H-Mask-RCNN"
    files = {**blank(rows), **loose("pred", ("pred0.jpg",)), **loose(f"{top}/TRAIN", ("y7.jpg", "y8.jpg"))}
    files |= {
        **loose(f"{top}/TEST", ("y9.jpg",)),
        f"{top}/annotations_all.json": '{"y7.jpg42": {"filename": "y7.jpg"}}',
    }
    return Layout(files, Refused(("Br35H-Mask-RCNN/", "TRAIN", "Move it out")))


@layout
def brain_tumor_navoneel() -> Layout:
    """Kaggle navoneel/brain-mri-images-for-brain-tumor-detection: yes/ and no/, and both again in a folder beside."""
    rows = {f"{label}/{label[0].upper()}{n} .jpg": (label, "") for label in ("no", "yes") for n in range(4)}
    copies = [f"brain_tumor_dataset/{path}" for path in rows]
    copied = Read(dict(zip(copies, rows.values(), strict=True)))
    return Layout(blank([*rows, *copies]), (Read(rows), Refused(("brain_tumor_dataset",), (Read(rows), copied))))


@layout
def oct_2017() -> Layout:
    """data.mendeley.com/datasets/rscbjbr9sj: a blank at the end of a folder's name, the diagnosis in each file's."""
    labels, rows = ("CNV", "DME", "DRUSEN", "NORMAL"), {}
    for folder, split in (("train", "train"), ("test", "test"), ("val", "val")):
        rows |= classes(f"OCT2017 /{folder}", labels, split, f"{{label}}-{split}-{{n}}.jpeg")
    return Layout({**blank(rows), ".DS_Store": b"\0"}, Read(rows))


@layout
def acrima() -> Layout:
    """figshare.com, ACRIMA: glaucoma has a _g_ in its name, health has nothing."""
    names = {f"Im{n:03}{'_g' if n % 2 else ''}_ACRIMA.jpg": n % 2 for n in range(1, 25)}
    return Layout(loose("Database/Images", names), Refused(("without a label",)))


@layout
def shenzhen() -> Layout:
    """lhncbc.nlm.nih.gov, ChinaSet_AllFiles: the label is the last number of each name; a text for each image."""
    rows = {f"ChinaSet_AllFiles/CXR_png/CHNCXR_{n:04}_{n % 2}.png": (str(n % 2), "") for n in range(1, 21)}
    texts = {
        f"ChinaSet_AllFiles/ClinicalReadings/CHNCXR_{n:04}_{n % 2}.txt": "male 45yrs\n\nnormal" for n in range(1, 21)
    }
    return Layout({**blank(rows), **texts}, Refused(("--label-from",), (Read(rows),)))


@layout
def mini_mias() -> Layout:
    """peipa.essex.ac.uk, MIAS: a list with lines of text above, a row or more per image, and 330 .pgm files."""
    kinds = ("G CIRC B 535 425 197", "D NORM", "F SPIC M 522 280 69", "G NORM")
    rows = [f"mdb{n:03} {kinds[n % 4]}" for n in range(1, 25)]
    text = lines(["INFORMATION", "", "1st column:", "MIAS database reference number.", "", *rows])
    files = {**loose("all-mias", (f"mdb{n:03}.pgm" for n in range(1, 25))), "all-mias/Info.txt": text}
    return Layout(files, Refused(("Info.txt",)))
