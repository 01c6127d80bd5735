"""Class folders that lie deeper, several times, or below folders that are neither splits nor classes."""

from __future__ import annotations

from tests.data.layouts import Layout, Read, Refused, asks, blank, classes, layout, lines, loose, table


def _copied(rows: dict[str, tuple[str, str]], outer: str, inner: str) -> dict[str, None]:
    """The same files once more, further inside."""
    return {path.replace(outer, inner, 1): None for path in rows}


@layout
def chest_xray() -> Layout:
    """Kaggle paultimothymooney/chest-xray-pneumonia: all of it twice, and a third time as __MACOSX."""
    labels = ("NORMAL", "PNEUMONIA")
    rows = classes("chest_xray/train", labels, "train", "IM-0115-{n:04}.jpeg")
    rows |= classes("chest_xray/val", labels, "val", "NORMAL2-IM-1427-{n:04}.jpeg")
    rows |= classes("chest_xray/test", labels, "test", "person1_virus_{n}.jpeg")
    files = {**blank(rows), **_copied(rows, "chest_xray/", "chest_xray/chest_xray/")}
    files |= {f"chest_xray/__MACOSX/{path.rpartition('/')[0]}/._x.jpeg": b"\0\5\x16\7" for path in rows}
    files |= {f"chest_xray/chest_xray/{at}.DS_Store": b"\0\0\0\1Bud1" for at in ("", "train/", "val/", "test/")}
    return Layout(files, asks(Read(rows, ignored=("chest_xray/chest_xray",)), "chest_xray/chest_xray"))


@layout
def flowers_twice() -> Layout:
    """Kaggle alxmamaev/flowers-recognition: flowers/ holds the five classes, and flowers/flowers/ with them again."""
    rows = classes("flowers", ("daisy", "dandelion", "rose", "sunflower", "tulip"), name="{n}00080576_f52e8ee070_n.jpg")
    files = {**blank(rows), **_copied(rows, "flowers/", "flowers/flowers/")}
    return Layout(files, asks(Read(rows, ignored=("flowers/flowers",)), "flowers/flowers"))


@layout
def malaria_cells() -> Layout:
    """Kaggle iarunava/cell-images-for-detecting-malaria: the same, with Thumbs.db among the images."""
    rows = classes("cell_images", ("Parasitized", "Uninfected"), name="C100P61ThinF_IMG_20150918_144104_cell_16{n}.png")
    files = {**blank(rows), **_copied(rows, "cell_images/", "cell_images/cell_images/")}
    files |= {f"{at}/Parasitized/Thumbs.db": b"\xd0\xcf" for at in ("cell_images", "cell_images/cell_images")}
    return Layout(files, asks(Read(rows, ignored=("cell_images/cell_images",)), "cell_images/cell_images"))


@layout
def rock_paper_scissors() -> Layout:
    """Kaggle drgfreeman/rockpaperscissors: the classes, and all of them again in rps-cv-images/."""
    rows = classes("", ("paper", "rock", "scissors"), name="0a3UtNzl5Ll3sq{n}K.png")
    files = {**blank(rows), **{f"rps-cv-images/{path}": None for path in rows}}
    files |= {"README_rpc-cv-images.txt": "Rock", "rps-cv-images/README_rpc-cv-images.txt": "Rock"}
    return Layout(files, asks(Read(rows, ignored=("rps-cv-images",)), "rps-cv-images"))


@layout
def plant_village() -> Layout:
    """Kaggle abdallahalidev/plantvillage-dataset: each image in color, in gray and masked."""
    labels = ("Apple___Apple_scab", "Apple___healthy", "Tomato___Late_blight")
    top = "plantvillage dataset"
    color = classes(f"{top}/color", labels, name="00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 333{n}.JPG")
    gray = classes(f"{top}/grayscale", labels, name="00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 333{n}.JPG")
    mask = classes(
        f"{top}/segmented", labels, name="00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 333{n}_final_masked.jpg"
    )
    readings = (Read(color), Read(gray), Read(mask))
    return Layout(blank(color | gray | mask), Refused(("color", "grayscale", "segmented"), readings))


