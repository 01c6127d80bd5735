"""Write docs/reference/cli.md from the help of every command, so that the page cannot differ from the program.

Run by ``make docs``; ``tests/test_docs.py`` fails if the page is not fresh.
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path
from unittest import mock

from typer.main import get_command

PAGE = Path(__file__).parent / "reference" / "cli.md"
HEAD = """# The command line

This page is generated from the program itself (`make docs`). Do not edit it.
"""


def commands() -> list[str]:
    """The names of all commands that are shown, in the order of the help page."""
    from topwork.cli import app

    found = getattr(get_command(app), "commands", {})
    return [name for name, command in found.items() if not command.hidden]


@cache
def help_of(*words: str) -> str:
    """What ``topwork WORDS --help`` prints on a plain terminal of 100 columns."""
    from topwork.cli import app

    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    text = io.StringIO()
    with mock.patch.dict(os.environ, plain), redirect_stdout(text), suppress(SystemExit):
        os.environ.pop("FORCE_COLOR", None)
        app([*words, "--help"], prog_name="topwork")
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines())


def page() -> str:
    """The whole page."""
    parts = [HEAD, f"```text\n{help_of()}\n```\n"]
    parts += [f"## topwork {name}\n\n```text\n{help_of(name)}\n```\n" for name in commands()]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8", newline="\n")
