"""Images that belong together: bands and views of one sample, masks under other names, tables beside the images."""

from __future__ import annotations

import json

from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, classes, layout, loose, table

DEFECTS = ("Missing_hole", "Mouse_bite", "Spur")


@layout
def big_earth_net() -> Layout:
    """bigearth.net: a folder per patch, in it a file per band of the satellite and one of its labels."""
    files: dict[str, Content] = {}
    for n in range(8):
        name = f"S2A_MSIL2A_20170613T101031_{n * 7}_{n * 11 + 3}"
        files |= {f"BigEarthNet-v1.0/{name}/{name}_{band}.tif": None for band in ("B01", "B02", "B03", "B8A", "B11")}
        labels = json.dumps({"labels": ["Pastures", "Sea"][: 1 + n % 2]})
        files[f"BigEarthNet-v1.0/{name}/{name}_labels_metadata.json"] = labels
    return Layout(files, Refused(("samples", "B01")))


@layout
def smartphone_noise() -> Layout:
    """abdokamel.github.io/sidd: a folder per scene with the noisy and the clean image."""
    files = {f"SIDD_Small_sRGB_Only/Data/{n:04}_00{n % 5}_{phone}_00100_0{n * 7:04}_3200_L/{kind}_SRGB_010.PNG": None
             for n, phone in enumerate(("S6", "GP", "IP", "S6", "N6", "G4", "GP", "IP"), 1)
             for kind in ("GT", "NOISY")}  # fmt: skip
    return Layout(files, Refused(("samples", "NOISY_SRGB_010.PNG")))


@layout
def ph2() -> Layout:
    """fc.up.pt/addi/ph2: a folder per lesion, in it folders for the image and for its mask; labels in a spreadsheet."""
    files: dict[str, Content] = {"PH2Dataset/PH2_dataset.xlsx": b"PK\3\4"}
    for n in (2, 3, 4, 6, 9, 10):
        name = f"IMD{n:03}"
        top = f"PH2Dataset/PH2 Dataset images/{name}/{name}"
        files |= {f"{top}_Dermoscopic_Image/{name}.bmp": None, f"{top}_lesion/{name}_lesion.bmp": None}
        files |= {f"{top}_roi/{name}_R1_Label6.bmp": None} if n % 2 else {}
    return Layout(files, Refused(("samples", "PH2_dataset.xlsx")))


@layout
def persons_with_numbered_images() -> Layout:
    """The same names in the folders of persons, for images are counted in each: persons are the classes."""
    rows = {f"gallery/person{n:03}/img_{k}.jpg": (f"person{n:03}", "") for n in range(1, 9) for k in range(1, 7)}
    return Layout(blank(rows), Read(rows))


@layout
def messidor() -> Layout:
    """adcis.net/en/third-party/messidor: a folder per hospital, each with a spreadsheet of the diagnoses."""
    files: dict[str, Content] = {
        f"Base{base}/2006{n:04}_{n * 7:05}_0{n % 3}00_PP.tif": None for base in (11, 12) for n in range(base, base + 7)
    }
    files |= {f"Base{base}/Annotation_Base{base}.xls": b"\xd0\xcf" for base in (11, 12)}
    return Layout(files, Refused(("Base11/Annotation_Base11.xls",)))


@layout
def magnetic_tiles() -> Layout:
    """github.com/abin24/Magnetic-tile-defect-datasets: beside each .jpg its mask of the same name, as .png."""
    rows = {f"Magnetic-tile-defect-datasets.-master/{label}/Imgs/exp{k}_num_{n}.jpg": (label, "")
            for k, label in enumerate(("MT_Blowhole", "MT_Break", "MT_Free"))
            for n in (1013, 2087, 33456, 4470, 10090, 120347)}  # fmt: skip
    return Layout({**blank(rows), **blank(f"{name[:-3]}png" for name in rows)}, Read(rows, ignored=("mask",)))


@layout
def classes_in_two_formats() -> Layout:
    """Numbers that begin again with another format are other images."""
    rows = {f"{label}/{n}.jpg": (label, "") for label in ("oak", "elm") for n in range(9)}
    rows |= {f"{label}/{n}.png": (label, "") for label in ("oak", "elm") for n in range(4)}
    return Layout(blank(rows), Read(rows))


@layout
def rgbd_objects() -> Layout:
    """rgbd-dataset.cs.washington.edu: beside each image its depth and its mask, the kind being the last word."""
    rows = {f"rgbd-dataset/{label}/{label}_{k}/{label}_{k}_1_{n}_crop.png": (label, "")
            for label in ("apple", "ball", "cap") for k in (1, 2) for n in (1, 6, 11, 16, 21)}  # fmt: skip
    others = {name.replace("_crop", f"_{kind}"): None for name in rows for kind in ("depthcrop", "maskcrop")}
    return Layout({**blank(rows), **others}, asks(Read(rows)))


