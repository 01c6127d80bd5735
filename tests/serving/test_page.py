"""The page of ``topwork serve`` in a real browser: drop, look, switch, download; keyboard, phone, token."""

from __future__ import annotations

import base64
import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.data.zoo import encoded, photo
from tests.serving.client import Server, serving

import topwork
from topwork.inference.predictor import Predictor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="the page is tested in Chromium, which is not installed here")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
DROP = """
([name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type: "image/png" }));
  document.getElementById("drop").dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}
"""


@pytest.fixture(scope="module")
def server(comparison: topwork.Comparison) -> Iterator[Server]:
    with serving(comparison["mlp"].path, token=True, quiet=True, engine="torch") as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=60_000)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that is ready; at the end: nothing was asked of anybody else, and nothing went wrong in it."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **getattr(request, "param", {})})
    context.set_default_timeout(60_000)
    opened, requested, wrong = context.new_page(), [], []
    opened.on("request", lambda made: requested.append(made.url))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda line: wrong.append(line.text) if line.type in ("error", "warning") else None)
    opened.goto(f"{server.url}#token={server.token}")
    opened.wait_for_selector("#app:not([hidden])")
    yield opened
    context.close()
    assert [url for url in requested if not url.startswith((server.url, f"blob:{server.url}"))] == []
    assert [line for line in wrong if "Failed to load resource" not in line] == []


def predicted(model: Predictor, file: Path) -> topwork.Prediction:
    return next(iter(topwork.predict(model, str(file), neighbours=5, top=3)))


def test_a_photo_is_dropped_shown_and_downloaded(page: Page, mlp: Predictor, photos: Path) -> None:
    from playwright.sync_api import expect

    assert "token" not in page.url
    file = photos / "class1" / "003.png"
    expected = predicted(topwork.load(mlp.location.run or "", workers=0, engine="torch"), file)
    page.evaluate(DROP, ["003.png", base64.b64encode(file.read_bytes()).decode()])
    expect(page.locator(".answer")).to_have_text(expected.label)
    guesses = page.locator(".guess .name").all_text_contents()
    assert guesses == [guess.label for guess in expected.top]
    assert (page.locator(".alert", has_text="Unsure").count() == 1) == expected.abstain
    assert (page.locator(".alert", has_text="Unlike").count() == 1) == expected.out_of_distribution
    expect(page.locator(f'.frame[data-shown="{expected.label}"]')).to_be_visible()
    first = page.locator(".frame canvas").screenshot()
    page.get_by_role("radio", name=guesses[1]).check(force=True)
    expect(page.locator(f'.frame[data-shown="{guesses[1]}"]')).to_be_visible()
    assert page.locator(".frame canvas").screenshot() != first
    page.set_viewport_size({"width": 700, "height": 900})  # another layout, the same class
    page.set_viewport_size({"width": 1280, "height": 900})
    expect(page.get_by_role("radio", name=guesses[1])).to_be_checked()
    page.get_by_role("radio", name="Only the photo").check(force=True)
    expect(page.locator(".frame.plain")).to_be_visible()
    near = page.locator(".near img")
    assert near.count() == 5
    for place in range(5):
        near.nth(place).scroll_into_view_if_needed()
        assert near.nth(place).evaluate("async (image) => { await image.decode(); return image.naturalWidth; }") > 0
    assert page.locator(".near small").all_text_contents() == [one.label for one in expected.neighbours]


def test_many_photos_in_a_table_by_keyboard_and_as_csv(
    page: Page, mlp: Predictor, photos: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    files = sorted(photos.rglob("*.png"))[::2]
    odd, bad = tmp_path / '<img src=x onerror="alert(1)">, "q".png', tmp_path / "bad.jpg"
    odd.write_bytes(files[0].read_bytes())
    bad.write_text("words")
    notes = tmp_path / "notes.txt"
    notes.write_text("no image")
    given = [*files, odd, bad]
    page.set_input_files("#files", [*given, notes])
    expect(page.locator("#count")).to_have_text(f"{len(given)} photos")
    expect(page.locator("#note")).to_contain_text("1 file is not an image")
    expect(page.locator("#rows tr")).to_have_count(len(given))
    assert page.locator("#rows th").nth(len(files)).inner_text() == odd.name
    page.locator("#rows button").first.focus()
    page.keyboard.press("ArrowDown")
    selected = page.locator('#rows tr[aria-current="true"]')
    expect(selected).to_have_count(1)
    expect(page.locator("#one .answer")).to_have_text(selected.locator("td").first.locator("bdi").inner_text())
    page.keyboard.press("End")
    expect(page.locator("#one .answer")).to_have_text("This file cannot be used")
    page.get_by_role("radio", name="Unreadable 1").check(force=True)
    expect(page.locator("#rows tr")).to_have_count(1)
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.suggested_filename == "predictions.csv"
    with open(download.value.path(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [path.name for path in given]
    model = topwork.load(mlp.location.run or "", workers=0, engine="torch")
    for row, prediction in zip(rows, topwork.predict(model, list(map(str, given))), strict=True):
        assert row["error"] == prediction.error
        assert row["label"] == prediction.label
        if not prediction.error:
            assert float(row["probability"]) == prediction.probability
            assert row["abstain"] == ("yes" if prediction.abstain else "no")
            assert float(row["probability_3"]) == prediction.top[2].probability
    page.click("#clear")
    expect(page.locator("#results")).to_be_hidden()


@pytest.mark.parametrize(
    "page",
    [{"viewport": {"width": 390, "height": 844}, "has_touch": True, "color_scheme": "dark"}],
    indirect=True,
    ids=["phone"],
)
def test_on_a_phone_in_the_dark(page: Page, photos: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 27)"
    tiff = tmp_path / f"{'a-name-without-any-place-to-break-it-' * 3}.tif"
    tiff.write_bytes(encoded(photo((60, 40)), "TIFF"))
    page.set_input_files("#files", [photos / "class0" / "001.png", tiff])
    expect(page.locator("#count")).to_have_text("2 photos")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#rows tr").nth(1).click()
    expect(page.locator("#sheet .answer")).to_be_visible()
    expect(page.locator("#sheet .frame.empty")).to_be_visible()  # a browser cannot show it, the model can see it
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.press("Escape")
    expect(page.locator("#sheet")).to_be_hidden()


def test_the_token_is_required(browser: Browser, server: Server) -> None:
    from playwright.sync_api import expect

    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.fill("#token", "not the token")
    page.keyboard.press("Enter")
    expect(page.locator("#wrong-token")).to_have_text("Wrong token.")
    page.fill("#token", server.token)
    page.keyboard.press("Enter")
    expect(page.locator("#app")).to_be_visible()
    context.close()


def test_a_server_that_has_stopped_is_reported(page: Page, server: Server, photos: Path) -> None:
    """The last test of this server."""
    from playwright.sync_api import expect

    server.process.terminate()
    assert server.process.wait(timeout=60) == 0
    page.set_input_files("#files", photos / "class0" / "000.png")
    expect(page.locator("#error-message")).to_contain_text("Is it still running?")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
