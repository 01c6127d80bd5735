"""A prediction as Jupyter shows it: the image, and its classes as bars."""

from __future__ import annotations

from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topwork.bundle.postprocessing import Prediction

SIDE = 160
MAX_BYTES = 32 * 2**20  # a larger file is not opened for a thumbnail


def prediction_html(prediction: Prediction) -> str:
    """An HTML fragment; names are text, whatever they are."""
    name = escape(prediction.image)
    if prediction.error:
        return f"<p>{name}: {escape(prediction.error)}</p>"
    warnings = [
        text
        for text, holds in (
            ("unsure", prediction.abstain),
            ("unlike the training images", prediction.out_of_distribution),
        )
        if holds
    ]
    rows = "".join(
        f'<tr><td>{escape(found.label)}</td><td><div style="background: #0072b2; height: 0.8em; '
        f'width: {160 * found.probability:.0f}px"></div></td><td>{100 * found.probability:.1f} %</td></tr>'
        for found in prediction.top
    )
    note = f"<br><b>{', '.join(warnings)}</b>" if warnings else ""
    return f"<div>{_thumbnail(prediction.image)}<table>{rows}</table><small>{name}</small>{note}</div>"


def _thumbnail(image: str) -> str:
    """The image, if it is a file of ordinary size."""
    from PIL import Image

    from topwork.report.thumbnails import data_url, encode_thumbnail

    with suppress(OSError, ValueError, Image.DecompressionBombError):
        if Path(image).is_file() and Path(image).stat().st_size <= MAX_BYTES:
            with Image.open(image) as opened:
                opened.draft("RGB", (2 * SIDE, 2 * SIDE))
                return f'<img src="{data_url(encode_thumbnail(opened, SIDE))}">'
    return ""
