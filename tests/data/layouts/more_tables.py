"""Tables of columns that may be taken for something else, and annotations that are no labels of whole images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from tests.data.layouts import Content, Layout, Read, Refused, Rows, asks, blank, classes, layout, table

_KINDS = ("ash", "oak")


def _images(labels: Iterable[str], splits: Sequence[str] = ("",)) -> Rows:
    return {f"img/{n}.jpg": (label, splits[n % len(splits)]) for n, label in enumerate(labels)}


def _with_table(rows: Rows, head: Sequence[str], cells: Iterable[Sequence[object]]) -> dict[str, Content]:
    named = [(path.rpartition("/")[2], *more) for path, more in zip(rows, cells, strict=True)]
    return {**blank(rows), "labels.csv": table(head, named)}


@layout
def columns_for_each_split() -> Layout:
    """A column of 0 and 1 for train, val and test: what is not for training is not all for the test."""
    splits = ("train", "val", "test")
    rows = _images((_KINDS[n // 3 % 2] for n in range(12)), splits)
    cells = [(label, *(int(split == name) for name in splits)) for label, split in rows.values()]
    return Layout(_with_table(rows, ("image", "label", "is_train", "is_val", "is_test"), cells), Read(rows))


@layout
def column_that_marks_training() -> Layout:
    """True and False under 'train'."""
    rows = _images((_KINDS[n // 2 % 2] for n in range(12)), ("train", "test"))
    cells = [(label, split == "train") for label, split in rows.values()]
    return Layout(_with_table(rows, ("image", "label", "train"), cells), Read(rows))


@layout
def adni() -> Layout:
    """adni.loni.usc.edu: the diagnosis is under Group, and Sex has few values too."""
    groups = ("CN", "AD", "MCI")
    rows = {f"ADNI/I{n}.png": (groups[n // 2 % 3], "") for n in range(12)}
    cells = [(f"I{n}", f"002_S_{n // 2:04}", groups[n // 2 % 3], "MF"[n % 2], 70 + n) for n in range(12)]
    head = ("Image Data ID", "Subject", "Group", "Sex", "Age")
    return Layout({**blank(rows), "ADNI.csv": table(head, cells)}, asks(Read(rows), "Group", "Sex"))


@layout
def group_of_treatment() -> Layout:
    """The only column beside the image: its images need not stay in one split, since they are the class."""
    rows = _images(("control", "treated")[n % 2] for n in range(12))
    return Layout(_with_table(rows, ("image", "group"), [(label,) for label, _ in rows.values()]), Read(rows))


@layout
def pad_ufes_20() -> Layout:
    """data.mendeley.com/datasets/zr7vgbcyr2: columns of True and False that are no one-hot code."""
    kinds = ("NEV", "BCC", "ACK")
    rows = {f"images/imgs_part_{1 + n % 2}/PAT_{n}_{n + 7}_{80 + n}.png": (kinds[n % 3], "") for n in range(12)}
    cells = [
        (f"PAT_{n}", n + 7, "False", 30 + n, label, path.rpartition("/")[2], "True")
        for n, (path, (label, _)) in enumerate(rows.items())
    ]
    head = ("patient_id", "lesion_id", "smoke", "age", "diagnostic", "img_id", "biopsed")
    return Layout({**blank(rows), "metadata.csv": table(head, cells)}, asks(Read(rows), "diagnostic"))


@layout
def one_hot_of_another_thing() -> Layout:
    """Columns male and female beside the finding."""
    rows = _images(("edema", "mass", "normal")[n % 3] for n in range(12))
    cells = [(n // 2 % 2, 1 - n // 2 % 2, label) for n, (label, _) in enumerate(rows.values())]
    return Layout(_with_table(rows, ("image", "male", "female", "finding"), cells), asks(Read(rows), "finding"))


@layout
def comments_above_the_header() -> Layout:
    """As instruments and statisticians write them."""
    rows = _images(_KINDS[n % 2] for n in range(12))
    text = "".join(f"{path[4:]},{label}\n" for path, (label, _) in rows.items())
    return Layout({**blank(rows), "labels.csv": f"# made by me\n# in 2020, in May\nfile,class\n{text}"}, Read(rows))


@layout
def title_above_the_header() -> Layout:
    """A spreadsheet with a heading: its header is no image of the class 'class'."""
    rows = _images(_KINDS[n % 2] for n in range(12))
    text = "".join(f"{path[4:]},{label},A{n // 4}\n" for n, (path, (label, _)) in enumerate(rows.items()))
    return Layout(
        {**blank(rows), "labels.csv": f"Survey 2020,,\n,,\nfile,class,observer\n{text}"}, asks(Read(rows), "class")
    )


def _encoded(codec: str, head: Sequence[str], labels: Sequence[str]) -> Layout:
    names = [f"{n}.jpg" for n in range(12)]
    cells = [(name, labels[n % 2]) for n, name in enumerate(names)]
    files = {**blank(f"img/{name}" for name in names), "labels.csv": table(head, cells, encoding=codec)}
    return Layout(files, Refused(("labels.csv", "encoding", "UTF-8")))


@layout
def table_of_excel_in_chinese() -> Layout:
    """Excel's CSV on a Chinese Windows: its bytes are no labels of Windows-1252."""
    return _encoded("gb18030", ("文件名", "类别"), ("猫", "狗"))


