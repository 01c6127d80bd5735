"""What cannot be read as one label per image, and must be called what it is."""

from __future__ import annotations

from tests.data.layouts import Layout, Read, Refused, blank, classes, layout, lines, loose, table


@layout
def yolo_split_outside() -> Layout:
    """docs.ultralytics.com/datasets/detect and Roboflow: train/images/, train/labels/, data.yaml."""
    files: dict[str, str | None] = {"data.yaml": "train: train/images\nval: valid/images\nnc: 2\nnames: [cat, dog]\n"}
    for split in ("train", "valid", "test"):
        for n in range(3):
            files[f"{split}/images/{split}_{n}.jpg"] = None
            files[f"{split}/labels/{split}_{n}.txt"] = f"{n % 2} 0.5 0.5 0.3 0.3\n"
    return Layout(files, Refused(("detection",)))


@layout
def yolo_split_inside() -> Layout:
    """docs.ultralytics.com/datasets/detect/coco8: images/train/, labels/train/."""
    files: dict[str, str | None] = {"data.yaml": "path: .\ntrain: images/train\nval: images/val\nnames: {0: a, 1: b}\n"}
    for split in ("train", "val"):
        for n in range(3):
            files[f"images/{split}/00000000000{n}.jpg"] = None
            files[f"labels/{split}/00000000000{n}.txt"] = f"{n % 2} 0.5 0.5 0.3 0.3\n1 0.2 0.2 0.1 0.1\n"
    return Layout(files, Refused(("detection",)))


@layout
def yolo_one_folder() -> Layout:
    """Exports of labelImg and CVAT (YOLO 1.1): each .txt beside its image, obj.names, obj.data."""
    files: dict[str, str | None] = {f"obj_train_data/{n}.jpg": None for n in range(4)}
    files |= {f"obj_train_data/{n}.txt": f"{n % 2} 0.5 0.5 0.3 0.3\n" for n in range(4)}
    files |= {"obj.names": "cat\ndog\n", "obj.data": "classes = 2\n", "train.txt": "data/obj_train_data/0.jpg\n"}
    return Layout(files, Refused(("detection",)))


@layout
def pascal_voc() -> Layout:
    """host.robots.ox.ac.uk/pascal/VOC/voc2007: boxes in Annotations/, lists in ImageSets/."""
    top = "VOCdevkit/VOC2007"
    files: dict[str, str | None] = {}
    for n in range(1, 6):
        files[f"{top}/JPEGImages/00000{n}.jpg"] = None
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>6</xmax><ymax>7</ymax></bndbox>"
        things = "".join(f"<object><name>{name}</name>{box}</object>" for name in ("chair", "dog")[: 1 + n % 2])
        files[f"{top}/Annotations/00000{n}.xml"] = f"<annotation><filename>00000{n}.jpg</filename>{things}</annotation>"
    files[f"{top}/ImageSets/Main/train.txt"] = "000001\n000002\n000003\n"
    files[f"{top}/ImageSets/Main/val.txt"] = "000004\n000005\n"
    files[f"{top}/ImageSets/Main/dog_train.txt"] = "000001  1\n000002 -1\n000003  1\n"
    files[f"{top}/SegmentationClass/000003.png"] = None
    return Layout(files, Refused(("detection",)))


@layout
def segmentation_masks() -> Layout:
    """As Kaggle mateuszbuda/lgg-mri-segmentation and most others of segmentation: a mask for each image."""
    files = loose("images", (f"{n:03}.png" for n in range(5))) | loose("masks", (f"{n:03}.png" for n in range(5)))
    return Layout(files, Refused(("segmentation", "masks")))


@layout
def carvana() -> Layout:
    """Kaggle carvana-image-masking-challenge: train/, train_masks/ with the suffix _mask, test/."""
    stems = [f"00087a6bd4dc_{n:02}" for n in range(1, 5)]
    files = loose("train", (f"{stem}.jpg" for stem in stems))
    files |= loose("train_masks", (f"{stem}_mask.png" for stem in stems)) | loose("test", ("0004d4463b50_01.jpg",))
    return Layout(files, Refused(("segmentation", "train_masks")))


@layout
def roboflow_multi_label() -> Layout:
    """Roboflow, export as 'Multi-Label Classification': _classes.csv with any number of 1 in a row."""
    files: dict[str, bytes | None] = {}
    for split in ("train", "valid", "test"):
        names = [f"{split}-{n}_jpg.rf.3e9a{n:028}.jpg" for n in range(4)]
        files |= loose(split, names)
        cells = [(name, n % 2, 1, int(n > 2)) for n, name in enumerate(names)]
        files[f"{split}/_classes.csv"] = table(("filename", " cat", " dog", " fox"), cells)
    return Layout(files, Refused(("several labels", "_classes.csv")))


@layout
def plant_pathology_2021() -> Layout:
    """Kaggle plant-pathology-2021-fgvc8: labels such as 'scab frog_eye_leaf_spot' beside each of them."""
    labels = ("healthy", "scab", "frog_eye_leaf_spot", "scab frog_eye_leaf_spot complex", "complex", "rust complex")
    labels += ("rust", "scab frog_eye_leaf_spot")
    names = [f"800113bb65efe{n:03}.jpg" for n in range(3 * len(labels))]
    cells = [(name, labels[n % len(labels)]) for n, name in enumerate(names)]
    files = {**loose("train_images", names), **loose("test_images", ("85f8cb619c66b863.jpg",))}
    files["train.csv"] = table(("image", "labels"), cells)
    files["sample_submission.csv"] = table(("image", "labels"), [("85f8cb619c66b863.jpg", "healthy")])
    return Layout(files, Refused(("several labels", "train.csv", "scab frog_eye_leaf_spot")))


