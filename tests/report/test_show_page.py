"""The page of ``topwork show``: what is in the file, and what a real browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import html as html_text
import json
import re
import shutil
import subprocess
import zlib
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from report.made_up_show import STAGES, show_data
from topwork.report.show_data import Heatmap, LayerInfo, LayerMaps, NetworkInfo, ShowData, StrategySummary
from topwork.report.show_page import render_page, write_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome here")
DRIVER = Path(__file__).with_name("show_driver.js")
SECTIONS = ["image", "heatmaps", "layers", "filters", "probes", "changes", "similarity"]
EVIL = '</script><script>window.intruded=1</script><img src=x onerror="window.intruded=1">\'"&{{ 7 * 7 }}<!--\u2028'
MINUS = "\u2212"


@pytest.fixture(scope="module")
def data() -> ShowData:
    return show_data()


def bare(data: ShowData) -> ShowData:
    """A backbone without classes: one network, one photo, nothing about a data set."""
    network = NetworkInfo("pretrained", "pretrained", data.networks[0].layers)
    photo = replace(data.images[0], label=None, reason="chosen by you", predictions=())
    image_choice = tuple(one for one in data.layer_maps if one.image == 0 and one.network == 0)
    return ShowData("what resnet18 sees", (), (), (network,), (), (photo,), image_choice)


class Parsed(HTMLParser):
    """Tags, attributes, and the text of every script."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self._inside = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data


def sections_of(page: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', page)


def embedded(page: str) -> Any:
    return json.loads(Parsed(page).scripts[0])


def listed(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_the_page_holds_all_data_and_fetches_nothing(data: ShowData, tmp_path: Path) -> None:
    path = tmp_path / "show.html"
    write_page(path, data)
    page = path.read_text("utf-8")
    parsed = Parsed(page)
    assert embedded(page) == listed(asdict(data))
    assert len(page.encode()) < 5_000_000
    assert sections_of(page) == SECTIONS
    assert not {"link", "iframe", "base", "object"} & set(parsed.tags)
    for tag, name, value in parsed.attributes:
        assert not name.startswith("on"), f"{tag} {name}"
        if name in {"src", "href", "srcset", "action"}:
            assert value.startswith("#"), value
    addresses = set(re.findall(r"(?:\w+:)?//[\w-]+\.[\w./-]+", page.replace(parsed.scripts[0], "")))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "url(" not in page
    assert "@import" not in page


def test_only_the_own_script_may_run(data: ShowData) -> None:
    page = render_page(data)
    parsed = Parsed(page)
    assert len(parsed.scripts) == 2
    digest = base64.b64encode(hashlib.sha256(parsed.scripts[1].encode()).digest()).decode()
    policy = next(value for tag, name, value in parsed.attributes if tag == "meta" and "default-src" in value)
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy


def hostile() -> ShowData:
    data = show_data(classes=(EVIL, "a\udcff", "\ud800"), photos=2)
    layers = (LayerInfo(EVIL, EVIL, EVIL, EVIL, 0.5, False, EVIL), *data.networks[0].layers)
    networks = (replace(data.networks[0], name=EVIL, description=EVIL, layers=layers), *data.networks[1:])
    photos = (replace(data.images[0], name=EVIL, reason=EVIL), replace(data.images[1], name="odd\udcff.png"))
    return replace(
        data, title=EVIL, facts=((EVIL, EVIL), ("path", "b\udcfe")), notes=(EVIL,), networks=networks, images=photos,
        probe_description=EVIL, change_description=EVIL, inactive_measured_on=EVIL,
    )  # fmt: skip


def test_names_are_text_whatever_they_are() -> None:
    page = render_page(hostile())
    page.encode("utf-8")
    parsed = Parsed(page)
    assert parsed.tags.count("script") == 2
    assert "img" not in parsed.tags
    assert not any(name.startswith("on") for _, name, _ in parsed.attributes)
    assert html_text.escape(EVIL, quote=False).split("'")[0].split('"')[0] in page
    assert not re.search("[<>&\u2028]", parsed.scripts[0])
    assert embedded(page)["classes"] == [EVIL, "a\ufffd", "\ufffd"]


def test_numbers_that_are_none_become_null(data: ShowData) -> None:
    odd = replace(data, majority_baseline=float("nan"), strategies=(StrategySummary("svm", 0, "margin", float("inf")),))
    found = embedded(render_page(odd))
    assert found["majority_baseline"] is None
    assert found["strategies"][0]["accuracy"] is None


def test_equal_data_give_equal_pages(data: ShowData) -> None:
    assert render_page(data) == render_page(show_data())


@pytest.mark.parametrize(
    ("without", "changes"),
    [
        ("heatmaps", {"heatmaps": ()}),
        ("probes", {"probes": ((), ())}),
        ("changes", {"changes": ()}),
        ("similarity", {"similarity_map": None}),
    ],
)
def test_empty_sections_vanish(data: ShowData, without: str, changes: dict[str, Any]) -> None:
    page = render_page(replace(data, **changes))
    assert sections_of(page) == [name for name in SECTIONS if name != without]
    assert f'href="#{without}"' not in page


def test_a_bare_backbone_has_its_photo_and_layers(data: ShowData) -> None:
    assert sections_of(render_page(bare(data))) == ["image", "layers"]
    none = replace(bare(data), images=(), layer_maps=(), networks=())
    assert sections_of(render_page(none)) == []


def browse(page: str, tmp_path: Path, mode: str = "look", width: int = 1280, where: str = "") -> dict[str, Any]:
    """Open a page in a browser, use it by the driver, and give what the driver read."""
    assert BROWSER
    before = (
        "window.failures = [];"
        'addEventListener("error", (e) => failures.push(e.message));'
        'addEventListener("unhandledrejection", (e) => failures.push(String(e.reason && e.reason.stack)));'
        'addEventListener("securitypolicyviolation", (e) => failures.push(`policy: ${e.violatedDirective}`));'
    )
    driver = DRIVER.read_text("utf-8")
    after = f'const MODE = "{mode}";\n{driver}'
    allowed = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (before, after)
    )
    page = page.replace("script-src ", f"script-src {allowed} ", 1)
    page = page.replace("<title>", f"<script>{before}</script><title>", 1)
    page = page.replace("</body>", f"<script>{after}</script></body>", 1)
    file = tmp_path / "page.html"
    file.write_text(page, "utf-8", newline="\n")
    if width < 500:  # a window cannot be narrower, a frame in it can
        frame = f'<iframe src="page.html{where}" width="{width}" height="800"></iframe>'
        listen = 'addEventListener("message", (e) => { document.getElementById("read").textContent = e.data; });'
        file = tmp_path / "frame.html"
        file.write_text(f'{frame}<pre id="read"></pre><script>{listen}</script>', "utf-8")
        where = ""
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-extensions", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=20000", "--window-size=1280,900", "--dump-dom", f"{file.as_uri()}{where}",
        ],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r'<pre id="read">(.*?)</pre>', done.stdout.decode("utf-8", "replace"), re.S)
    assert found, done.stderr.decode("utf-8", "replace")[-2000:]
    answer = json.loads(html_text.unescape(found[1]))
    assert answer["failures"] == []
    return answer["read"]


