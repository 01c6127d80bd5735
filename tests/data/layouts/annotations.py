"""JSON and XML as tools for annotation export it: labels of whole images, and boxes."""

from __future__ import annotations

import json
from typing import Any

from tests.data.layouts import Content, Layout, Read, Refused, Rows, asks, blank, layout, loose, table


def _pets(at: str, number: int = 8, start: int = 0) -> Rows:
    return {f"{at}/{n:06}.jpg": (("cat", "dog")[n % 2], "") for n in range(start, start + number)}


def _coco(names: list[str], categories: dict[int, str], marks: list[dict[str, Any]]) -> str:
    return json.dumps(
        {
            "info": {"year": 2024, "version": "1"},
            "licenses": [{"id": 1, "name": "CC BY 4.0", "url": ""}],
            "categories": [{"id": n, "name": name, "supercategory": "none"} for n, name in categories.items()],
            "images": [
                {"id": n, "license": 1, "file_name": name, "height": 8, "width": 8} for n, name in enumerate(names, 1)
            ],
            "annotations": [{"id": n, **mark} for n, mark in enumerate(marks, 1)],
        }
    )


@layout
def coco_of_whole_images() -> Layout:
    """COCO with a category per image and no box, as iNaturalist's 2018 competition: train2018.json, val2018.json."""
    species = {7477: "Rosa canina", 2761: "Pica pica", 31: "Felis catus"}
    kingdoms = {7477: "Plantae", 2761: "Aves", 31: "Mammalia"}
    rows: Rows = {}
    files: dict[str, Content] = {}
    for name, split, digit in (("train2018", "train", "a"), ("val2018", "val", "b")):
        keys = [sorted(species)[n % 3] for n in range(9)]
        paths = [f"train_val2018/{kingdoms[k]}/{k}/{digit}c4860b1d2ee875f{n:02}.jpg" for n, k in enumerate(keys)]
        rows |= {path: (species[k], split) for path, k in zip(paths, keys, strict=True)}
        marks = [{"image_id": n, "category_id": k} for n, k in enumerate(keys, 1)]
        files[f"{name}.json"] = _coco(paths, species, marks)
    return Layout(
        {**blank(rows), **files}, asks(Read(rows, names={n: str(k) for k, n in species.items()}), "train2018.json")
    )


@layout
def coco_of_whole_images_given() -> Layout:
    """The JSON itself is given, with the images in a folder beside it."""
    rows = _pets("images")
    names = [path.split("/")[1] for path in rows]
    marks = [{"image_id": n, "category_id": 1 + (n - 1) % 2} for n in range(1, 9)]
    files = {"annotations.json": _coco(names, {1: "cat", 2: "dog"}, marks)}
    return Layout({**blank(rows), **files}, Read(rows), "annotations.json")


@layout
def roboflow_coco() -> Layout:
    """Roboflow, export as 'COCO': _annotations.coco.json among the images of each split, with boxes."""
    files: dict[str, Content] = {"README.roboflow.txt": "pets - v1"}
    for folder in ("train", "valid", "test"):
        names = [f"{folder}-{n}_jpg.rf.99aa{n:028}.jpg" for n in range(4)]
        marks = [
            {"image_id": 1 + n % 4, "category_id": 1 + n % 2, "bbox": [n % 3, 1, 4, 5], "area": 20, "iscrowd": 0}
            for n in range(6)
        ]
        files |= loose(folder, names)
        files[f"{folder}/_annotations.coco.json"] = _coco(names, {0: "pets", 1: "cat", 2: "dog"}, marks)
    return Layout(files, Refused(("detection",)))


@layout
def coco_2017() -> Layout:
    """cocodataset.org: train2017/, val2017/ and annotations/instances_train2017.json, beside captions."""
    files: dict[str, Content] = {}
    for name in ("train2017", "val2017"):
        names = [f"{n:012}.jpg" for n in range(1, 5)]
        outline = {"bbox": [1, 1, 4, 5], "segmentation": [[1, 1, 5, 1, 5, 6]], "area": 20, "iscrowd": 0}
        marks = [{"image_id": 1 + n % 4, "category_id": 17 + n % 2, **outline} for n in range(7)]
        files |= loose(name, names)
        files[f"annotations/instances_{name}.json"] = _coco(names, {17: "cat", 18: "dog"}, marks)
        captions = [{"image_id": n, "caption": "A cat on a bench."} for n in range(1, 5)]
        files[f"annotations/captions_{name}.json"] = _coco(names, {}, captions)
    return Layout(files, Refused(("detection",)))


@layout
def fiftyone_classification() -> Layout:
    """docs.voxel51.com, FiftyOneImageClassificationDataset: data/, and stems to class numbers in labels.json."""
    rows = _pets("data")
    stems = {path[5:-4]: ("cat", "dog").index(label) for path, (label, _) in rows.items()}
    text = json.dumps({"classes": ["cat", "dog"], "labels": stems})
    return Layout({**blank(rows), "labels.json": text}, Read(rows))