@layout
def table_of_excel_in_japanese() -> Layout:
    """The same on a Japanese one."""
    return _encoded("cp932", ("ファイル名", "ラベル"), ("犬", "猫"))


@layout
def table_of_excel_in_russian() -> Layout:
    """The same on a Russian one, where each byte is a letter of Windows-1252."""
    return _encoded("cp1251", ("файл", "класс"), ("кошка", "собака"))


@layout
def understanding_the_amazon() -> Layout:
    """Kaggle planet-understanding-the-amazon-from-space: tags, some of which never occur alone."""
    tags = ("haze primary", "agriculture clear primary water", "clear primary", "partly_cloudy primary road")
    names = [f"train_{n}" for n in range(24)]
    files = {**blank(f"train-jpg/{name}.jpg" for name in names)}
    cells = [(name, tags[n % 4]) for n, name in enumerate(names)]
    return Layout({**files, "train_v2.csv": table(("image_name", "tags"), cells)}, Refused(("several labels",)))


@layout
def imet() -> Layout:
    """Kaggle imet-2019-fgvc6: numbers of attributes, of which some labels have several."""
    ids = ("147 616 813", "51 616 734 813", "616", "51")
    names = [f"{n:016x}" for n in range(16)]
    cells = [(name, ids[n % 4]) for n, name in enumerate(names)]
    files = {**blank(f"train/{name}.png" for name in names), "train.csv": table(("id", "attribute_ids"), cells)}
    return Layout(files, Refused(("several labels", "147 616 813")))


@layout
def breeds_of_two_words() -> Layout:
    """Words that several labels share are no several labels."""
    breeds = ("golden retriever", "labrador retriever", "afghan hound", "golden hound")
    rows = _images(breeds[n % 4] for n in range(16))
    return Layout(_with_table(rows, ("image", "labels"), [(label,) for label, _ in rows.values()]), Read(rows))


@layout
def human_protein_atlas() -> Layout:
    """Kaggle human-protein-atlas-image-classification: four files for each row, by the color in the name."""
    names = [f"{n:08x}-bb9f-11e8-b2b9-ac1f6b6435d0" for n in range(9)]
    files = blank(f"train/{name}_{color}.png" for name in names for color in ("red", "green", "blue", "yellow"))
    cells = [(name, n % 3) for n, name in enumerate(names)]
    return Layout({**files, "train.csv": table(("Id", "Target"), cells)}, Refused(("train.csv", names[0], "one row")))


_VIA = (
    "filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
    "region_attributes",
)  # fmt: skip


@layout
def vgg_annotator_of_boxes() -> Layout:
    """robots.ox.ac.uk/~vgg/software/via: a row per region, in JSON."""
    shape = '{"name":"rect","x":1,"y":1,"width":3,"height":3}'
    cells = [(f"{n}.jpg", 1234, "{}", 1, 0, shape, json.dumps({"type": _KINDS[n % 2]})) for n in range(8)]
    rows = {f"{n}.jpg#xywh=1,1,3,3": (_KINDS[n % 2], "") for n in range(8)}
    files = {**blank(f"{n}.jpg" for n in range(8)), "via_region_data.csv": table(_VIA, cells)}
    return Layout(files, Refused(("detection",), (Read(rows),)))


