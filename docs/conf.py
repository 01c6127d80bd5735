"""Sphinx builds a site from the pages (`make docs`): the same files that are read in the repository, and no others."""

from __future__ import annotations

import tomllib
from pathlib import Path

from sphinx.application import Sphinx

_PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]

project = "topwork"
author = copyright = "The topwork authors"
version = release = _PROJECT["version"]
extensions = ["myst_parser"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"]
exclude_patterns = ["**/*.template.md"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header"]  # the changelog has no level 2 under some headings
html_theme = "furo"
html_title = "topwork"
html_copy_source = False
html_show_sphinx = False
"""Furo makes light and dark pages, and fetches nothing from other servers."""

SIDEBAR = {
    "Start": ("tutorial/index", "how-to/install"),
    "How to": ("how-to/*",),
    "Reference": ("reference/*",),
    "Explanation": ("explanation/*",),
    "Maintainers": ("maintainers/*", "../CONTRIBUTING", "../CHANGELOG", "../SECURITY", "../benchmarks/README"),
}


def setup(app: Sphinx) -> None:
    """Add the sidebar to the first page, which in the repository is to be read without it."""

    def add_sidebar(_: Sphinx, name: str, source: list[str]) -> None:
        if name == root_doc:
            for title, pages in SIDEBAR.items():
                source[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n:caption: {title}\n\n" + "\n".join(pages) + "\n```\n"

    app.connect("source-read", add_sidebar)
