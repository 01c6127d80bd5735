"""Tables as spreadsheets, scripts and other machines write them: separators, encodings, headers, paths."""

from __future__ import annotations

from collections.abc import Callable

from tests.data.layouts import Content, Layout, Read, Refused, asks, blank, layout, loose, table

STEMS = [f"img{n:03}" for n in range(12)]
NAMES = [f"{stem}.jpg" for stem in STEMS]
LABELS = [("cat", "dog")[n % 2] for n in range(12)]


def _read(at: str = "", labels: list[str] | None = None, suffix: str = ".jpg") -> Read:
    return Read({f"{at}{stem}{suffix}": (label, "") for stem, label in zip(STEMS, labels or LABELS, strict=True)})


def _pairs(name: Callable[[str], str] = str, labels: list[str] | None = None) -> list[tuple[str, str]]:
    return [(name(image), label) for image, label in zip(NAMES, labels or LABELS, strict=True)]


def _table(content: Content, right: Read, name: str = "labels.csv", data: str = "labels.csv") -> Layout:
    return Layout({**blank(right.rows), name: content}, right, data)


@layout
def excel_semicolons_cp1252() -> Layout:
    """'CSV' of an Excel in German or French: ';' and the code page of Windows, columns in the language."""
    labels = [("Größe", "Fläche")[n % 2] for n in range(12)]
    return _table(table(("Datei", "Klasse"), _pairs(labels=labels), ";", "cp1252"), _read(labels=labels))


@layout
def excel_unicode_text() -> Layout:
    """'Unicode text' of Excel: UTF-16 with tabs, named .txt or .csv."""
    labels = [("Größe", "Fläche")[n % 2] for n in range(12)]
    return _table(table(("file", "label"), _pairs(labels=labels), "\t", "utf-16"), _read(labels=labels))


@layout
def excel_utf8_with_mark() -> Layout:
    """'CSV UTF-8' of Excel: a byte order mark before the first column's name."""
    return _table(table(("file", "label"), _pairs(), ";", "utf-8-sig"), _read())


@layout
def no_header() -> Layout:
    """Name and label only, as AutoML services take it."""
    return _table(table(None, _pairs()), _read())


@layout
def no_header_numbers() -> Layout:
    """Name and class number only: neither row is a header, and no image is lost."""
    return _table(
        table(None, _pairs(labels=[str(n % 3) for n in range(12)])), _read(labels=[str(n % 3) for n in range(12)])
    )


@layout
def windows_paths() -> Layout:
    """Paths with backslashes, relative to the table's folder."""
    return _table(table(("filename", "label"), _pairs("images\\{}".format)), _read("images/"))


@layout
def paths_of_another_machine() -> Layout:
    """Absolute paths of a notebook in the cloud: /content/drive/..."""
    paths = _pairs("/content/drive/MyDrive/pets/images/{}".format)
    return _table(table(("image_path", "label"), paths), _read("images/"))


@layout
def paths_of_a_windows_machine() -> Layout:
    r"""Absolute paths of a colleague: C:\Users\..."""
    paths = _pairs("C:\\Users\\Ana\\Desktop\\pets\\images\\{}".format)
    return _table(table(("image_path", "label"), paths), _read("images/"))


@layout
def paths_from_a_folder_above() -> Layout:
    """Paths from the folder that the script ran in: ../input/pets/images/..."""
    return _table(table(("path", "label"), _pairs("../input/pets/images/{}".format)), _read("images/"))


@layout
def suffix_in_other_case() -> Layout:
    """The table says .jpg, the camera wrote .JPG."""
    return _table(table(("filename", "label"), _pairs()), _read(suffix=".JPG"))


@layout
def suffix_of_another_format() -> Layout:
    """The table says .jpg, the files were converted to .png since."""
    right = _read("images/", suffix=".png")
    return Layout(
        {**blank(right.rows), "labels.csv": table(("file", "label"), _pairs())}, asks(right, "img000"), "labels.csv"
    )


@layout
def ids_in_several_folders() -> Layout:
    """Ids, and the files in folders by camera, each id in one of them."""
    rows = {f"camera{n % 3}/{stem}.jpg": (LABELS[n], "") for n, stem in enumerate(STEMS)}
    return _table(table(("id", "label"), zip(STEMS, LABELS, strict=True)), Read(rows), data=".")