@layout
def new_plant_diseases() -> Layout:
    """Kaggle vipoooool/new-plant-diseases-dataset: the splits two folders down, the test images loose beside them."""
    top = "New Plant Diseases Dataset(Augmented)/New Plant Diseases Dataset(Augmented)"
    labels = ("Apple___Apple_scab", "Apple___Black_rot", "Tomato___healthy")
    rows = classes(f"{top}/train", labels, "train", "00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 333{n}_90deg.JPG")
    rows |= classes(f"{top}/valid", labels, "val", "00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 333{n}.JPG")
    test = loose("test/test", ("AppleCedarRust1.JPG", "AppleScab1.JPG", "TomatoHealthy2.JPG"))
    return Layout({**blank(rows), **test}, asks(Read(rows, ignored=("test",)), "test"))


@layout
def casting() -> Layout:
    """Kaggle ravirajsinh45/real-life-industrial-dataset-of-casting-product: split at 300 px, whole at 512 px."""
    labels = ("def_front", "ok_front")
    small = classes("casting_data/casting_data/train", labels, "train", "cast_{label:.3}_0_{n}.jpeg")
    small |= classes("casting_data/casting_data/test", labels, "test", "cast_{label:.3}_0_90{n}.jpeg")
    large = classes("casting_512x512/casting_512x512", labels, name="cast_{label:.3}_0_{n}.jpeg")
    readings = (Read(small), Read(large))
    return Layout(blank(small | large), Refused(("casting_data", "casting_512x512"), readings))


@layout
def office_31() -> Layout:
    """faculty.cc.gatech.edu/~judy/domainadapt: three domains with the same classes in each."""
    labels = ("back_pack", "bike", "calculator")
    amazon, dslr, webcam = (
        classes(f"{domain}/images", labels, name="frame_{n:04}.jpg") for domain in ("amazon", "dslr", "webcam")
    )
    readings = tuple(Read(rows) for rows in (amazon, dslr, webcam, amazon | dslr | webcam))
    return Layout(blank(amazon | dslr | webcam), Refused(("amazon", "dslr", "webcam"), readings))


@layout
def breast_histopathology() -> Layout:
    """Kaggle paultimothymooney/breast-histopathology-images: 0/ and 1/ below each patient."""
    rows = {
        f"{patient}/{label}/{patient}_idx5_x{n}001_y801_class{label}.png": (label, "")
        for patient in ("8863", "8864", "8865", "9022")
        for label in ("0", "1")
        for n in (1, 2)
    }
    return Layout(blank(rows), asks(Read(rows), "8863", "--"))


@layout
def breakhis() -> Layout:
    """web.inf.ufpr.br/vri/databases/breast-cancer-histopathological-database-breakhis: eight folders deep."""
    types = {"benign": ("adenosis", "fibroadenoma"), "malignant": ("ductal_carcinoma", "lobular_carcinoma")}
    found = {
        f"BreaKHis_v1/histology_slides/breast/{kind}/SOB/{tumor}/SOB_{kind[0].upper()}_14-22549{n}/{zoom}/"
        f"SOB-{tumor}-{zoom}-{n}.png": (kind, tumor)
        for kind, tumors in types.items()
        for tumor in tumors
        for zoom in ("40X", "400X")
        for n in (1, 2)
    }
    kinds = Read({path: (kind, "") for path, (kind, _) in found.items()})
    leaves = Read({path: (tumor, "") for path, (_, tumor) in found.items()})
    return Layout(blank(found), (kinds, Refused(("benign", "malignant"), (kinds, leaves))))


@layout
def taxonomy() -> Layout:
    """As github.com/visipedia/inat_comp 2017 to 2019, written out: a folder per rank, the species innermost."""
    species = (
        "Animalia/Chordata/Aves/Passeriformes/Corvidae/Corvus/Corvus corax",
        "Animalia/Chordata/Aves/Passeriformes/Corvidae/Pica/Pica pica",
        "Animalia/Chordata/Mammalia/Carnivora/Felidae/Felis/Felis catus",
        "Plantae/Tracheophyta/Magnoliopsida/Rosales/Rosaceae/Rosa/Rosa canina",
    )
    paths = {f"{name}/{n}.jpg": name for name in species for n in (1, 2, 3)}
    leaves = Read({path: (name.rpartition("/")[2], "") for path, name in paths.items()})
    whole = Read({path: (name, "") for path, name in paths.items()})
    top = Read({path: (name.split("/")[0], "") for path, name in paths.items()})
    return Layout(blank(paths), (leaves, Refused(("Animalia",), (leaves, whole, top))))


