"""Photographs as people keep them themselves: by day, by camera, in albums, with what their computers add."""

from __future__ import annotations

from tests.data.layouts import Layout, Read, Refused, asks, blank, classes, layout, loose

_DAYS = ("2023-05-01", "2023-05-02", "2023-06-11")


@layout
def folders_of_days() -> Layout:
    """What a program makes that imports photographs: no day is a class."""
    return Layout(
        blank(f"{day}/IMG_{n:04}.jpg" for day in _DAYS for n in range(3)), Refused((_DAYS[0], "without a label"))
    )


@layout
def folders_of_days_in_german() -> Layout:
    """The day first."""
    days = ("01.05.2023", "02.05.2023", "11.06.2023")
    return Layout(blank(f"{day}/IMG_{n:04}.jpg" for day in days for n in range(3)), Refused(("without a label",)))


@layout
def folders_of_months() -> Layout:
    """As old phones name albums."""
    months = ("2021 January", "2021 February", "March 2021")
    return Layout(blank(f"{month}/IMG_{n:04}.jpg" for month in months for n in range(3)), Refused(("without a label",)))


@layout
def days_below_classes() -> Layout:
    """A class that was photographed on several days."""
    rows = {f"{label}/{day}/{label}{day[-2:]}{n}.jpg": (label, "") for label in ("ash", "oak") for day in _DAYS
            for n in (1, 2)}  # fmt: skip
    return Layout(blank(rows), Read(rows))


@layout
def days_above_classes() -> Layout:
    """Several days of field work, with the same classes on each."""
    rows = {f"{day}/{label}/{label}{day[-2:]}{n}.jpg": (label, "") for label in ("ash", "oak") for day in _DAYS
            for n in (1, 2)}  # fmt: skip
    return Layout(blank(rows), asks(Read(rows), _DAYS[0], "ash"))


@layout
def memory_card_of_a_camera() -> Layout:
    """DCIM, with a folder for each thousand photographs."""
    files = blank(f"DCIM/{n}APPLE/IMG_{n}{k}.JPG" for n in (100, 101, 102) for k in range(3))
    return Layout(files, Refused(("100APPLE", "without a label")))


@layout
def memory_card_of_two_cameras() -> Layout:
    """The same with two makers."""
    files = blank(f"DCIM/{n}/IMG_{n}{k}.JPG" for n in ("100CANON", "101CANON", "100MEDIA") for k in range(3))
    return Layout(files, Refused(("without a label",)))


@layout
def albums_of_a_phone() -> Layout:
    """Where the photographs come from is no class of them."""
    files = loose("Camera", (f"202305{n:02}_120000.jpg" for n in range(1, 6)))
    files |= loose("WhatsApp Images", (f"IMG-202305{n:02}-WA0001.jpg" for n in range(1, 6)))
    return Layout(files, Refused(("WhatsApp Images", "without a label")))


@layout
def folder_of_unsorted_images() -> Layout:
    """What is still to be done."""
    rows = classes("", ("Buche", "Eiche"))
    return Layout({**blank(rows), **loose("unsortiert", ("1.jpg", "2.jpg"))}, Read(rows, ignored=("unsortiert",)))


@layout
def recycle_bins() -> Layout:
    """A whole drive, with what Windows, Linux, Android and a network drive keep of deleted files."""
    rows = classes("", ("ash", "oak"))
    bins = ("$RECYCLE.BIN", "lost+found", "LOST.DIR", "#recycle", "System Volume Information")
    return Layout({**blank(rows), **{f"{name}/a.jpg": None for name in bins}}, Read(rows, ignored=("$RECYCLE.BIN",)))