@layout
def vgg_annotator_of_whole_images() -> Layout:
    """The same program with an attribute of the file, and no region."""
    cells = [(f"{n}.jpg", 1234, json.dumps({"tree": _KINDS[n % 2]}), 0, 0, "{}", "{}") for n in range(8)]
    rows = {f"{n}.jpg": (_KINDS[n % 2], "") for n in range(8)}
    return Layout({**blank(rows), "via_export_csv.csv": table(_VIA, cells)}, Read(rows))


@layout
def vin_big_data() -> Layout:
    """Kaggle vinbigdata-chest-xray-abnormalities-detection: boxes, and images without a finding that have none."""
    kinds = ("Cardiomegaly", "No finding")
    cells = [(f"{n:032x}", kinds[n % 2], *((691.0, 1375.0, 1653.0, 1831.0) if n % 2 == 0 else ("",) * 4))
             for n in range(8) for _ in range(2)]  # fmt: skip
    head = ("image_id", "class_name", "x_min", "y_min", "x_max", "y_max")
    rows = {f"train/{n:032x}.png" + ("" if n % 2 else "#xywh=691,1375,962,456"): (kinds[n % 2], "") for n in range(8)}
    files = {**blank(f"train/{n:032x}.png" for n in range(8)), "train.csv": table(head, cells)}
    return Layout(files, Refused(("detection",), (Read(rows),)))


