"""Class folders below folders of splits, by all the names that splits have."""

from __future__ import annotations

from tests.data.layouts import Layout, Read, Refused, asks, blank, classes, layout, loose, table

TUMORS = ("glioma", "meningioma", "notumor", "pituitary")


@layout
def brain_tumor_mri() -> Layout:
    """Kaggle masoudnickparvar/brain-tumor-mri-dataset."""
    rows = classes("Training", TUMORS, "train", "Tr-{label:.2}_{n:04}.jpg")
    rows |= classes("Testing", TUMORS, "test", "Te-{label:.2}_{n:04}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def brain_tumor_sartaj() -> Layout:
    """Kaggle sartajbhuvaji/brain-tumor-classification-mri: blanks and brackets in file names."""
    labels = ("glioma_tumor", "meningioma_tumor", "no_tumor", "pituitary_tumor")
    rows = classes("Training", labels, "train", "gg ({n}).jpg") | classes("Testing", labels, "test", "image({n}).jpg")
    return Layout(blank(rows), Read(rows))


@layout
def fruits_360() -> Layout:
    """Kaggle moltean/fruits: Training/, Test/, and photographs of several fruits that belong to neither."""
    top = "fruits-360_dataset/fruits-360"
    labels = ("Apple Braeburn", "Apple Red 1", "Banana", "Cocos")
    rows = classes(f"{top}/Training", labels, "train", "{n}_100.jpg")
    rows |= classes(f"{top}/Test", labels, "test", "r_{n}_100.jpg")
    other = loose(f"{top}/test-multiple_fruits", ("apple_apricot_nectarine_peach_peach(flat)_pomegranate.jpg",))
    files = {**blank(rows), **other, f"{top}/readme.md": "# Fruits-360", f"{top}/LICENSE": "MIT"}
    return Layout(files, Read(rows, ignored=("test-multiple_fruits",)))


@layout
def intel_scenes() -> Layout:
    """Kaggle puneet6060/intel-image-classification: each split in a folder of its own name; seg_pred has no labels."""
    labels = ("buildings", "forest", "glacier", "mountain", "sea", "street")
    rows = classes("seg_train/seg_train", labels, "train", "{n}.jpg")
    rows |= classes("seg_test/seg_test", labels, "test", "2005{n}.jpg")
    files = {**blank(rows), **loose("seg_pred/seg_pred", ("10004.jpg", "10005.jpg", "10012.jpg"))}
    return Layout(files, Read(rows, ignored=("seg_pred",)))


@layout
def monkey_species() -> Layout:
    """Kaggle slothkong/10-monkey-species: training/training/n0, and a table of names for n0, n1, ..."""
    rows = classes("training/training", ("n0", "n1", "n2"), "train", "{label}01{n}.jpg")
    rows |= classes("validation/validation", ("n0", "n1", "n2"), "val", "{label}00{n}.jpg")
    head = ("Label", " Latin Name", " Common Name", " Train Images", " Validation Images")
    names = (
        ("n0", " alouatta_palliata", " mantled_howler", " 131", " 26"),
        ("n1", " erythrocebus_patas", " patas_monkey", " 139", " 28"),
        ("n2", " cacajao_calvus", " bald_uakari", " 137", " 27"),
    )
    return Layout({**blank(rows), "monkey_labels.txt": table(head, names)}, Read(rows))


@layout
def asl_alphabet() -> Layout:
    """Kaggle grassknoted/asl-alphabet: one loose test image per class, A_test.jpg."""
    labels = ("A", "B", "del", "nothing", "space")
    rows = classes("asl_alphabet_train/asl_alphabet_train", labels, "train", "{label}{n}.jpg")
    test = loose("asl_alphabet_test/asl_alphabet_test", (f"{label}_test.jpg" for label in labels))
    return Layout({**blank(rows), **test}, Read(rows, ignored=("asl_alphabet_test",)))


@layout
def vegetable_images() -> Layout:
    """Kaggle misrakahmed/vegetable-image-dataset: one folder above the splits."""
    labels = ("Bean", "Bitter_Gourd", "Carrot", "Tomato")
    top = "Vegetable Images"
    rows = classes(f"{top}/train", labels, "train") | classes(f"{top}/validation", labels, "val", "1{n:03}.jpg")
    rows |= classes(f"{top}/test", labels, "test", "2{n:03}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def hymenoptera() -> Layout:
    """hymenoptera_data.zip of PyTorch's transfer learning tutorial: train/ and val/, no test/."""
    rows = classes("hymenoptera_data/train", ("ants", "bees"), "train", "{n}73665_{label}.jpg")
    rows |= classes("hymenoptera_data/val", ("ants", "bees"), "val", "{n}8265_{label}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def training_set_test_set() -> Layout:
    """Kaggle tongpython/cat-and-dog: training_set/training_set/cats, with a hidden file and a list in each."""
    rows = classes("training_set/training_set", ("cats", "dogs"), "train", "{label:.3}.{n}.jpg")
    rows |= classes("test_set/test_set", ("cats", "dogs"), "test", "{label:.3}.400{n}.jpg")
    files = {**blank(rows), "training_set/training_set/cats/_DS_Store": b"\0\0\0\1Bud1"}
    files |= {f"test_set/test_set/{label}/_DS_Store": b"\0\0\0\1Bud1" for label in ("cats", "dogs")}
    return Layout(files, Read(rows))


@layout
def upper_case_splits() -> Layout:
    """Kaggle paultimothymooney/blood-cells, dataset2-master/dataset2-master/images: TRAIN, TEST, TEST_SIMPLE."""
    labels = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")
    rows = classes("images/TRAIN", labels, "train", "_{n}_5239.jpeg")
    rows |= classes("images/TEST", labels, "test", "_{n}_4735.jpeg")
    simple = classes("images/TEST_SIMPLE", labels, "test", "_{n}_9169.jpeg")
    numbers = [(None, n, label, None) for n, label in enumerate(labels)]
    files = {**blank(rows | simple), "labels.csv": table(("", "Image", "Category", ""), numbers)}
    right = Read(rows, ignored=("TEST_SIMPLE",))
    return Layout(files, (right, Read(rows | simple), Refused(("TEST_SIMPLE",), (right, Read(rows | simple)))))


@layout
def sports_with_table() -> Layout:
    """Kaggle gpiosenka/sports-classification: class folders and sports.csv, which names the same images and labels."""
    labels = ("air hockey", "archery", "baseball")
    rows = classes("train", labels, "train", "{n:03}.jpg") | classes("valid", labels, "val", "{n}.jpg")
    rows |= classes("test", labels, "test", "{n}.jpg")
    cells = [(labels.index(label), path, label, path.split("/")[0]) for path, (label, _) in rows.items()]
    files = {**blank(rows), "sports.csv": table(("class id", "filepaths", "labels", "data set"), cells)}
    return Layout({**files, "EfficientNetB0-10-(224 X 224)-98.40.h5": b"\x89HDF\r\n\x1a\n"}, Read(rows))


@layout
def roboflow_folders() -> Layout:
    """Roboflow, export as 'Folder Structure'."""
    rows = {}
    for folder, split in (("train", "train"), ("valid", "val"), ("test", "test")):
        name = f"{folder}-{{n}}_jpg.rf.5d1b0c3e7f{{n:022}}.jpg"
        rows |= classes(folder, ("daisy", "dandelion", "rose"), split, name)
    texts = dict.fromkeys(("README.dataset.txt", "README.roboflow.txt"), "flowers - v1")
    return Layout({**blank(rows), **texts}, Read(rows))


@layout
def ten_animals() -> Layout:
    """Kaggle alessiocorrado99/animals10: raw-img/ above the classes, and a script that translates their names."""
    rows = classes("raw-img", ("cane", "cavallo", "elefante", "farfalla"), name="OIP-_{n}.jpeg")
    translate = 'translate = {"cane": "dog", "cavallo": "horse", "elefante": "elephant", "farfalla": "butterfly"}\n'
    return Layout({**blank(rows), "translate.py": translate}, Read(rows))


@layout
def eurosat() -> Layout:
    """zenodo.org/records/7711810, EuroSAT.zip, also by TensorFlow Datasets: 2750/, the number of images, above."""
    rows = classes("2750", ("AnnualCrop", "Forest", "HerbaceousVegetation", "SeaLake"), name="{label}_{n}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def caltech_101() -> Layout:
    """data.caltech.edu/records/mzrjq-6wc02: class folders beside their annotations, one of which is no object."""
    labels = ("BACKGROUND_Google", "Faces_easy", "Leopards", "accordion")
    rows = classes("caltech-101/101_ObjectCategories", labels, name="image_{n:04}.jpg")
    notes = {f"caltech-101/Annotations/{label}/annotation_000{n}.mat": b"MATLAB" for label in labels for n in (1, 2)}
    files = {**blank(rows), **notes, "caltech-101/101_ObjectCategories/BACKGROUND_Google/tmp": "x"}
    return Layout({**files, "caltech-101/show_annotation.m": "function show_annotation"}, Read(rows))


@layout
def caltech_256() -> Layout:
    """data.caltech.edu/records/nyy15-4j048: numbered folders; 056.dog holds a folder, 198.spider a stray file."""
    labels = ("001.ak47", "056.dog", "198.spider", "257.clutter")
    rows = classes("256_ObjectCategories", labels, name="{label:.3}_{n:04}.jpg")
    rows["256_ObjectCategories/056.dog/greg/vision309/056_0113.jpg"] = ("056.dog", "")
    return Layout({**blank(rows), "256_ObjectCategories/198.spider/RENAME2": "mv"}, Read(rows))


@layout
def stanford_dogs() -> Layout:
    """Kaggle jessicali9530/stanford-dogs-dataset: annotations/Annotation/ and images/Images/, both by breed."""
    labels = ("n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02113978-Mexican_hairless")
    rows = classes("images/Images", labels, name="{label:.9}_1{n:04}.jpg")
    notes = {
        path.replace("images/Images", "annotations/Annotation").removesuffix(".jpg"): "<annotation/>" for path in rows
    }
    return Layout({**blank(rows), **notes}, Read(rows))


@layout
def lfw() -> Layout:
    """Kaggle jessicali9530/lfw-dataset: most people have one image; the tables beside them name no file."""
    people = {"Aaron_Eckhart": 1, "Aaron_Guiel": 1, "Abel_Pacheco": 4, "Zach_Safrin": 1}
    rows = {
        f"lfw-deepfunneled/lfw-deepfunneled/{name}/{name}_{n:04}.jpg": (name, "")
        for name, count in people.items()
        for n in range(1, count + 1)
    }
    pairs = table(("name", "imagenum1", "imagenum2", ""), [("Abel_Pacheco", 1, 4, "")])
    files = {"lfw_allnames.csv": table(("name", "images"), people.items()), "pairs.csv": pairs}
    return Layout({**blank(rows), **files, "people.csv": table(("name", "images"), people.items())}, Read(rows))


@layout
def fiftyone_directory_tree() -> Layout:
    """docs.voxel51.com, FiftyOneImageClassificationDirectoryTree: images without a label are in _unlabeled/."""
    rows = classes("", ("cat", "dog"), name="{label}-{n:06}.jpg")
    right = Read(rows, ignored=("_unlabeled",))
    return Layout({**blank(rows), **loose("_unlabeled", ("000001.jpg", "000002.jpg"))}, asks(right, "_unlabeled"))


@layout
def cvat_imagenet() -> Layout:
    """docs.cvat.ai, format ImageNet 1.0: class folders, and synsets.txt with their names."""
    rows = classes("", ("label_0", "label_1"), name="{label}_image{n}.jpg")
    return Layout({**blank(rows), "synsets.txt": "label_0\nlabel_1\n"}, Read(rows))


@layout
def classes_train_bus_car() -> Layout:
    """Classes of PASCAL VOC and COCO as folders: a train is a vehicle here."""
    rows = classes("", ("bus", "car", "train"), name="2007_{n:06}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def class_sets_differ() -> Layout:
    """As ultralytics #13936 and #9135 describe: val/ lacks a class, test/ has one more."""
    rows = classes("train", ("0", "180", "90"), "train") | classes("val", ("0", "90"), "val", "v{n}.jpg")
    rows |= classes("test", ("0", "270", "90"), "test", "t{n}.jpg")
    return Layout(blank(rows), asks(Read(rows), "270"))


@layout
def classes_na_and_nan() -> Layout:
    """Folders whose names table readers take for a missing value (PaddleClas #521, cellxgene #1115)."""
    rows = classes("", ("NA", "None", "nan", "null"), name="{n}.png")
    return Layout(blank(rows), Read(rows))


@layout
def suffixes_in_both_cases() -> Layout:
    """Images of a camera and of the web in one folder: .JPG, .jpg, .PNG."""
    rows = classes("", ("ripe", "unripe"), name="DSC_{n:04}.JPG") | classes("", ("ripe", "unripe"), name="web{n}.png")
    return Layout(blank(rows), Read(rows))


@layout
def system_files_everywhere() -> Layout:
    """A zip made on a Mac and opened on Windows and in a notebook."""
    rows = classes("data/train", ("cat", "dog"), "train") | classes("data/test", ("cat", "dog"), "test", "t{n}.jpg")
    copies = {f"__MACOSX/{path.rpartition('/')[0]}/._{path.rpartition('/')[2]}": b"\0\5\x16\7" for path in rows}
    strays = {f"data/{at}.DS_Store": b"\0\0\0\1Bud1" for at in ("", "train/", "train/cat/", "test/dog/")}
    strays |= {"data/train/Thumbs.db": b"\xd0\xcf", "data/train/desktop.ini": b"[ViewState]"}
    hidden = loose("data/train/.ipynb_checkpoints", ("cat-checkpoint.jpg",))
    return Layout({**blank(rows), **copies, **strays, **hidden}, Read(rows))
