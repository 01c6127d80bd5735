"""Render ``ShowData`` as one HTML file that contains data, style and scripts and loads nothing from the network."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from topwork.core import storage
from topwork.report.render import TEMPLATES, render_template, replace_surrogates
from topwork.report.show_data import ShowData

# In the order of execution: later scripts use what earlier ones define.
_SCRIPTS = (
    "base", "controls", "color", "sheets", "maps", "chart", "images", "heatmaps", "faithfulness", "layers",
    "channels", "channel", "patches", "probes", "similarity", "scatter", "point", "start",
)  # fmt: skip


def write_page(path: Path, data: ShowData) -> None:
    """Write the page of ``topwork show`` as one HTML file; an existing file is replaced.

    Raises:
        StorageError: The file cannot be written.
    """
    storage.write_text(path, render_page(data))


def render_page(data: ShowData) -> str:
    """The page as HTML text. Equal data give equal text.

    All data appear as text, whatever they hold; characters that are not Unicode become replacement characters, numbers
    that are not finite a dash. Only the page's own script may run: its hash is in the content security policy.
    """
    scripts = [(TEMPLATES / "show" / f"{name}.js").read_text("utf-8") for name in _SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(scripts) + "})();\n"
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return render_template(
        "show.html.j2",
        d=data,
        sections=_sections(data),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(digest).decode()}",
        data=Markup(_json(data)),
    )


def _sections(data: ShowData) -> dict[str, str]:
    """Id and title of the sections that have content, in the order of the page."""
    networks = data.networks
    sections = {
        "image": ("Photo", bool(data.images)),
        "heatmaps": ("Why this class", bool(data.images and data.heatmaps)),
        "layers": ("Activations by layer", any(network.layers for network in networks)),
        "filters": ("First filters", any(network.filters for network in networks)),
        "probes": ("Linear probes", any(data.probes)),
        "changes": ("Effect of fine-tuning", bool(data.changes)),
        "similarity": ("Similarity map", data.similarity_map is not None and bool(data.similarity_map.ids)),
    }
    return {name: title for name, (title, has_content) in sections.items() if has_content}


def _json(data: ShowData) -> str:
    """JSON in ASCII, in which no character can end or open an HTML element."""
    text = json.dumps(_serializable(asdict(data)), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _serializable(value: Any) -> Any:
    """The value without what JSON or a page cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return replace_surrogates(value)
    if isinstance(value, dict):
        return {key: _serializable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_serializable(entry) for entry in value]
    return value
