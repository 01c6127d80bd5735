"""Write the pictures of the README and of `docs/how-to/show.md`, in light and in dark: report and layers of a demo.

    python docs/make_pictures.py COMPARISON

The folder of a comparison with ``report.html`` and, by ``topwork show COMPARISON``, ``explain/show.html``. Needs
Chromium and the package playwright.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parent / "pictures"
WIDTH = 1100
SCHEMES = ("light", "dark")
QUALITY = 75
MAX_BYTES = 400_000
"""Of all pictures together."""


def take(page: Page, address: str, anchor: str, height: int) -> Image.Image:
    """The part of a page that begins at an anchor, or its first screen."""
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(address)
    page.wait_for_timeout(1500)
    if anchor:
        page.locator(anchor).scroll_into_view_if_needed()
        page.evaluate("(s) => document.querySelector(s).scrollIntoView()", anchor)
        page.wait_for_timeout(1500)
    return Image.open(io.BytesIO(page.screenshot()))


def main(comparison: str) -> None:
    """Write each picture in both color schemes."""
    browser_file = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_file is None:
        sys.exit("No Chromium is installed.")
    show = Path(comparison, "explain", "show.html")
    pages = {
        "report": (Path(comparison, "report.html"), "", 650),
        "heatmaps": (show, "#heatmaps", 790),
        "layers": (show, "#layers", 620),
    }
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        for scheme in SCHEMES:
            page = browser.new_page(color_scheme=scheme)
            for name, (file, anchor, height) in pages.items():
                image = take(page, file.absolute().as_uri(), anchor, height).convert("RGB")
                image.save(FOLDER / f"{name}-{scheme}.webp", quality=QUALITY, method=6)
        browser.close()
    total = sum(path.stat().st_size for path in FOLDER.glob("*.webp"))
    print(f"{FOLDER}: {total:,} bytes")
    if total > MAX_BYTES:
        sys.exit(f"The pictures have {total:,} bytes, expected at most {MAX_BYTES:,}. Lower QUALITY.")


if __name__ == "__main__":
    main(sys.argv[1])