@layout
def fiftyone_classification_with_splits() -> Layout:
    """docs.luxonis.com, FiftyOneClassification: the same in train/, validation/ and test/."""
    rows, files = {}, {}
    for at, (folder, split) in enumerate((("train", "train"), ("validation", "val"), ("test", "test"))):
        found = _pets(f"{folder}/data", 4, 10 * at)
        rows |= {path: (label, split) for path, (label, _) in found.items()}
        stems = {path[-10:-4]: ("cat", "dog").index(label) for path, (label, _) in found.items()}
        files[f"{folder}/labels.json"] = json.dumps({"classes": ["cat", "dog"], "labels": stems})
    return Layout({**blank(rows), **files}, Read(rows))


def _uploaded(path: str, n: int) -> str:
    return f"/data/upload/1/5f2c{n:04x}-{path.rpartition('/')[2]}"


@layout
def label_studio_csv() -> Layout:
    """labelstud.io, export as CSV: the uploaded name has a hash before the file's own."""
    rows = _pets("images")
    head = ("annotation_id", "annotator", "choice", "created_at", "id", "image", "lead_time", "updated_at")
    when = "2024-05-01T10:00:00.1Z"
    cells = [(n, 1, label, when, n, _uploaded(path, n), 3.1, when) for n, (path, (label, _)) in enumerate(rows.items())]
    files = {"project-1-at-2024-05-01-10-00-5f2c.csv": table(head, cells)}
    return Layout({**blank(rows), **files}, asks(Read(rows), "choice"))


@layout
def label_studio_json_min() -> Layout:
    """labelstud.io, export as JSON-MIN."""
    rows = _pets("images")
    tasks = [
        {"image": _uploaded(path, n), "id": n, "choice": label, "annotator": 1, "annotation_id": n, "lead_time": 2.5,
         "created_at": "2024-05-01T10:00:00.1Z", "updated_at": "2024-05-01T10:00:00.1Z"}
        for n, (path, (label, _)) in enumerate(rows.items(), 1)
    ]  # fmt: skip
    files = {"project-1-at-2024-05-01-10-00-5f2c.json": json.dumps(tasks)}
    return Layout({**blank(rows), **files}, asks(Read(rows), "choice"))


@layout
def label_studio_json() -> Layout:
    """labelstud.io, export as JSON: a task per image, with the annotations of each annotator."""
    rows = _pets("images")
    tasks = [
        {
            "id": n, "file_upload": _uploaded(path, n).rpartition("/")[2], "data": {"image": _uploaded(path, n)},
            "annotations": [{
                "id": n, "completed_by": 1, "was_cancelled": False, "ground_truth": False, "task": n,
                "result": [{"id": "Dx_aB91ISN", "from_name": "choice", "to_name": "image", "type": "choices",
                            "origin": "manual", "value": {"choices": [label]}}],
            }],
            "predictions": [], "drafts": [], "meta": {}, "project": 1, "created_at": "2024-05-01T10:00:00.1Z",
        }
        for n, (path, (label, _)) in enumerate(rows.items(), 1)
    ]  # fmt: skip
    files = {"project-1-at-2024-05-01-10-00-5f2c.json": json.dumps(tasks)}
    return Layout({**blank(rows), **files}, Read(rows))


def _cvat(images: dict[str, str]) -> str:
    marks = "\n".join(
        f'  <image id="{n}" name="{name}" width="8" height="8">{mark}</image>'
        for n, (name, mark) in enumerate(images.items())
    )
    meta = "<meta><task><id>4</id><name>pets</name><size>8</size><mode>annotation</mode></task></meta>"
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>'
    return f"{head}\n{meta}\n{marks}\n</annotations>"


@layout
def cvat_tags() -> Layout:
    """docs.cvat.ai, 'CVAT for images 1.1' with a tag per image: annotations.xml beside images/."""
    rows = _pets("images")
    tags = {path[7:]: f'<tag label="{label}" source="manual"></tag>' for path, (label, _) in rows.items()}
    files = {**blank(rows), "annotations.xml": _cvat(tags)}
    return Layout(files, (Read(rows), Refused(("annotations.xml", "CVAT", "ImageNet"))))


@layout
def cvat_boxes() -> Layout:
    """The same with boxes: a detection data set."""
    rows = _pets("images")
    box = '<box label="cat" occluded="0" xtl="1.0" ytl="1.0" xbr="6.0" ybr="7.0" z_order="0" source="manual"></box>'
    return Layout({**blank(rows), "annotations.xml": _cvat({path[7:]: box for path in rows})}, Refused(("detection",)))


@layout
def json_lines_of_a_cloud() -> Layout:
    """cloud.google.com, Vertex AI, single-label classification: imageGcsUri and classificationAnnotation."""
    rows = _pets("images")
    text = "".join(
        json.dumps({
            "imageGcsUri": f"gs://bucket/{path}", "classificationAnnotation": {"displayName": label},
            "dataItemResourceLabels": {"aiplatform.googleapis.com/ml_use": "training"},
        }) + "\n"
        for path, (label, _) in rows.items()
    )  # fmt: skip
    return Layout({**blank(rows), "import.jsonl": text}, asks(Read(rows), "import.jsonl"))


@layout
def json_of_names_and_labels() -> Layout:
    """A plain object of file names to class names, as scripts write it."""
    rows = _pets("images")
    text = json.dumps({path[7:]: label for path, (label, _) in rows.items()})
    return Layout({**blank(rows), "labels.json": text}, asks(Read(rows), "labels.json"))
