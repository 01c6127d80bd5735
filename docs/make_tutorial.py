"""Write the output under every command of docs/tutorial/index.md, by running the commands.

Takes a minute. ``tests/test_tutorial.py`` runs the same commands and compares, with times and other properties of the
machine masked (``masked``).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "tutorial" / "index.md"
BLOCK = re.compile(r"^```console\n\$ (.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SECONDS_TO_START = 240
_DURATION = r"\d+ (?:ms|s|min \d\d s|h \d\d min)\b"
_MASKS = (
    (r"^ *(?:Features: \d|\S+: \d+ of \d|\d+ images in ).*\n", ""),  # speed; progress of what takes long
    (r"^So far: .*\n(?: {10}.*\n)*", ""),  # printed unless the rest takes seconds
    (r"^(?:Device|Model) .*\n", ""),
    (rf"{_DURATION}(?: \+ {_DURATION})* features|{_DURATION}", "TIME"),
    (r"[\d.,]+ times as long|about as long|as long as|1/\d+ of the time", "TIME"),
    (r"(\d\.\d\d)\d+", r"\1"),  # later digits depend on the processor
    (r"e-\d+", ""),
    (r"topwork \d+\.\d+\.\d+", "topwork VERSION"),
    (r" +|-{5,}", " "),  # columns are as wide as the times in them
)


def masked(text: str) -> str:
    """The text without what differs from run to run and from machine to machine."""
    for pattern, replacement in _MASKS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return text


def run_page(text: str, folder: Path) -> str:
    """The page with the output of its commands, run one after another in ``folder``."""
    (folder / "examples").symlink_to(ROOT / "examples")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = str(found.getsockname()[1])
    servers: list[subprocess.Popen[str]] = []

    def run(block: re.Match[str]) -> str:
        command = block[1].replace("8000", port)
        words = command.split()
        if words[-1] == "&":
            servers.append(_start(words[1:-1], folder))
            output = _first_line_with_address(servers[-1])
        elif words[0] == "topwork":
            output = _topwork(words[1:], folder)
        else:
            command = command.replace("python ", f"{sys.executable} ", 1)
            done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=True)
            output = done.stdout + done.stderr
        output = output.replace(f"{folder}{os.sep}", "").replace(port, "8000").rstrip()
        return f"```console\n$ {block[1]}\n{output}\n```"

    try:
        return BLOCK.sub(run, text)
    finally:
        for server in servers:
            server.terminate()
            server.communicate()


@contextlib.contextmanager
def _plain_engine() -> Iterator[None]:
    """What a processor without bfloat16 computes, without the extra ``openvino``."""
    from dataclasses import replace

    from topwork.compute import devices
    from topwork.features import engines

    available = engines.available
    with (
        mock.patch.object(engines, "available", lambda c: available(replace(c, engine="torch"))),
        mock.patch.object(devices, "_best_precision", return_value="float32"),
    ):
        yield


def _topwork(words: list[str], folder: Path) -> str:
    from topwork import cli

    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
        mock.patch.object(sys, "argv", ["topwork", *words]),
        contextlib.chdir(folder),
        contextlib.suppress(SystemExit),
        _plain_engine(),
    ):
        cli.main()
    return err.getvalue() + out.getvalue()


def _start(words: list[str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "topwork", *words]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _first_line_with_address(server: subprocess.Popen[str]) -> str:
    assert server.stdout
    lines, end = [], time.monotonic() + SECONDS_TO_START
    for line in server.stdout:
        lines.append(line)
        if "http://" in line or time.monotonic() > end:
            break
    return "".join(lines)


def main() -> None:
    """Renew the page."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, TOPWORK_CACHE=f"{folder}/.cache"):
        text = run_page(PAGE.read_text("utf-8"), Path(folder))
    PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