@layout
def number_ids() -> Layout:
    """Ids that are numbers, with zeros before them in the names of the files."""
    rows = {f"images/{n:06}.png": (LABELS[n], "") for n in range(12)}
    right = Read(rows)
    files = {**blank(rows), "labels.csv": table(("id", "label"), enumerate(LABELS))}
    return Layout(files, asks(right, "labels.csv", "000000.png"))


@layout
def columns_with_other_names() -> Layout:
    """Columns that no list has, and more of them: found by what they hold."""
    cells = [(n, "2024-05-01", name, 20.5 + n, label) for n, (name, label) in enumerate(_pairs())]
    right = _read("photos/")
    head = ("nr", "recorded", "foto_del_campo", "temp_c", "specie_osservata")
    return Layout({**blank(right.rows), "survey.csv": table(head, cells)}, asks(right, "specie_osservata"))


@layout
def options_for_columns() -> Layout:
    """A user who names the columns."""
    cells = [(name, label, ("left", "right")[n % 3 % 2]) for n, (name, label) in enumerate(_pairs())]
    right = _read("photos/")
    files = {**blank(right.rows), "survey.csv": table(("bild", "art", "side"), cells)}
    return Layout(files, right, "survey.csv", {"path_column": "bild", "label_column": "art"})


@layout
def labels_na_and_nan() -> Layout:
    """Classes called NA and nan, and an index column without a name, as pandas writes it."""
    labels = [("NA", "nan", "None")[n % 3] for n in range(12)]
    cells = [(n, name, label) for n, (name, label) in enumerate(_pairs(labels=labels))]
    return _table(table(("", "file", "label"), cells), _read(labels=labels))


@layout
def labels_with_leading_zeros() -> Layout:
    """Codes such as 01 and 10, which are no numbers."""
    labels = [("01", "10", "02")[n % 3] for n in range(12)]
    return _table(table(("file", "label"), _pairs(labels=labels)), _read(labels=labels))


@layout
def label_before_path() -> Layout:
    """The label in the first column, and a caption that holds the name of a file."""
    cells = [(label, f"photo of {name}", name) for name, label in _pairs()]
    return _table(table(("lbl", "name", "img"), cells), _read())


@layout
def number_and_name_of_the_class() -> Layout:
    """The class twice, as number and as name, as Kaggle's own exports have it."""
    cells = [(name, ("cat", "dog").index(label), label) for name, label in _pairs()]
    right = _read()
    numbers = _read(labels=[str(("cat", "dog").index(label)) for label in LABELS])
    files = {**blank(right.rows), "labels.csv": table(("file", "label", "class_name"), cells)}
    return Layout(files, (right, numbers, Refused(("label", "class_name"), (right, numbers))), "labels.csv")


@layout
def tabs_in_a_txt() -> Layout:
    """A table with tabs that is called .txt."""
    return _table(table(("file", "label"), _pairs(), "\t"), _read(), "labels.txt", "labels.txt")


@layout
def rows_for_missing_files() -> Layout:
    """A table of all images, of which a sample was downloaded: the others are named, not lost."""
    right = _read("images/")
    cells = [*_pairs(), *[(f"img{n:03}.jpg", "cat") for n in range(100, 130)]]
    files: dict[str, Content] = {**blank(right.rows), "labels.csv": table(("file", "label"), cells)}
    listed = Read({**right.rows, **{f"images/img{n:03}.jpg": ("cat", "") for n in range(100, 130)}})
    return Layout(files, (right, listed, Refused(("img100.jpg",), (right,))))


@layout
def files_that_no_row_names() -> Layout:
    """Images beside those of the table: they have no label and are named as ignored."""
    right = Read(_read("images/").rows, ignored=("extra0.jpg",))
    extra = loose("images", (f"extra{n}.jpg" for n in range(5)))
    return Layout({**blank(right.rows), **extra, "labels.csv": table(("file", "label"), _pairs())}, right)


@layout
def site_of_each_photograph() -> Layout:
    """A column that describes images is no label by itself, but the command that takes it is shown."""
    cells = [(f"{n}.jpg", f"2021-0{n % 9 + 1}-01", ("north", "south")[n % 2]) for n in range(20)]
    rows = {f"photos/{name}": (site, "") for name, _, site in cells}
    return Layout({**blank(rows), "photos.csv": table(("file", "date", "site"), cells)},
                  Refused(("photos.csv", "site"), (Read(rows),)))  # fmt: skip
