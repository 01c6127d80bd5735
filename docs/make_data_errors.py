"""Write docs/how-to/data-not-read.md: the messages in it are collected from the source, so that none can be missing.

Run by ``make docs``; ``tests/test_docs.py`` fails if the page is not fresh, or explains a message that is gone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PAGE = Path(__file__).parent / "how-to" / "data-not-read.md"
TEXT = Path(__file__).parent / "how-to" / "data-not-read.template.md"
SOURCE = Path(__file__).parents[1] / "src" / "topwork" / "data"
ERRORS = {
    "DataError", "UsageError", "SettingNeeded", "Refused", "MissingDependency", "NotReadable", "UnreadableImage",
    "AmbiguousFiles", "SeveralBoxes", "SeveralColumns", "MissingColumn", "Measured", "SeveralNames", "OtherLabels",
    "SeveralMarks", "RunLengths",
}  # fmt: skip
# What decodes images or divides them, after they are listed: docs/explanation/pixels.md is about the first.
OTHERS = (
    "splits.py", "split_units.py", "batches.py", "decoder", "images.py", "remote.py", "transforms.py", "convert.py",
    "optional_formats.py", "decoder.py", "jpeg.py",
)  # fmt: skip
MIN_LENGTH = 45  # of a text that is made elsewhere than in an exception; a shorter one is a part of a message
GROUPS = (
    ("In general", r"(sources/(__init__|base|reading)|manifest|labels|class_names|file_tree)\.py"),
    ("Class folders, and data sets for other tasks", r"sources/(folder|other|file_names|stanford|elpv|known).*\.py"),
    ("Archives and tar shards", r"(zip|tar|archive|shard|sources/webdataset|sources/unreadable|locations).*\.py"),
    (
        "Parquet, arrays and tables of pixels",
        r"(arrays|pixel_tables|sources/(parquet|array|image_copies|hugging)).*\.py",
    ),
    ("Tables, lists and annotations", r".*"),
)


def messages() -> dict[str, list[str]]:
    """Heading to the messages under it, in order of the source; what is filled in is in capitals or ``...``."""
    found: dict[str, dict[str, None]] = {title: {} for title, _ in GROUPS}
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name.startswith(OTHERS):
            continue
        title = next(title for title, pattern in GROUPS if re.fullmatch(pattern, name))
        for text in map(_shown, _templates(_Constants().applied_to(ast.parse(path.read_text("utf-8"))))):
            if len(re.findall(r"\b[a-z]{2,}\b", text)) > 1:  # else it is all made elsewhere
                found[title][text] = None
    return {title: list(texts) for title, texts in found.items()}


def _shown(template: str) -> str:
    """A template as a reader sees it: with blanks before what is filled in, and the command at its end."""
    text = template + ": topwork check DATA --layout LEVELS" if template.endswith(", run") else template
    return re.sub(r":(WAYS|\.\.\.)$", r": \1", text)


class _Constants(ast.NodeTransformer):
    """Replaces the names of constants of a file by their values."""

    def applied_to(self, tree: ast.Module) -> ast.AST:
        """The tree with values for names."""
        self._values: dict[str, ast.Constant] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign):
                (target, *_), value = node.targets, node.value
                several = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                for name, one in zip(target.elts, value.elts, strict=True) if several else [(target, value)]:
                    if isinstance(name, ast.Name) and isinstance(one, ast.Constant):
                        self._values[name.id] = one
        return self.visit(tree)

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.AST:
        """What is filled in, or the constant."""
        if isinstance(node.value, ast.Name) and node.value.id in self._values:
            return ast.FormattedValue(self._values[node.value.id], -1)
        return self.generic_visit(node)


def _templates(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        text = " ".join(_text(problem).split()) if (problem := _problem(node)) else ""
        if len(text) > MIN_LENGTH and not text[0].islower():
            yield text
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id not in ERRORS:
            continue
        arguments = [*node.args, *(word.value for word in node.keywords)]
        if not arguments or not isinstance(arguments[0], ast.JoinedStr | ast.Constant | ast.BinOp):
            continue
        text = " ".join(_text(arguments[0]).split())
        if node.func.id == "SettingNeeded":
            option, value = map(_text, arguments[1:3])
            text += f", with --{option.replace('_', '-')} {value if value != '...' else 'N'}."
        if node.func.id in ("NotReadable", "UnreadableImage"):
            text = f"FILE: {text}"
        if node.func.id == "MissingDependency":
            extra = ast.literal_eval(arguments[1]) if isinstance(arguments[1], ast.Constant) else "EXTRA"
            text += f" needs an optional package. Install it with: pip install 'topwork[{extra}]'."
        if text not in ("", "..."):
            yield text


def _problem(node: ast.AST) -> ast.expr | None:
    """What a variable or an argument called problem is set to, or a function returns, if that is a text."""
    value = node.value if isinstance(node, ast.Return | ast.keyword | ast.Assign) else None
    named = isinstance(node, ast.Return)
    if isinstance(node, ast.keyword):
        named = node.arg == "problem"
    elif isinstance(node, ast.Assign):
        named = any(isinstance(target, ast.Name) and target.id == "problem" for target in node.targets)
    if isinstance(value, ast.IfExp):
        value = value.body
    return value if named and isinstance(value, ast.JoinedStr) else None


def _text(node: ast.expr) -> str:
    """The template of an expression."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        texts = [_text(value) for value in node.values]
        between = [isinstance(one, ast.FormattedValue) and isinstance(two, ast.FormattedValue)
                   for one, two in pairwise([ast.Constant(""), *node.values])]  # fmt: skip
        return "".join(" " * both + text for both, text in zip(between, texts, strict=True))
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value) if isinstance(node.value, ast.Constant) else _filled(node.value)
    return "..."


def _filled(node: ast.expr) -> str:
    """The placeholder of a value that is filled in."""
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        if name.endswith(("data_command", "command_with")):
            words = node.args[2].elts if isinstance(node.args[2], ast.List) else node.args[1:]
            shown = [str(word.value) if isinstance(word, ast.Constant) else _filled(word) for word in words]
            return " ".join(["topwork check DATA", *shown])
        if name.endswith("command"):
            words = [word.value if isinstance(word, ast.Constant) else _filled(word) for word in node.args]
            return " ".join(["topwork", *map(str, words)])
        if name == "_write_a_table":
            return "write a table with the columns path and label, and run `topwork check labels.csv`"
        return "UNPACK && topwork check FOLDER" if name.endswith("unpack") else "..."
    if isinstance(node, ast.Attribute):
        return node.attr.strip("_").upper()
    return node.id.upper() if isinstance(node, ast.Name) else "..."


def page() -> str:
    """The whole page."""
    parts = []
    for title, texts in messages().items():
        parts.append(f"### {title}\n")
        parts += [f"- {_as_code(text)}" for text in texts]
        parts.append("")
    return TEXT.read_text("utf-8").replace("{{messages}}\n", "\n".join(parts))


def _as_code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
