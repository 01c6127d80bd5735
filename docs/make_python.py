"""Write docs/reference/python.md from the docstrings of the public names.

Run by ``make docs``; ``tests/test_docs.py`` fails if the page is not fresh.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parent / "reference" / "python.md"
HEAD = """# The Python interface

This page is generated from the program itself (`make docs`). Do not edit it. The names of settings are those of
[the command line](cli.md), with underscores: `--img-size 192` is `img_size=192`. In the examples `photos` is a folder
of class folders, and `run` the folder of a trained run.
"""
SECTIONS = {"Args": "Arguments", "Attributes": "Attributes", "Returns": "Returns", "Raises": "Raises"}
ORDER = (
    ("Train and compare", ("compare", "train", "Comparison", "Run", "TransferClassifier", "check", "Check")),
    ("Use a model", ("load", "Predictor", "predict", "Prediction", "export", "serve")),
    ("Look inside", ("show", "explain")),
    ("Callbacks and errors", ("Callback", "TrainingRun", "TopworkError")),
)
WIDTH = 100


def page() -> str:
    """The whole page."""
    import topwork

    parts = [HEAD]
    for title, names in ORDER:
        parts.append(f"## {title}\n")
        for name in names:
            parts += _describe(f"topwork.{name}", getattr(topwork, name), 3)
    return "\n".join(parts).rstrip() + "\n"


def _describe(name: str, what: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} `{name}`\n"
    if isinstance(what, ModuleType):
        yield _text(inspect.getdoc(what) or "")
        for member in what.__all__:
            yield from _describe(f"{name}.{member}", getattr(what, member), level + 1)
        return
    if callable(what) and not (inspect.isclass(what) and issubclass(what, Exception)):
        yield f"```python\n{_signature(name.rpartition('.')[2], what)}\n```\n"
    yield _text(inspect.getdoc(what) or "")
    if inspect.isclass(what):
        yield from _members(what)


def _members(cls: type) -> Iterator[str]:
    """The methods and properties that the class defines itself, as a list."""
    heading = "**Methods and properties:**\n"
    for name, member in vars(cls).items():
        if name.startswith("_") or (
            not isinstance(member, property | cached_property) and not inspect.isfunction(member)
        ):
            continue
        is_method = inspect.isfunction(member)
        shown = _signature(name, member, method=True) if is_method else name
        if heading:
            yield heading
            heading = ""
        text = " ".join((inspect.getdoc(member) or "").partition("\n\n")[0].split())
        yield f"- `{' '.join(shown.split())}`: {_inline(text)}" if text else f"- `{' '.join(shown.split())}`"
    yield ""


def _signature(name: str, what: Any, method: bool = False) -> str:
    """``name(arguments)``, on several lines if it is long."""
    parameters = [p for p in inspect.signature(what).parameters.values() if not (method and p.name == "self")]
    words: list[str] = []
    for parameter in parameters:
        before = words[-1] if words else ""
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in words and not before.startswith("*"):
            words.append("*")
        default = (
            _Words("...")
            if callable(parameter.default) and parameter.default is not parameter.empty
            else parameter.default
        )
        words.append(str(parameter.replace(annotation=_plain(parameter.annotation), default=default)))
    line = f"{name}({', '.join(words)})"
    return line if len(line) <= WIDTH else f"{name}(\n" + "".join(f"    {word},\n" for word in words) + ")"


class _Words:
    """An annotation that is shown as written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _plain(annotation: Any) -> Any:
    """Annotations without quotes and module names."""
    if annotation is inspect.Parameter.empty:
        return annotation
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _Words(re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", text))


def _text(doc: str) -> str:
    """A docstring of Google's form as Markdown."""
    parts, lines = [], doc.splitlines()
    while lines:
        block = [lines.pop(0)]
        if block[0].rstrip(":") in SECTIONS and block[0].endswith(":"):
            while lines and (not lines[0].strip() or lines[0].startswith(" ")):
                block.append(lines.pop(0))
            parts.append(_section(SECTIONS[block[0].rstrip(":")], inspect.cleandoc("\n".join(block[1:]))))
            continue
        if not block[0].strip():
            continue
        while lines and lines[0].strip():
            block.append(lines.pop(0))
        is_code = block[0].startswith(">>>")
        parts.append("```python\n" + "\n".join(block) + "\n```\n" if is_code else _inline("\n".join(block)) + "\n")
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    """One list item for each argument; running text where none is named."""
    items: list[str] = []
    for line in text.splitlines():
        if line[:1].strip() or not items:
            items.append(line)
        else:
            items[-1] += " " + line.strip()
    named = [re.sub(r"^([*\w, ]+?)(?: \([^)]*\))?: ", r"`\1`: ", _inline(item), count=1) for item in items]
    if title == "Returns":
        return f"**{title}:** {_inline(' '.join(items))}\n"
    return f"**{title}:**\n\n" + "\n".join(f"- {item}" for item in named) + "\n"


def _inline(text: str) -> str:
    """Text with code between single backticks; outside of it nothing is a tag."""
    parts = text.replace("``", "`").split("`")
    return "`".join(part if i % 2 else part.replace("<", "&lt;") for i, part in enumerate(parts))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