@layout
def drive() -> Layout:
    """drive.grand-challenge.org: images, and what two people have drawn of each."""
    files: dict[str, Content] = {}
    for n in range(21, 29):
        files |= {f"DRIVE/training/images/{n}_training.tif": None, f"DRIVE/training/1st_manual/{n}_manual1.gif": None}
        files |= {f"DRIVE/training/mask/{n}_training_mask.gif": None, f"DRIVE/test/images/{n - 20:02}_test.tif": None}
        files |= {f"DRIVE/test/mask/{n - 20:02}_test_mask.gif": None}
    return Layout(files, Refused(("1st_manual/",)))


@layout
def chase_db1() -> Layout:
    """blogs.kingston.ac.uk/retinal/chasedb1: two drawings of each image beside it, named after it."""
    files = blank(f"CHASEDB1/Image_{n:02}{eye}{end}" for n in range(1, 7) for eye in "LR"
                  for end in (".jpg", "_1stHO.png", "_2ndHO.png"))  # fmt: skip
    return Layout(files, Refused(("segmentation",)))


@layout
def deep_crack() -> Layout:
    """github.com/yhlleo/DeepCrack: train_img/ and train_lab/ with the same names."""
    files = {f"{split}_{kind}/7Q3A{n}-{k}.{end}": None
             for split, numbers in (("train", (9060, 9061, 9077, 9102, 9201)), ("test", (8031, 8055, 8099, 8123, 8144)))
             for n in numbers for k in (1, 13) for kind, end in (("img", "jpg"), ("lab", "png"))}  # fmt: skip
    return Layout(files, Refused(("train_img/", "train_lab/", "pairs")))


@layout
def defects_of_circuit_boards() -> Layout:
    """Kaggle akhatova/pcb-defects: class folders in images/, rotated copies and templates beside it."""
    rows = {f"PCB_DATASET/images/{label}/{n:02}_{label.lower()}_{k:02}.jpg": (label, "") for label in DEFECTS
            for n in (1, 4) for k in (1, 2, 3)}  # fmt: skip
    files: dict[str, Content] = blank(rows)
    for name in rows:
        annotation = name.replace("images", "Annotations").replace(".jpg", ".xml")
        files[annotation] = "<annotation><object><bndbox></bndbox></object></annotation>"
        above, _, last = name.replace("images/", "rotation/").rpartition("/")
        files[f"{above}_rotation/rotation_90_{last}"] = None
    return Layout(files | loose("PCB_DATASET/PCB_USED", ("01.JPG", "04.JPG", "05.JPG")), asks(Read(rows), "images/"))


@layout
def bone_age() -> Layout:
    """Kaggle kmader/rsna-bone-age: an age in months to be predicted, and beside it whether the patient is male."""
    cells = [(1377 + n * 3, n * 17 % 200 + 12, str(n % 2 == 0)) for n in range(40)]
    rows = {f"boneage-training-dataset/boneage-training-dataset/{n}.png": (male, "") for n, _, male in cells}
    files: dict[str, Content] = blank(rows)
    files["boneage-training-dataset.csv"] = table(("id", "boneage", "male"), cells)
    return Layout(files, Refused(("boneage", "regression"), (Read(rows),)))


@layout
def ripe_fruits_with_a_measure() -> Layout:
    """A class in words, beside a measurement under a name that topwork does not know, is the label."""
    cells = [(f"{n}.jpg", ("ripe", "unripe", "rotten")[n % 3], 30.5 + n * 3) for n in range(40)]
    rows = {f"photos/{name}": (state, "") for name, state, _ in cells}
    return Layout({**blank(rows), "fruits.csv": table(("image", "state", "Brix"), cells)}, asks(Read(rows)))


@layout
def masks_beside_images_called_like_their_class() -> Layout:
    """Class folders whose files are named after the folder: the same numbers in two classes are no pairs."""
    rows = classes("faces", ("yaleB01", "yaleB02", "yaleB13"), name="{label}_P00A+0{n}5E+{n}0.pgm", each=7)
    return Layout(blank(rows), Read(rows))


