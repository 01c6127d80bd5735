"""Tables of annotation programs and competitions: boxes, run lengths, several questions, odd ids."""

from __future__ import annotations

import json

from tests.data.layouts import Content, Layout, Read, Refused, Rows, asks, blank, layout, lines, loose, table

AB = ("ant", "bee")
N = range(12)


@layout
def metadata_with_objects() -> Layout:
    """huggingface.co/docs/datasets/image_dataset#object-detection: metadata.jsonl with the boxes of each image."""
    boxes = {f"{n:04}.png": ([302.0, 109.0, 73.0, 52.0], n % 2) for n in range(6)}
    rows = [json.dumps({"file_name": name, "objects": {"bbox": [box], "categories": [label]}})
            for name, (box, label) in boxes.items()]  # fmt: skip
    right = Read({f"train/{name}#xywh=302,109,73,52": (str(label), "") for name, (_, label) in boxes.items()})
    files: dict[str, Content] = blank(f"train/{name}" for name in boxes)
    return Layout(files | {"train/metadata.jsonl": lines(rows)}, Refused(("detection",), (right,)))


@layout
def metadata_with_a_list_of_objects() -> Layout:
    """The same as a list of boxes, each with its class by name, in images with two boxes and with none."""
    found = [{"bbox": [1, 2, 30, 40], "category": "cat"}, {"bbox": [5, 6, 7, 8], "category": "dog"}]
    rows = [json.dumps({"image": f"{n}.jpg", "width": 64, "objects": found[: n % 3]}) for n in range(6)]
    right: Rows = {f"img/{n}.jpg#xywh=1,2,30,40": ("cat", "") for n in (1, 2, 4, 5)}
    right |= {f"img/{n}.jpg#xywh=5,6,7,8": ("dog", "") for n in (2, 5)}
    files: dict[str, Content] = blank(f"img/{n}.jpg" for n in range(6))
    return Layout(files | {"boxes.jsonl": lines(rows)}, Refused(("detection",), (Read(right),)))