@layout
def open_images_boxes() -> Layout:
    """storage.googleapis.com/openimages: boxes from 0 to 1 are no boxes of one pixel."""
    head = ("ImageID", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax")
    cells = [(f"{n // 2:016x}", ("/m/01g317", "/m/0k4j")[n % 2], 1, 0.1, 0.5, 0.2, 0.6 + n % 2 / 9) for n in range(12)]
    files = {**blank(f"train/{n:016x}.jpg" for n in range(6)), "train-annotations-bbox.csv": table(head, cells)}
    return Layout(files, Refused(("relative to the image",)), options={"crop_to_box": "true"})


@layout
def label_me() -> Layout:
    """github.com/wkentaro/labelme: a JSON file with outlines beside each image."""
    shape = {"label": "crack", "points": [[1, 1], [2, 2], [3, 1]], "shape_type": "polygon"}
    files: dict[str, Content] = {}
    for n in range(6):
        text = json.dumps({"version": "5.0", "flags": {}, "shapes": [shape], "imagePath": f"{n}.jpg"}, indent=2)
        files |= {f"{n}.jpg": None, f"{n}.json": text}
    return Layout(files, Refused(("detection", "0.json")))


@layout
def superannotate() -> Layout:
    """superannotate.com: annotations/NAME.jpg.json."""
    text = json.dumps({"metadata": {"name": "0.jpg"}, "instances": [{"type": "bbox", "className": "crack"}]})
    files: dict[str, Content] = {f"images/{n}.jpg": None for n in range(6)}
    files |= {f"annotations/{n}.jpg.json": text for n in range(6)}
    return Layout({**files, "classes/classes.json": "[]"}, Refused(("detection",)))


@layout
def dental_x_rays() -> Layout:
    """data.mendeley.com/datasets/c4hhrkxytw: classes, and beside them a data set for detection."""
    top = "Dental OPG XRAY Dataset"
    rows = classes(f"{top}/Dental OPG (Classification)", ("Caries", "Healthy Teeth", "Infection"))
    files: dict[str, Content] = {}
    for n in range(4):
        at = f"{top}/Dental OPG (Object Detection)/train/{n}"
        files |= {f"{at}.jpg": None, f"{at}.txt": "0 0.5 0.5 0.1 0.1\n"}
    return Layout({**blank(rows), **files}, asks(Read(rows), "Classification"))


@layout
def dagm_2007() -> Layout:
    """zenodo.org/records/12750201: Class1/Train/, and masks in Class1/Train/Label/."""
    rows: Rows = {}
    files: dict[str, Content] = {}
    for n in (1, 2, 3):
        for folder, split in (("Train", "train"), ("Test", "test")):
            rows |= {f"Class{n}/{folder}/{k:04}.PNG": (f"Class{n}", split) for k in range(1, 4)}
            files |= {f"Class{n}/{folder}/Label/0001_label.PNG": None, f"Class{n}/{folder}/Label/Labels.txt": "1\n"}
    return Layout({**blank(rows), **files}, Read(rows, ignored=("Label",)))


@layout
def masks_called_labels() -> Layout:
    """As vicos.si/resources/kolektorsdd: Part0.jpg and Part0_label.bmp, which is no image of the class."""
    rows = {f"{label}/Part{n}.jpg": (label, "") for label in ("cracked", "intact") for n in range(3)}
    files = {path.replace(".jpg", "_label.bmp"): None for path in rows}
    return Layout({**blank(rows), **files}, Read(rows))


@layout
def one_table_of_split_folders() -> Layout:
    """The splits are folders, and one table has the labels of all: no new splits are made."""
    rows = {f"images/{folder}/{folder[0]}{n}.jpg": (_KINDS[n % 2], split) for n in range(6)
            for folder, split in (("training", "train"), ("validation", "val"))}  # fmt: skip
    cells = [(path.rpartition("/")[2], label) for path, (label, _) in rows.items()]
    return Layout({**blank(rows), "labels.csv": table(("image", "label"), cells)}, Read(rows))


@layout
def deep_fashion() -> Layout:
    """mmlab.ie.cuhk.edu.hk/projects/DeepFashion: lists that begin with their number of rows."""
    rows = {f"img/Sheer_Blouse_{n}/img_{n:08}.jpg": (str(n % 3 + 1), "") for n in range(12)}
    text = "".join(f"{path}   {label}\n" for path, (label, _) in rows.items())
    files = {"Anno/list_category_img.txt": f"12\nimage_name  category_label\n{text}"}
    return Layout({**blank(rows), **files}, asks(Read(rows), "list_category_img.txt"))


@layout
def celeba_as_published() -> Layout:
    """mmlab.ie.cuhk.edu.hk/projects/CelebA: the number of rows, and a header without a name for the images."""
    cells = "".join(f"{n:06}.jpg {1 if n % 2 else -1:2} {1 if n % 3 else -1:2}  1\n" for n in range(12))
    files = {**blank(f"img_align_celeba/{n:06}.jpg" for n in range(12))}
    return Layout({**files, "list_attr_celeba.txt": f"12\nBald Male Smiling\n{cells}"}, Refused(("Bald", "Male")))


@layout
def several_images_in_a_cell() -> Layout:
    """A row per specimen, whose number is also the name of a file of another one."""
    cells = [(n, f"{2 * n}.jpg; {2 * n + 1}.jpg", _KINDS[n % 2]) for n in range(6)]
    files = {**blank(f"img/{n}.jpg" for n in range(12))}
    text = table(("specimen", "photos", "species"), cells)
    return Layout({**files, "labels.csv": text}, Refused(("photos", "several images")))


@layout
def merged_cells() -> Layout:
    """A spreadsheet in which one cell spans the rows of a species."""
    rows = _images(("ash", "", "", "elm", "", "", "oak", "", ""))
    return Layout(
        _with_table(rows, ("image", "species"), [(label,) for label, _ in rows.values()]), Refused(("merged cells",))
    )


@layout
def crosses_in_columns() -> Layout:
    """A form on paper that was copied: an x in the column of the species."""
    kinds = ("oak", "elm", "ash")
    rows = _images(kinds[n % 3] for n in range(12))
    cells = [tuple("x" if kind == label else "" for kind in kinds) for label, _ in rows.values()]
    return Layout(_with_table(rows, ("image", *kinds), cells), Read(rows))


@layout
def spreadsheet_beside_images() -> Layout:
    """Excel's own file, which is not read."""
    files: dict[str, Content] = {**blank(f"Fotos/{n}.jpg" for n in range(6)), "Liste.xlsx": b"PK\x03\x04"}
    return Layout(files, Refused(("Liste.xlsx", "CSV")))
