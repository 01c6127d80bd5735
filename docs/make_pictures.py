"""Write the README's pictures: the first screen of a report and the layers of `topwork show`, in light and in dark.

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
SIZE = {"width": 1100, "height": 720}
SCHEMES = ("light", "dark")
QUALITY = 82
MAX_BYTES = 400_000
"""Of all pictures together: the README loads them all."""


def take(page: Page, address: str, anchor: str) -> Image.Image:
    """The part of a page that begins at an anchor, or its first screen."""
    page.goto(address)
    page.wait_for_timeout(1500)
    if anchor:
        page.locator(anchor).scroll_into_view_if_needed()
        page.evaluate("(s) => document.querySelector(s).scrollIntoView()", anchor)
        page.wait_for_timeout(1500)
    return Image.open(io.BytesIO(page.screenshot()))


def main(comparison: str) -> None:
    """Write the four pictures."""
    browser_file = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser_file is None:
        sys.exit("No Chromium is installed.")
    pages = {
        "report": (Path(comparison, "report.html"), ""),
        "layers": (Path(comparison, "explain", "show.html"), "#layers"),
    }
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_file, args=["--no-sandbox"])
        for scheme in SCHEMES:
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            for name, (file, anchor) in pages.items():
                image = take(page, file.absolute().as_uri(), anchor).convert("RGB")
                image.save(FOLDER / f"{name}-{scheme}.webp", quality=QUALITY, method=6)
        browser.close()
    total = sum(path.stat().st_size for path in FOLDER.glob("*.webp"))
    print(f"{FOLDER}: {total:,} bytes")
    if total > MAX_BYTES:
        sys.exit(f"The pictures have {total:,} bytes, expected at most {MAX_BYTES:,}. Lower QUALITY.")


if __name__ == "__main__":
    main(sys.argv[1])
