"""``ShowData`` -> one HTML file that draws itself: data, style and scripts are inside, nothing is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from topwork.core import storage
from topwork.report.explained import ShowData

_TEMPLATES = Path(__file__).parent / "templates"
# In the order they run: the first ones define what the later ones use.
_SCRIPTS = (
    "base", "controls", "colour", "sheets", "maps", "chart", "photos", "classes", "faithful", "layers",
    "walk", "channel", "patches", "depth", "scatter", "drawing", "point", "start",
)  # fmt: skip


def write_page(path: Path, data: ShowData) -> None:
    """Write the page of ``topwork show``.

    Args:
        path: HTML file; one that is there is replaced.
        data: Everything the page says.

    Raises:
        StorageError: The file cannot be written.
    """
    storage.write_text(path, render_page(data))


def render_page(data: ShowData) -> str:
    """The page as HTML text. Equal data give equal text.

    Everything that comes from data is text on the page, whatever it holds; of a name that is not Unicode the odd
    characters are shown as replacement characters. A number that is not finite is shown as a dash. Only the page's own
    script may run: its hash stands in the page's content security policy.
    """
    script = _script()
    html = _template().render(
        d=data,
        sections=_sections(data),
        title=_unicode(data.title),
        script=Markup(script),
        script_hash=_hash(script),
        data=Markup(_json(data)),
    )
    return _unicode(html)


def _sections(data: ShowData) -> dict[str, str]:
    """Id and name in the navigation of what there is something to say about, in the order of the page."""
    networks = data.networks
    there = {
        "photo": ("The photo", bool(data.photos)),
        "classes": ("Why this class", bool(data.photos and data.class_maps)),
        "layers": ("Layer by layer", any(network.layers for network in networks)),
        "filters": ("First filters", any(network.filters for network in networks)),
        "depth": ("Where classes part", any(data.probes)),
        "changes": ("What changed", bool(data.changes)),
        "images": ("Map of the images", data.image_map is not None and bool(data.image_map.ids)),
    }
    return {name: words for name, (words, some) in there.items() if some}


def _json(data: ShowData) -> str:
    """JSON in ASCII, in which no character can end or open an HTML element."""
    text = json.dumps(_plain(asdict(data)), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    """Without what JSON, an address or a page cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value


def _unicode(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@cache
def _script() -> str:
    parts = [(_TEMPLATES / "show" / f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"


def _hash(script: str) -> str:
    """As a content security policy names a script: SHA-256 in base64."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()


def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("show.html.j2")