def short(value: float, plus: bool = False) -> str:
    """Three significant digits, as the page writes a number."""
    text = np.format_float_positional(float(f"{abs(value):.3g}"), trim="-")
    return (MINUS if value < 0 else "+" if plus and value > 0 else "") + text


def class_value(map_: Heatmap, row: int, column: int) -> float:
    values = np.frombuffer(base64.b64decode(map_.values), np.int8).reshape(map_.height, map_.width)
    return float(values[row, column]) / 127 * map_.limit


def tile_values(one: LayerMaps, i: int) -> np.ndarray:
    maps = one.maps
    data = zlib.decompress(base64.b64decode(maps.data))
    tile = np.frombuffer(data, np.uint8).reshape(-1, maps.height, maps.width)[i].astype(float)
    return (tile - 128) / 127 * one.maps.limits[i] if one.maps.signed else tile / 255 * one.maps.limits[i]


@pytest.fixture(scope="module")
def read(data: ShowData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return browse(render_page(data), tmp_path_factory.mktemp("page"), "use")


@in_browser
def test_all_maps_are_read_at_the_same_place(data: ShowData, read: dict[str, Any]) -> None:
    maps = [
        next(
            one
            for one in data.heatmaps
            if (one.image, one.strategy, one.label, one.layer) == (0, strategy, 1, "blocks.4")
        )
        for strategy in range(4)
    ]
    assert read["hovered"] == [f"{short(class_value(m, 3, 7), True)} at row 4, column 8" for m in maps]
    assert read["stepped"] == [f"{short(class_value(m, 4, 8), True)} at row 5, column 9" for m in maps]
    assert read["scales"] == [f"{short(-m.limit)}0{short(m.limit, True)}" for m in maps]
    assert read["cells"] == [short(class_value(maps[0], 0, i), True) for i in range(14)]


@in_browser
def test_another_photo_keeps_the_chosen_class(data: ShowData, read: dict[str, Any]) -> None:
    after = read["afterPhoto"]
    assert after["image"] == 1
    assert after["classChosen"].startswith("crackedtrue")
    assert data.images[1].name in after["photoText"]
    for strategy, guesses in zip(data.strategies, data.images[1].predictions, strict=True):
        assert strategy.name in after["photoText"]
        best = guesses[0]
        value = short(best.score) if best.probability is None else f"{100 * best.probability:.1f}\u202f%"
        assert re.sub(r"\s", " ", value) in re.sub(r"\s", " ", after["photoText"])
    shown = [m for m in data.heatmaps if (m.image, m.label, m.layer) == (1, 1, "blocks.4")]
    assert all(short(m.score, True) in after["classText"] for m in shown)


@in_browser
def test_layers_are_chosen_by_mouse_and_keys_and_channels_are_read(data: ShowData, read: dict[str, Any]) -> None:
    assert read["layer"] == "blocks.4"
    assert read["selected"]
    assert read["tiles"] == [16, 16, 16]
    one = next(w for w in data.layer_maps if (w.image, w.network, w.layer) == (1, 0, "blocks.4"))
    value = tile_values(one, 2)[int(0.62 * 14), int(0.31 * 14)]
    assert read["channel"] == {
        "open": True,
        "name": one.maps.names[2],
        "read": f"{short(value)} at row 9, column 5",
    }
    assert read["closed"]


@in_browser
def test_every_byte_of_a_map_is_unpacked(data: ShowData, read: dict[str, Any]) -> None:
    one = next(w for w in data.layer_maps if (w.image, w.network, w.layer) == (1, 0, "blocks.4"))
    assert read["numbers"] == [[short(value) for value in row] for row in tile_values(one, 2)]


@in_browser
def test_a_color_stands_for_its_value(data: ShowData, read: dict[str, Any]) -> None:
    from matplotlib import colormaps

    one = next(w for w in data.layer_maps if (w.image, w.network, w.layer) == (1, 0, "blocks.4"))
    share = tile_values(one, 2)[int(0.62 * 14), int(0.31 * 14)] / one.maps.limits[2]
    wanted = 255 * np.array(colormaps["cividis"](share))
    np.testing.assert_allclose(read["pixel"], wanted, atol=4)


@in_browser
def test_a_layer_without_pictures_says_how_to_get_them(read: dict[str, Any]) -> None:
    assert read["found"] == ["blocks.2.0.conv_pw", "blocks.2.0.conv_pwl", "blocks.2.1.conv_pw", "blocks.2.1.conv_pwl"]
    assert "Create them with the option --layer blocks.2.0.conv_pw" in read["absent"]
    assert read["last"] == "global_pool"


@in_browser
def test_findings_about_the_data_are_read(data: ShowData, read: dict[str, Any]) -> None:
    patches = next(p for p in data.networks[0].patches if p.layer == "blocks.1")
    label = patches.labels[1]
    assert label is not None
    assert read["patch"] == f"{short(patches.activations[1])} 2. {data.classes[label]} {patches.ids[1]}"
    assert read["probe"].startswith(STAGES[0])
    for points in data.probes:
        assert f"{100 * points[0].accuracy:.1f}" in read["probe"]
    for text, change in ((read["change"], data.changes[0]), (read["nextChange"], data.changes[1])):
        weight = "no weights" if change.weight is None else short(change.weight)
        assert text == f"{change.layer}CKA {short(change.cka)}relative weight change {weight}"


@in_browser
def test_points_of_the_image_map_are_read(data: ShowData, read: dict[str, Any]) -> None:
    images = data.similarity_map
    assert images
    assert read["point"] == images.ids[17]
    for row, strategy in zip(images.predicted, data.strategies, strict=True):
        mark = "\u2713right" if row[17] == images.labels[17] else "\u2717wrong"
        assert f"{mark} {strategy.name} {data.classes[row[17]]}" in read["pointText"]
    points = np.array(images.points[0])
    above = images.ids.index(read["above"])
    assert above != 17
    assert points[above, 1] < points[17, 1]
    right = np.equal(images.predicted[2], images.labels).sum()
    assert f"right: {right}" in read["legend"]
    assert f"wrong: {len(images.ids) - right}" in read["legend"]


@in_browser
def test_the_address_restores_what_was_shown(data: ShowData, read: dict[str, Any], tmp_path: Path) -> None:
    again = browse(render_page(data), tmp_path, where=read["hash"])
    assert again == read["end"]
    assert again["image"] == 1
    assert again["point"] == read["above"]
    assert again["reads"][0].endswith("at row 5, column 9")


@in_browser
@pytest.mark.parametrize("kind", ["few", "many", "bare", "hostile"])
def test_nothing_is_wider_than_a_phone(data: ShowData, kind: str, tmp_path: Path) -> None:
    names = tuple(f"Manufacturer Model Number {i} Convertible 2012" for i in range(196))
    made = {"few": lambda: data, "many": lambda: show_data(names, 6), "bare": lambda: bare(data), "hostile": hostile}
    shown = made[kind]()
    seen = browse(render_page(shown), tmp_path, width=390)
    assert seen["width"] == 390
    assert seen["overflow"] <= 0
    assert seen["empty"] == 0
    assert seen["sections"] == seen["links"] == (["image", "layers"] if kind == "bare" else SECTIONS)
    assert not seen["scripts"]
    assert not seen["images"]
    if kind == "many":
        assert shown.similarity_map
        assert len(set(shown.similarity_map.labels)) in seen["selects"]
    if kind == "hostile":
        assert EVIL.replace("\u2028", "").strip() in seen["photoText"]
