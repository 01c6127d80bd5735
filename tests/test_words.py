"""One word for one thing: words that the glossary in CONTRIBUTING.md replaced do not come back.

Identifiers are checked word by word (``unlike_training`` has two); comments, docstrings, messages, templates and
documentation as text. History (the lab log, the changelog) may say what things were called.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SKIPPED = {
    "docs/maintainers/lab-log.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/reference/cli.md",
    "tests/test_words.py",
}
TEXT_SUFFIXES = {".md", ".j2", ".html", ".js", ".css"}

# Word of an identifier -> what it is called.
IDENTIFIERS = {
    "told": "notified, logged", "tell": "notify, log", "said": "message, text", "asked": "config, requested",
    "wish": "option", "wishes": "options", "wished": "requested", "wanted": "requested, expected",
    "look": "inspect", "looked": "inspected", "looker": "inspection worker", "lookers": "inspection workers",
    "looking": "inspection", "judge": "evaluate", "judged": "evaluated", "bend": "hessian_diagonal",
    "steepness": "preconditioner", "dream": "feature_visualization",
    "likeness": "similarity", "alike": "similar", "unlike": "ood", "surroundings": "context",
    "hungry": "needs_features",
    "barren": "empty", "figures": "metrics", "surest": "most_confident", "account": "summary",
}  # fmt: skip
# In text: pattern -> what to write.
TEXTS = {
    r"\btold\b": "notified, printed", r"\bwish(es|ed)?\b": "option, request", r"\blookers?\b": "inspection worker",
    r"\bpassed over\b": "ignored", r"\bset aside\b": "excluded", r"\bgoes? on( with)?\b": "resumes, continues",
    r"\bought to\b": "should", r"\banew\b": "again", r"\bthereby\b": "so", r"\bto be had\b": "available",
    r"\bsteepness\b": "preconditioner", r"\bspoken of\b": "described", r"\b(at most|by) so (many|much)\b": "at most N",
    r"\bfalse alarms?\b": "false positive", r"\blikeness\b": "similarity", r"\bis not there\b": "does not exist",
    r"\bcan't be told apart\b": "no significant difference", r"\bby hand\b": "manually",
    r"\b(ms|milliseconds|seconds|bytes|row|line) an? (image|epoch|class|shard)\b": "per image",
    r"\bphotographs?\b": "image",
}  # fmt: skip


def python_words(text: str) -> Iterator[tuple[int, str, str]]:
    """(line, kind, text) of every name, comment and string."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], "name", token.string
        elif token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):  # 3.12
            yield token.start[0], "text", token.string


def faults(name: str, text: str) -> Iterator[str]:
    """What is wrong with one file."""
    found = python_words(text) if name.endswith(".py") else ((i, "text", t) for i, t in enumerate(text.split("\n"), 1))
    for line, kind, value in found:
        if kind == "name":
            for word in re.split(r"_|(?<=[a-z])(?=[A-Z])", value):
                if word.lower() in IDENTIFIERS:
                    yield f"{name}:{line} {value}: {IDENTIFIERS[word.lower()]}"
        else:
            for pattern, better in TEXTS.items():
                for match in re.finditer(pattern, value, re.IGNORECASE):
                    number = line + value.count("\n", 0, match.start())
                    yield f"{name}:{number} {match.group()!r}: {better}"


def checked_files() -> list[Path]:
    """Code, templates and documentation; tests are code too."""
    files = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*"),
        *(ROOT / "src").rglob("*"),
        *(ROOT / "examples").rglob("*"),
    ]
    suffixes = {*TEXT_SUFFIXES, ".py"}
    return sorted(f for f in files if f.suffix in suffixes and f.relative_to(ROOT).as_posix() not in SKIPPED)


def test_replaced_words_stay_away() -> None:
    assert len(checked_files()) > 200
    found = [
        fault
        for file in checked_files()
        for fault in faults(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "def tell_all(): pass"),
        ("a.py", "class Wish: pass"),
        ("a.py", "x = f'{1} images were set aside'"),
        ("a.py", '"""Goes on with a run."""'),
        ("a.js", "// 3 ms an image"),
        ("a.html.j2", "<p>They can't be told apart</p>"),
    ],
)
def test_a_replaced_word_is_found(name: str, text: str) -> None:
    assert list(faults(name, text))