@layout
def photographs_in_folders_of_their_own() -> Layout:
    """As the open data of iNaturalist lie on its server: photos/1000/original.jpg, and tables about them."""
    files: dict[str, Content] = {f"photos/{1000 + n}/original.jpg": None for n in range(16)}
    cells = [(1000 + n, 500 + n // 2, "jpg", f"u{n % 3}") for n in range(16)]
    files["photos.csv"] = table(("photo_id", "observation_id", "extension", "observer"), cells, "\t")
    files["observations.csv"] = table(
        ("observation_id", "taxon_id"), [(500 + n, 48460 + n % 3) for n in range(8)], "\t"
    )
    return Layout(files, Refused(("photos.csv",)))


@layout
def facades_of_pix_2_pix() -> Layout:
    """As CycleGAN takes pairs: trainA/1.jpg and trainB/1.jpg; unpaired ones as of horse2zebra are two classes."""
    files = blank(f"datasets/facades/{split}{kind}/{n}.jpg" for split in ("train", "val") for kind in "AB"
                  for n in range(1, 9))  # fmt: skip
    right = Read({name: (name.split("/")[2][-1], "") for name in files})
    return Layout(files, Refused(("pairs", "trainA/"), (right,)))


@layout
def breeds_with_trimaps() -> Layout:
    """Oxford-IIIT Pet without its lists: masks in a folder, and the breed in the names of the images."""
    rows = {f"images/{breed}_{n}.jpg": (breed, "") for breed in ("Abyssinian", "beagle", "great_pyrenees")
            for n in range(1, 9)}  # fmt: skip
    masks = blank(name.replace("images/", "annotations/trimaps/").replace(".jpg", ".png") for name in rows)
    return Layout({**blank(rows), **masks}, Refused(("segmentation", "great_pyrenees"), (Read(rows),)))


@layout
def patients_and_a_spreadsheet() -> Layout:
    """Folders with numbers, and a spreadsheet beside them that topwork does not read."""
    files: dict[str, Content] = {f"P{p:02}/IM-0001-{n:04}.png": None for p in range(1, 8) for n in range(5)}
    return Layout(files | {"clinical.xlsx": b"PK\3\4"}, Refused(("samples", "clinical.xlsx")))


@layout
def tracks_of_mot() -> Layout:
    """motchallenge.net: a folder per video with its frames, and where people are in each of them."""
    files: dict[str, Content] = {f"MOT17-{v}/img1/{n:06}.jpg": None for v in ("02", "04", "05") for n in range(1, 9)}
    files |= {f"MOT17-{v}/gt/gt.txt": "1,1,912,484,97,109,0,7,1\n" for v in ("02", "04", "05")}
    return Layout(files, Refused(("samples", "MOT17-02/gt/")))


@layout
def middlebury_stereo() -> Layout:
    """vision.middlebury.edu/stereo: a folder per scene, called by what it shows, with the same few files in each."""
    scenes = ("Adirondack", "Jadeplant", "Motorcycle", "Piano", "Pipes", "Teddy")
    return Layout(blank(f"{scene}/{view}.png" for scene in scenes for view in ("im0", "im1", "disp0")),
                  Refused(("samples", "disp0.png")))  # fmt: skip


@layout
def layers_of_reflections() -> Layout:
    """As CEILNet and its relatives: an image and the two that it consists of, in three folders."""
    files = blank(f"{kind}/{n * 37 + 5}.jpg" for kind in ("blended", "transmission", "reflection") for n in range(9))
    return Layout(files, Refused(("pairs", "blended/")))


@layout
def busi_in_one_folder() -> Layout:
    """BUSI without folders: the class in the names of the images, and masks beside them."""
    rows = {f"BUSI/{label} ({n}).png": (label, "") for label in ("benign", "malignant", "normal") for n in range(1, 7)}
    masks = blank(name.replace(").png", ")_mask.png") for name in rows)
    return Layout({**blank(rows), **masks}, Refused(("segmentation", "benign"), (Read(rows),)))


@layout
def samples_with_a_table_of_folders() -> Layout:
    """What topwork proposes for folders that are samples: a table with the columns folder and label."""
    rows = {f"lesions/IMD{n:03}/{kind}.png": (("nevus", "melanoma")[n % 2], "") for n in range(2, 10)
            for kind in ("image", "close")}  # fmt: skip
    cells = [(f"IMD{n:03}", ("nevus", "melanoma")[n % 2]) for n in range(2, 10)]
    return Layout({**blank(rows), "lesions/labels.csv": table(("folder", "label"), cells)}, Read(rows))


@layout
def faces_with_masks() -> Layout:
    """Words such as masked say what an image shows, not that it is the mask of another."""
    rows = {f"{label}/{n * n:04}_{kind}.jpg": (label, "") for label in ("cloth", "surgical") for n in range(6)
            for kind in ("masked", "front")}  # fmt: skip
    return Layout(blank(rows), asks(Read(rows)))