@layout
def label_studio_table_with_two_questions() -> Layout:
    """labelstud.io/guide/export (CSV): a column for each question, of which none is more of a label than the other."""
    head = ("id", "image", "species", "quality", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")
    when = "2024-01-01T00:00:00Z"
    cells = [
        (n + 1, f"/data/upload/1/{n:08x}-img{n}.jpg", ("oak", "elm")[n % 2], ("good", "bad")[n // 2 % 2], 1, n + 5,
         when, when, 3.21 + n)
        for n in range(8)
    ]  # fmt: skip
    names = [f"upload/1/{n:08x}-img{n}.jpg" for n in range(8)]
    readings = tuple(Read({name: (str(cells[n][k]), "") for n, name in enumerate(names)}) for k in (2, 3))
    files: dict[str, Content] = {**blank(names), "project-1-at-2024-01-01.csv": table(head, cells)}
    return Layout(files, Refused(("species", "quality"), readings))


@layout
def label_studio_table_with_one_question() -> Layout:
    """The same with one question, and a comment."""
    head = ("annotation_id", "annotator", "comment", "created_at", "id", "image", "lead_time", "tree", "updated_at")
    when = "2024-01-01T00:00:00Z"
    names = [f"photos/img{n}.jpg" for n in range(8)]
    cells = [(n, 1, "blurred" if n == 3 else "", when, n, name, 2.5 + n, ("oak", "elm")[n % 2], when)
             for n, name in enumerate(names)]  # fmt: skip
    return Layout({**blank(names), "export.csv": table(head, cells)},
                  Read({name: (("oak", "elm")[n % 2], "") for n, name in enumerate(names)}))  # fmt: skip


@layout
def label_studio_tasks_with_two_questions() -> Layout:
    """labelstud.io/guide/export (JSON): several results of an image, told apart by from_name."""
    answers = {f"img{n}.jpg": {"species": ("oak", "elm")[n % 2], "quality": ("good", "bad")[n // 2 % 2]} for n in N}
    tasks = [
        {"id": n, "data": {"image": f"/data/upload/1/{name}"}, "annotations": [{"result": [
            {"from_name": question, "to_name": "image", "type": "choices", "value": {"choices": [answer]}}
            for question, answer in own.items()
        ]}]}
        for n, (name, own) in enumerate(answers.items())
    ]  # fmt: skip
    readings = tuple(
        Read({f"images/{name}": (own[question], "") for name, own in answers.items()})
        for question in ("species", "quality")
    )
    files: dict[str, Content] = blank(f"images/{name}" for name in answers)
    return Layout(files | {"project.json": json.dumps(tasks)}, Refused(("species", "quality"), readings))


@layout
def celeba_with_identities() -> Layout:
    """mmlab.ie.cuhk.edu.hk/projects/CelebA: 40 attributes of each image, and in another list the person."""
    names = [f"{n:06}.jpg" for n in range(1, 13)]
    marks = [f"{name} {1 if n % 2 else -1:2d} {1 if n % 3 else -1:2d}  1" for n, name in enumerate(names)]
    people = {f"img_align_celeba/{name}": (str(2880 + n // 2), "") for n, name in enumerate(names)}
    bald = {f"img_align_celeba/{name}": ("1" if n % 2 else "-1", "") for n, name in enumerate(names)}
    files: dict[str, Content] = blank(people)
    files["list_attr_celeba.txt"] = lines(["12", "Bald Male Smiling", *marks])
    files["identity_CelebA.txt"] = lines((name.rpartition("/")[2], label) for name, (label, _) in people.items())
    return Layout(files, Refused(("list_attr_celeba.txt", "identity_CelebA.txt"), (Read(people), Read(bald))))


@layout
def labels_of_the_test_in_another_table() -> Layout:
    """Kaggle after a competition: test.csv has the ids only, test_labels.csv what was kept back."""
    rows = {f"train/{n}.jpg": (AB[n % 2], "train") for n in range(8)}
    rows |= {f"test/{n}.jpg": (AB[n % 2], "test") for n in range(8, 12)}
    files: dict[str, Content] = blank(rows)
    files["train.csv"] = table(("id", "label"), [(n, AB[n % 2]) for n in range(8)])
    files["test.csv"] = table(("id",), [(n,) for n in range(8, 12)])
    files["test_labels.csv"] = table(("id", "label"), [(n, AB[n % 2]) for n in range(8, 12)])
    return Layout(files, asks(Read(rows)))


@layout
def ground_truth_of_the_test_in_another_table() -> Layout:
    """The same as ISIC calls it, and other columns in the tables without labels."""
    rows = {f"data/ISIC_{n:07}.jpg": (AB[n % 2], "train" if n < 8 else "test") for n in N}
    cells = [(f"ISIC_{n:07}", 30 + n, AB[n % 2]) for n in N]
    files: dict[str, Content] = blank(rows)
    files["ISIC_Training.csv"] = table(("image", "age", "diagnosis"), cells[:8])
    files["ISIC_Test_Metadata.csv"] = table(("image", "age"), [cell[:2] for cell in cells[8:]])
    files["ISIC_Test_GroundTruth.csv"] = table(("image", "age", "diagnosis"), cells[8:])
    return Layout(files, asks(Read(rows)))


@layout
def columns_are_classes() -> Layout:
    """A spreadsheet with a column per class, in whose cells are file names that say the same."""
    kinds = ("oak", "elm", "ash")
    rows = {f"img/{kind}{n}.jpg": (kind, "") for kind in kinds for n in range(4)}
    return Layout({**blank(rows), "labels.csv": table(kinds, [[f"{kind}{n}.jpg" for kind in kinds] for n in range(4)])},
                  asks(Read(rows)))  # fmt: skip


@layout
def columns_are_classes_of_different_lengths() -> Layout:
    """The same with names of a camera: a pair in each row would have no empty cells."""
    kinds = {"healthy": range(0, 5), "wilted": range(5, 8), "eaten": range(8, 12)}
    rows = {f"img/DSC_{n:04}.JPG": (kind, "") for kind, numbers in kinds.items() for n in numbers}
    cells = [[f"DSC_{numbers[n]:04}.JPG" if n < len(numbers) else "" for numbers in kinds.values()] for n in range(5)]
    return Layout({**blank(rows), "labels.csv": table(tuple(kinds), cells)}, asks(Read(rows)))


@layout
def columns_are_images_and_masks() -> Layout:
    """A pair in each row, as tables for segmentation have it, is no two classes."""
    names = [f"{n:04}" for n in N]
    files: dict[str, Content] = {**loose("i", [f"{n}.png" for n in names]), **loose("m", [f"{n}_m.png" for n in names])}
    files["pairs.csv"] = table(("image", "mask"), [(f"i/{n}.png", f"m/{n}_m.png") for n in names])
    return Layout(files, Refused(("pairs.csv",)))


@layout
def ids_with_a_decimal_point() -> Layout:
    """As pandas writes a column of numbers that once had an empty cell."""
    rows = {f"img/{n}.jpg": (AB[n % 2], "") for n in N}
    return Layout({**blank(rows), "labels.csv": table(("id", "label"), [(f"{n}.0", AB[n % 2]) for n in N])},
                  Read(rows))  # fmt: skip


@layout
def airbus_ships() -> Layout:
    """Kaggle airbus-ship-detection: masks as run lengths, an empty cell where there is no ship."""
    files: dict[str, Content] = loose("train_v2", [f"{n:09x}.jpg" for n in N])
    cells = [(f"{n:09x}.jpg", f"264918 5 26{5000 + n} 7 267086 11" if n % 2 else "") for n in N]
    files["train_ship_segmentations_v2.csv"] = table(("ImageId", "EncodedPixels"), cells)
    return Layout(files, Refused(("segmentation", "EncodedPixels")))


@layout
def severstal_steel() -> Layout:
    """Kaggle severstal-steel-defect-detection: a row per defect with its class and its mask."""
    rows = {f"train_images/{n:09x}.jpg": (str(n % 4 + 1), "") for n in N}
    files: dict[str, Content] = {**blank(rows), **loose("test_images", ["0000f269f.jpg"])}
    cells = [(f"{n:09x}.jpg", n % 4 + 1, f"29102 12 29346 24 {29602 + n} 24") for n in N]
    files["train.csv"] = table(("ImageId", "ClassId", "EncodedPixels"), cells)
    files["sample_submission.csv"] = table(("ImageId", "EncodedPixels", "ClassId"), [("0000f269f.jpg", "1 1", 0)])
    return Layout(files, Refused(("segmentation", "EncodedPixels"), (Read(rows),)))


@layout
def understanding_clouds() -> Layout:
    """Kaggle understanding_cloud_organization: image and class in one cell, run lengths in the other."""
    kinds = ("Fish", "Flower", "Gravel", "Sugar")
    files: dict[str, Content] = loose("train_images", [f"{n:07x}.jpg" for n in range(6)])
    cells = [(f"{n:07x}.jpg_{kind}", "264918 937 266318 937" if (n + k) % 2 else "") for n in range(6)
             for k, kind in enumerate(kinds)]  # fmt: skip
    return Layout(files | {"train.csv": table(("Image_Label", "EncodedPixels"), cells)},
                  Refused(("segmentation", "EncodedPixels")))  # fmt: skip


@layout
def class_in_a_text_beside_each_image() -> Layout:
    """As shards of WebDataset are unpacked: 0.jpg and 0.txt with one word."""
    files: dict[str, Content] = loose("images", [f"{n}.jpg" for n in N])
    files |= {f"images/{n}.txt": f"{AB[n % 2]}\n" for n in N}
    return Layout(files, Refused(("images/0.txt", "'ant'")))


@layout
def number_of_the_class_in_another_folder() -> Layout:
    """The same with numbers, in folders called images and labels, with splits."""
    files: dict[str, Content] = {f"images/{s}/{s}{n}.jpg": None for s in ("train", "val") for n in N}
    files |= {f"labels/{s}/{s}{n}.txt": str(n % 3) for s in ("train", "val") for n in N}
    return Layout(files, Refused(("labels/train/train0.txt", "'0'")))


@layout
def captions_beside_images() -> Layout:
    """As for the training of image generators: a sentence for each image is no label."""
    files: dict[str, Content] = {f"{n}.png": None for n in N} | {f"{n}.txt": f"a photo of thing {n}" for n in N}
    return Layout(files, Refused(("without a label",)))


@layout
def dates_before_the_label() -> Layout:
    """Own photographs, named by hand: the day, what it is, and a number."""
    rows = {f"2023-05-0{day + 1} {kind} {n}.jpg": (kind, "") for kind in ("oak", "elm") for day in range(3)
            for n in range(2)}  # fmt: skip
    return Layout(blank(rows), Refused(("oak",), (Read(rows),)))


@layout
def numbers_before_and_after_the_label() -> Layout:
    """The same with underscores, two words and no blank before the number."""
    rows = {f"{20210301 + day}_{kind}{n}.jpg": (kind, "") for kind in ("white oak", "red elm") for day in range(3)
            for n in range(2)}  # fmt: skip
    return Layout(blank(rows), Refused(("white oak",), (Read(rows),)))


@layout
def azure_custom_vision() -> Layout:
    """learn.microsoft.com/azure/ai-services/custom-vision-service: a list of tags for each image, here of one."""
    rows = {f"img/{n}.jpg": (AB[n % 2], "") for n in N}
    found = [{"id": f"g{n}", "width": 8, "tags": [{"tagId": "t", "tagName": label}], "fileName": name[4:]}
             for n, (name, (label, _)) in enumerate(rows.items())]  # fmt: skip
    return Layout({**blank(rows), "images.json": json.dumps(found)}, Read(rows))


@layout
def sage_maker_manifest() -> Layout:
    """docs.aws.amazon.com/sagemaker (Ground Truth): output.manifest, a line of JSON per image."""
    rows = {f"img/{n}.jpg": (str(n % 2), "") for n in N}
    found = [json.dumps({"source-ref": f"s3://b/img/{n}.jpg", "label": n % 2, "label-metadata": {"confidence": 0.9}})
             for n in N]  # fmt: skip
    return Layout({**blank(rows), "output.manifest": lines(found)}, Read(rows))


@layout
def test_table_with_a_dummy_label() -> Layout:
    """As for hackathons: the table of the test has the same word in each row."""
    rows = {f"img/{n}.png": (AB[n % 2], "") for n in N}
    files: dict[str, Content] = {**blank(rows), **loose("img", [f"t{n}.png" for n in range(6)])}
    files["train.csv"] = table(("img", "label"), [(f"{n}.png", AB[n % 2]) for n in N])
    files["test.csv"] = table(("img", "label"), [(f"t{n}.png", "unknown") for n in range(6)])
    return Layout(files, Refused(("test.csv", "unknown"), (Read(rows),)))
