"""The page of ``check``: images of every class, and a list of images to exclude that ``--exclude`` reads."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.drawings import draw

from topwork.core.artifacts import ImageRow, Manifest, Splits
from topwork.core.image_ref import ImageRef
from topwork.data.sources import _read_ids
from topwork.report.check_page import MAX_IN_STRIPS, MAX_STRIP, ExcludeCommands, write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
COMMANDS = ExcludeCommands("topwork check x --write-exclude exclude.csv", "topwork compare x --exclude exclude.csv")


def write(folder: Path, names: Mapping[str, str], ignored: dict[str, str] | None = None, **changes: Any) -> str:
    """The page of images with these ids and labels; ``bad.jpg`` cannot be used and is proposed."""
    file = folder / "one.png"
    draw(0, 0, 48).save(file)
    rows = [ImageRow(image, label, ref=ImageRef.parse(str(file))) for image, label in names.items()]
    rows.append(ImageRow("bad.jpg", "cat", "excluded", "empty file"))
    manifest = Manifest(folder, tuple(rows), "x", ignored or {})
    counts = {label: [*names.values()].count(label) for label in sorted({*names.values()})}
    value = {
        "data": "x", "reading": "a folder", "images": len(rows), "used": len(names), "classes": counts, "splits": {},
        "shorter_side": {"min": 48, "median": 48, "max": 48}, "license": "", "problems": 1, "notes": [],
        "exclude": [["bad.jpg", "empty file"]],
        "findings": [{
            "kind": "excluded", "text": "1 file cannot be used", "groups": [["bad.jpg"]], "problem": True, "notes": [],
            "details": [], "command": "",
        }],
    } | changes  # fmt: skip
    labels = np.zeros(len(names), dtype=np.int64)
    none = np.zeros(0, dtype=np.int64)
    splits = Splits(
        ("cat",), {"train": tuple(names), "val": (), "test": ()}, {"train": labels, "val": none, "test": none}
    )
    write_page(folder / "check.html", value, manifest, splits, COMMANDS)
    return (folder / "check.html").read_text("utf-8")


def test_every_class_has_a_strip_and_a_bar(tmp_path: Path) -> None:
    html = write(tmp_path, {f"{label}/{i}.png": label for label, many in (("cat", 30), ("سگ", 3)) for i in range(many)})
    cat, dog = html.split('<div class="class">')[1:]
    assert "<bdi>cat</bdi> <small>30 images: train 30" in cat
    assert "<bdi>سگ</bdi> <small>3 images: train 3" in dog
    assert [part.count("<img ") for part in (cat, dog)] == [MAX_STRIP, 3]
    assert re.findall(r'class="s-train" style="width:([\d.]+)%', html) == ["100.00", "10.00"]
    assert "topwork compare x --exclude exclude.csv" in html
    assert "topwork check x --write-exclude exclude.csv" in html


def test_many_classes_have_few_images_each(tmp_path: Path) -> None:
    html = write(
        tmp_path, {f"{label}/{i}.png": f"class {label}" for label in range(MAX_IN_STRIPS + 5) for i in range(2)}
    )
    assert html.count("<img ") == MAX_IN_STRIPS
    assert html.count('<div class="class">') == MAX_IN_STRIPS + 5
    assert len(html.encode()) < 2_000_000


def test_names_are_text_in_the_page_and_in_its_script(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>.png"
    html = write(tmp_path, {evil: "cat", "a\udcff.png": "cat"}, exclude=[[evil, "</script>"], ["a\udcff.png", "x"]])
    assert "<img src=x" not in html
    assert html.count("<script") == html.count("</script>") == 3
    found = re.search(r'id="proposed">(.*?)</script>', html)
    assert found
    assert json.loads(found[1]) == [[evil, "</script>"]]  # a name that is not Unicode cannot be written by a page
    assert html.count('type="checkbox"') == 2  # the other image, and bad.jpg


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome here")
def test_the_saved_list_is_one_that_exclude_reads(tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    odd = 'a, "b".png'
    write(
        tmp_path, {"cat/1.png": "cat", odd: "cat", "cat/3.png": "cat"}, {"old.png": "excluded", "notes.txt": "no image"}
    )
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=CHROMIUM, args=flags, timeout=60_000)
        page, wrong = browser.new_page(), list[str]()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda line: wrong.append(line.text))
        page.goto(f"file://{tmp_path}/check.html")
        assert page.locator("#count").inner_text() == "0 images to exclude"
        assert page.locator("#save").is_disabled()
        page.locator("#propose").click()
        page.get_by_label(f"Exclude {odd}").check()
        page.get_by_label("Exclude cat/3.png").check()
        page.get_by_label("Exclude cat/3.png").uncheck()
        assert page.locator("#count").inner_text() == "2 images to exclude"
        with page.expect_download() as download:
            page.locator("#save").click()
        download.value.save_as(tmp_path / "exclude.csv")
        browser.close()
    assert not wrong
    assert _read_ids(tmp_path / "exclude.csv") == {"bad.jpg", odd, "old.png"}
    assert (tmp_path / "exclude.csv").read_text().splitlines()[:3] == [
        "image,reason", "old.png,excluded before", "bad.jpg,empty file"
    ]  # fmt: skip