@layout
def inat_2021() -> Layout:
    """github.com/visipedia/inat_comp, 2021: class folders with number and ranks, and JSON of the same images beside."""
    labels = (
        "00000_Animalia_Annelida_Clitellata_Haplotaxida_Lumbricidae_Lumbricus_terrestris",
        "03111_Animalia_Chordata_Aves_Accipitriformes_Accipitridae_Accipiter_badius",
    )
    rows = classes("train_mini", labels, "train", "8cc2a0f3-7ad4-4b38-b0c5-1a6f1d5f0e0{n}.jpg")
    rows |= classes("val", labels, "val", "4a5e5a4c-3f02-4b2e-8a0f-4b7cd2f9c1d{n}.jpg")
    return Layout(blank(rows), Read(rows))


@layout
def folds() -> Layout:
    """Class folders below numbered folds, as many authors deposit cross-validations: the folds are no classes."""
    rows = {}
    for fold in range(1, 6):
        rows |= classes(f"fold_{fold}", ("benign", "malignant"), name=f"f{fold}_{{n}}.png")
    return Layout(blank(rows), Refused(("fold_1",), (Read(rows),)))


@layout
def eurosat_on_kaggle() -> Layout:
    """Kaggle apollo2506/eurosat-dataset: class folders, a table per split, a map of the numbers."""
    labels = ("AnnualCrop", "Forest", "HerbaceousVegetation")
    files, rows = {}, {}
    for name, split, start in (("train", "train", 0), ("validation", "val", 3), ("test", "test", 5)):
        chosen = {f"{label}/{label}_{start + n}.jpg": label for n in (1, 2) for label in labels}
        cells = [(n, path, labels.index(label), label) for n, (path, label) in enumerate(chosen.items())]
        files[f"EuroSAT/{name}.csv"] = table(("", "Filename", "Label", "ClassName"), cells)
        rows |= {f"EuroSAT/{path}": (label, split) for path, label in chosen.items()}
    files["EuroSAT/label_map.json"] = '{"AnnualCrop": 0, "Forest": 1, "HerbaceousVegetation": 2}'
    return Layout({**blank(rows), **files}, asks(Read(rows), "train.csv"))


@layout
def omniglot() -> Layout:
    """github.com/brendenlake/omniglot, python/: alphabets and characters below background and evaluation."""
    sets = {"images_background": ("Bengali", "Greek"), "images_evaluation": ("Angelic", "Tengwar")}
    paths = [
        f"{top}/{alphabet}/character{c:02}/{c:04}_{n:02}.png"
        for top, alphabets in sets.items()
        for alphabet in alphabets
        for c in range(1, 4)
        for n in range(1, 4)
    ]
    alphabets = Read({path: (path.split("/")[1], "") for path in paths})
    characters = Read({path: ("/".join(path.split("/")[1:3]), "") for path in paths})
    return Layout(blank(paths), Refused(("images_background", "character01"), (alphabets, characters)))


@layout
def comp_cars() -> Layout:
    """mmlab.ie.cuhk.edu.hk/datasets/comp_cars: make, model and year as numbered folders, lists and boxes beside."""
    kinds = [(make, 10 * make + model, year) for make in (1, 78) for model in (1, 4) for year in (2011, 2013)]
    paths = [f"data/image/{make}/{model}/{year}/{model}a{n}{year}.jpg" for make, model, year in kinds for n in range(3)]
    inner = [path.removeprefix("data/image/") for path in paths]
    files = {f"data/label/{path[:-3]}txt": "1\n1\n71 237 806 592\n" for path in inner}
    files["data/train_test_split/classification/train.txt"] = lines(inner[::2])
    files["data/train_test_split/classification/test.txt"] = lines(inner[1::2])
    files["data/misc/attributes.txt"] = "model_id maximum_speed displacement door_number\n11 235 1.8 5\n14 230 2.0 4\n"
    levels = tuple(Read({path: (path.split("/")[k], "") for path in paths}) for k in (2, 3))
    return Layout({**blank(paths), **files}, Refused(("data/image/1/", "data/image/1/11/"), levels))


@layout
def mvtec_ad() -> Layout:
    """mvtec.com/company/research/datasets/mvtec-ad: objects, of which good ones alone are for training, and masks."""
    rows = classes("bottle/train", ("good",), "", "{n:03}.png", 6)
    rows |= classes("bottle/test", ("broken_large", "contamination", "good"), "", "t{n:03}.png")
    masks = [f"bottle/ground_truth/broken_large/t{n:03}_mask.png" for n in range(1, 4)]
    right = Read(rows, ignored=("ground_truth",))
    return Layout(
        {**blank(rows), **loose("", masks), "bottle/license.txt": "CC"}, Refused(("anomalies",), (right,)), "bottle"
    )
