"""The report as a whole: one well-formed file, no network, nothing of the data executed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from topwork.core import storage
from topwork.report.render import write_report
from topwork.report.shown_images import write_folder_thumbnails

Comparison = Callable[..., Path]
VOID = {"meta", "br", "img", "link", "input", "hr", "path", "use"}
MAX_PAGE_BYTES = 8_000_000  # docs/maintainers/design.md
EVIL = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Checks nesting while it parses; keeps tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).replace("\u00a0", " ").split())


def page(folder: Path) -> tuple[Page, str]:
    html = write_report(folder).read_text("utf-8")
    return Page(html), html


def assert_self_contained(parsed: Page, html: str) -> None:
    assert not parsed.tags["script"]
    assert not parsed.tags["link"]
    assert not parsed.tags["iframe"]
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on"), f"{tag} {name}"
        if name in {"src", "href", "xlink:href", "action", "srcset"}:
            beside = tag == "a" and re.fullmatch(r"tables/[\w-]+\.csv|verdict\.json", value)
            assert beside or value.startswith(("#", "data:image/jpeg;base64,")), value
    assert "url(http" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    ids = [value for _, name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {v for t, n, v in parsed.attributes if t == "a" and n == "href"}
    assert {v[1:] for v in links if v.startswith("#")} <= set(ids)


def test_the_sections_are_there_in_order(comparison: Comparison) -> None:
    parsed, html = page(comparison())
    assert_self_contained(parsed, html)
    order = ["next", "results", "pairs", "costs", "data", "calibration", "differences", "curves", "confusion", "errors"]
    order += ["classes", "choices", "backbone", "methods", "reproduce"]
    assert re.findall(r'<section id="(\w+)"', html) == order
    for words in (
        "elpv: 4 strategies compared",
        "The test set was used once, at the end",
        "ROC AUC",
        "2: the file is empty",
        "16-bit gray scaled to 8 bits",
        ".git",
        "CC BY-NC-SA 4.0",
        "The published split is not available.",
        "Apache-2.0",
        "topwork compare cells --seed 0",
        "epochs = 5",
        "0.03162",
        "4 of 163",
        "Margins are not probabilities",
        "platform",
    ):
        assert words in parsed.words, words
    assert "Top-5" not in parsed.words


@pytest.mark.usefixtures("drawn_charts")
def test_paragraph_and_figure_for_a_paper_stand_beside_the_report(comparison: Comparison) -> None:
    folder = comparison()
    parsed, _ = page(folder)
    text = (folder / "paper.md").read_text("utf-8")
    for words in (
        "The data set elpv has 303 images of 2 classes",
        "was chosen on the 30 validation images, without the test images",
        "95 % score intervals (Wilson 1927)",
        "the exact test of McNemar 1947",
        "would be detected with a probability of 80 %",
        "Chosen on the 30 validation images",
        "![Accuracy by strategy](paper.svg)",
        "- Holm, S. (1979).",
    ):
        assert words in text, words
    paragraph = text.split("\n\n")[1]
    assert " ".join(paragraph.split()) in parsed.words
    root = ElementTree.fromstring((folder / "paper.svg").read_text("utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    drawn = {" ".join((node.text or "").split()) for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"scratch", "mlp", "svm", "finetune"} <= drawn
    assert "var(" not in (folder / "paper.svg").read_text("utf-8")


@pytest.mark.usefixtures("drawn_charts")
def test_class_names_are_text_whatever_they_are(comparison: Comparison) -> None:
    classes = (EVIL, "&\"'{{ 7 * 7 }}", "javascript:alert(1)")
    folder = comparison(classes=classes, finished=("mlp", "svm"))
    storage.write_text(folder / "config.toml", f"# {EVIL}\n</code></pre><img src=x onerror=alert(1)>\n")
    parsed, html = page(folder)
    assert_self_contained(parsed, html)
    for name in classes:
        assert name in parsed.words
    assert "{{ 7 * 7 }}" in parsed.words
    assert not parsed.tags["img"]


def test_an_unfinished_strategy_is_said_to_be_unfinished(comparison: Comparison) -> None:
    parsed, html = page(comparison(finished=("svm", "mlp")))
    assert_self_contained(parsed, html)
    assert parsed.words.count("not finished (waiting)") == 2
    assert "finetune and scratch have not finished" in parsed.words


def test_nothing_finished_yet(comparison: Comparison) -> None:
    parsed, html = page(comparison(finished=()))
    assert_self_contained(parsed, html)
    assert parsed.words.count("not finished (waiting)") == 4


def test_a_single_run(comparison: Comparison) -> None:
    folder = comparison() / "svm"
    write_folder_thumbnails(folder, lambda _: Image.new("RGB", (300, 200), "teal"))
    parsed, html = page(folder)
    assert_self_contained(parsed, html)
    assert "elpv: svm" in parsed.words
    assert "topwork predict fake/svm new-images/" in parsed.words
    shown = {value for _, name, value in parsed.attributes if name == "class" and re.match(r"thumb t\d", value)}
    assert shown
    for value in shown:  # each image is in the file once, however often it is shown
        assert html.count(f".{value.split()[1]} {{ background-image: url(data:image/jpeg;base64,") == 1


@pytest.mark.parametrize("classes", [["a"], [f"car {i}" for i in range(66)]], ids=["one class", "66 classes"])
def test_few_and_many_classes(comparison: Comparison, classes: Sequence[str]) -> None:
    folder = comparison(classes=classes, images=200)
    for path in (folder / "svm", folder / "finetune"):
        write_folder_thumbnails(path, lambda _: Image.effect_noise((300, 200), 80))
    parsed, html = page(folder)
    assert_self_contained(parsed, html)
    assert len(html.encode()) < MAX_PAGE_BYTES
    if len(classes) > 30:
        assert "Top-5 accuracy" in parsed.words
        assert "too many for a readable matrix" in parsed.words
        assert "All 66 classes" in parsed.words


@pytest.mark.usefixtures("drawn_charts")
def test_equal_folders_give_equal_reports_and_names_need_not_be_unicode(comparison: Comparison) -> None:
    folder = comparison(classes=("a\udcff", "b"), finished=("mlp", "svm"))
    first = write_report(folder).read_bytes()
    assert first == write_report(folder).read_bytes()
    assert "a?" in first.decode("utf-8") or "a\ufffd" in first.decode("utf-8")


def test_a_folder_can_be_moved(comparison: Comparison, tmp_path: Path) -> None:
    folder = comparison()
    before = write_report(folder).read_bytes()
    moved = folder.rename(tmp_path / "elsewhere")
    assert write_report(moved).read_bytes() == before.replace(
        b"topwork predict fake", b"topwork predict elsewhere"
    ).replace(b"topwork serve fake", b"topwork serve elsewhere").replace(
        b"topwork show fake", b"topwork show elsewhere"
    ).replace(b"<code>fake</code>", b"<code>elsewhere</code>")
    assert str(tmp_path).encode() not in before