@layout
def celeba() -> Layout:
    """Kaggle jessicali9530/celeba-dataset: forty attributes of 1 and -1 per image, and a table of the splits."""
    names = [f"{n:06}.jpg" for n in range(1, 9)]
    head = ("image_id", "5_o_Clock_Shadow", "Bald", "Eyeglasses", "Male", "Smiling", "Young")
    cells = [(name, -1, -1, 1 if n % 3 else -1, 1 if n % 2 else -1, 1, 1) for n, name in enumerate(names)]
    files = {**loose("img_align_celeba/img_align_celeba", names), "list_attr_celeba.csv": table(head, cells)}
    split = table(("image_id", "partition"), [(name, n % 3) for n, name in enumerate(names)])
    return Layout({**files, "list_eval_partition.csv": split}, Refused(("list_attr_celeba.csv",)))


@layout
def regression() -> Layout:
    """As Kaggle petfinder-pawpularity-score and rsna-bone-age: a number per image, nearly all of them different."""
    names = [f"0007de18844b0dbbb5e1f607da{n:06}" for n in range(60)]
    files = {**loose("train", (f"{name}.jpg" for name in names)), **loose("test", ("4128bae22183829d2b5fea10.jpg",))}
    files["train.csv"] = table(("Id", "Age"), [(name, 12 + 3.25 * n) for n, name in enumerate(names)])
    return Layout(files, Refused(("train.csv", "regression")))


@layout
def cifar_10_pickles() -> Layout:
    """cs.toronto.edu/~kriz/cifar.html, the version for Python: pickles, which run code when they are opened."""
    names = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
    files: dict[str, bytes | str] = {
        f"cifar-10-batches-py/{name}": b"\x80\x02}q\x01(U\x0bbatch_labelq" for name in names
    }
    files |= {"cifar-10-batches-py/batches.meta": b"\x80\x02}q\x01.", "cifar-10-batches-py/readme.html": "<html>"}
    return Layout(files, Refused(("CIFAR", "pickle")))


@layout
def cifar_100_pickles() -> Layout:
    """cs.toronto.edu/~kriz/cifar.html: train, test and meta."""
    files = {f"cifar-100-python/{name}": b"\x80\x02}q\x01(U\tfilenames" for name in ("train", "test", "meta")}
    return Layout({**files, "cifar-100-python/file.txt~": b""}, Refused(("CIFAR", "pickle")))


@layout
def images_only() -> Layout:
    """A folder of photographs."""
    return Layout(loose("", (f"IMG_{n:04}.JPG" for n in range(12))), Refused(("label",)))


@layout
def train_and_test_without_table() -> Layout:
    """As huggingface/datasets #7880 shows: images loose in train/ and test/, and nothing that labels them."""
    files = loose("train", (f"img{n:03}.jpg" for n in range(8))) | loose("test", (f"img{n:03}.jpg" for n in range(4)))
    return Layout(files, Refused(("train", "test", "label")))


@layout
def one_class() -> Layout:
    """A single class folder: nothing can be learned."""
    return Layout(blank(classes("", ("cats",), each=6)), Refused(("cats",)))


@layout
def classes_test_and_control() -> Layout:
    """Two arms of an experiment, one of them called 'test'."""
    rows = classes("", ("control", "test"), name="{label}_{n}.png")
    return Layout(blank(rows), Refused(("test", "control"), (Read(rows),)))


@layout
def ids_in_two_folders() -> Layout:
    """A table of ids, and files of each id in two folders that differ: no id says which is meant."""
    stems = [f"{n:03}" for n in range(8)]
    files = {**loose("before", (f"{stem}.png" for stem in stems)), **loose("after", (f"{stem}.png" for stem in stems))}
    files["labels.csv"] = table(("id", "label"), [(stem, "sick" if n % 2 else "well") for n, stem in enumerate(stems)])
    readings = tuple(
        Read({f"{at}/{stem}.png": ("sick" if n % 2 else "well", "") for n, stem in enumerate(stems)})
        for at in ("before", "after")
    )
    return Layout(files, Refused(("before", "after", "labels.csv"), readings))


@layout
def table_of_another_data_set() -> Layout:
    """A table that names none of the images beside it."""
    cells = [(f"photo_{n}.jpg", "cat" if n % 2 else "dog") for n in range(8)]
    files = {**loose("images", (f"scan{n}.png" for n in range(8))), "labels.csv": table(("file", "label"), cells)}
    return Layout(files, Refused(("labels.csv", "photo_0.jpg")))


@layout
def captions() -> Layout:
    """Kaggle adityajn105/flickr8k: Images/ and captions.txt, five sentences per image."""
    cells = [(f"1000268201_{n}.jpg", f"A child in a pink dress , number {n} {k} .") for n in range(4) for k in range(5)]
    files = {**loose("Images", (f"1000268201_{n}.jpg" for n in range(4)))}
    return Layout({**files, "captions.txt": table(("image", "caption"), cells)}, Refused(("captions.txt",)))


@layout
def videos_as_frames_list() -> Layout:
    """A list of image paths without a label for any of them."""
    names = [f"frames/{n:05}.jpg" for n in range(6)]
    return Layout({**blank(names), "filelist.txt": lines(names)}, Refused(("label",)))
