"""Every command that topwork prints is run as it stands, with names that a shell would take apart.

Commands run in this process: what is printed is what the command line prints, and its exit status is that of a process.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.commands import topwork
from tests.drawings import write_folder
from tests.shards import samples_of, write_shard
from tests.torture.calls import Tally
from topwork.core import commands
from topwork.core.progress import Progress
from topwork.core.storage import read_json
from topwork.serving import server

NAMES = ("plain", 'it\'s "mine"', "-dash  and blanks", "$HOME; & `x`")
SMALL = ("--img-size", "32", "-j", "0", "--seed", "3", "--val-fraction", "0.2", "--set", "data.near_duplicates=false",
         "--set", "compute.engine=torch")  # fmt: skip
QUICK = ("--strategy", "knn", "--strategy", "linear", "--learning-curve", "none", "--set", "linear.Cs=[0.01, 0.1]")


def run(words: Sequence[str], place: Path, stop: str = "") -> tuple[int, str]:
    """Run a command in a folder; its exit status and all that it printed. A server is stopped when it listens.

    Args:
        words: After ``topwork``.
        place: The working directory.
        stop: SIGTERM comes to this process when it logs a line with this text.
    """
    log = Progress.log

    def logging(self: Progress, line: str) -> None:
        log(self, line)
        if stop and stop in line:
            os.kill(os.getpid(), signal.SIGTERM)

    def make_server(service: Any, access: Any, limits: Any, on_ready: Callable[[], None]) -> Any:
        return make(service, access, limits, lambda: (on_ready(), os.kill(os.getpid(), signal.SIGTERM))[0])

    make = server.make_server
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "log", logging)
        patch.setattr(server, "make_server", make_server)
        done = topwork(*words, cwd=place)
    return done.returncode, done.stdout + done.stderr


def printed(text: str) -> list[str]:
    """The commands in what was printed: from a colon to the end of the line, and between backticks."""
    return re.findall(r"(?m)(?::  *|^)(topwork [a-z]+(?: .*)?)$", text) + re.findall(r"`(topwork [^`]+)`", text)


def folder(root: Path) -> list[str]:
    """Class folders two levels deep."""
    write_folder(root / "kinds", each=10)
    return ["--labels-from-path"]


def table(root: Path) -> list[str]:
    """A table with groups, a list of images to exclude, and a leak, which has a command that shows it."""
    images = sorted(write_folder(root / "images", each=10).rglob("*.png"))
    rows = [
        f"{path.relative_to(root)},{path.parent.name},{number // 2},{'test' if number % 10 > 6 else 'train'}"
        for number, path in enumerate(images)
    ]
    (root / "t.csv").write_text("\n".join(["path,label,site,split", *rows]))
    (root / "no.csv").write_text(f"image\n{rows[0].split(',')[0]}\n")
    return ["--group-by", "site", "--exclude", str(root / "no.csv")]


def shards(root: Path) -> list[str]:
    """Shards whose labels are numbers."""
    numbered = [
        (name, data.removeprefix(b"class") if name.endswith(".cls") else data)
        for name, data in samples_of(write_folder(root.parent / "drawn", each=10))
    ]
    write_shard(root / "a-0.tar", numbered[:30])
    write_shard(root / "a-1.tar", numbered[30:])
    (root / "names.txt").write_text("zero\none's\n two \n")
    return ["--source", "webdataset", "--label-key", "cls", "--class-names", str(root / "names.txt")]


DATA: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "folder": (folder, ""), "table": (table, "t.csv"), "shards": (shards, ""),
}  # fmt: skip


def walk(place: Path, name: str, kind: str, train: bool = True) -> Tally:
    """Stop, fail and finish what a user does with one data set; run each command that is printed on the way.

    Args:
        place: An empty folder.
        name: Of the data set, of the output and of a file of predictions.
        kind: Key of ``DATA``.
        train: Whether trainings that are suggested are run; else only what they would run is shown.
    """
    walked = _Walk(place, train)
    make, file = DATA[kind]
    (place / name).mkdir(parents=True)
    data, out = os.path.join(".", name, file).rstrip("/"), f"{name} out"
    options = [*make((place / name).resolve()), *SMALL, *QUICK]
    walked.expect(143, ["compare", data, "-o", out, *options], "[1/2]")
    if walked.tally.wrong:
        return walked.tally
    walked.expect(1, ["compare", data, "-o", out, *options])  # not empty
    walked.expect(2, ["train", "--resume", out])
    walked.expect(2, ["train", "--resume", f"{out}/knn"])
    for words in (["predict", f"./{out}", data], ["show", f"./{out}", "--quick"], ["report", f"./{out}"]):
        walked.expect(None, words)
    walked.run_all()
    if read_json(place / out / "run.json")["status"] != "done":
        walked.tally.wrong.append("the comparison that was stopped has not ended")
    walked.expect(143, ["predict", f"./{out}", data, "-o", f"{name}.csv"], "Model")
    walked.expect(None, ["predict", f"./{out}", data, "-o", f"{name}.csv"])
    page = (place / out / "report.html").read_text("utf-8")
    walked.collect(*map(unescape, re.findall(r"<code>(topwork .*?)</code>", page)))
    shutil.copytree(place / name, place / "new-images", dirs_exist_ok=True)  # as the page calls them
    walked.expect(0, ["report", f"./{out}"])
    walked.run_all()
    bundle = place / out / "knn" / "model"
    shutil.copytree(place / name, bundle / "photos")
    card = (bundle / "README.md").read_text("utf-8")
    walked.place = bundle
    walked.collect(*re.findall("(?m)^topwork .*$", card))
    walked.run_all()
    if not (bundle / "predictions.csv").is_file():
        walked.tally.wrong.append("the model card's commands have not predicted")
    return walked.tally


def walk_all(place: Path, without_options: bool = False) -> Tally:
    """Every name with every kind of data set; or a few, with printed commands that lack the options they need."""
    tally, pairs = Tally(), list(itertools.product(NAMES, DATA))
    for number, (name, kind) in enumerate(pairs[-1:] if without_options else pairs):
        (place / f"walk-{number}").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            if without_options:
                patch.setattr(commands, "_settings", lambda *_: ())
            one = walk(place / f"walk-{number}", name, kind, not without_options)
        tally.tried, tally.hit = tally.tried + one.tried, tally.hit + one.hit
        tally.wrong += [f"{name}, {kind}: {line}" for line in one.wrong]
        shutil.rmtree(place / f"walk-{number}")
    return tally


class _Walk:
    """Runs commands, remembers those that are printed, and runs these."""

    def __init__(self, place: Path, train: bool) -> None:
        self.place, self.train, self.tally = place, train, Tally()
        self.waiting: list[str] = []
        self.done: set[str] = set()

    def collect(self, *lines: str) -> None:
        """Remember commands."""
        self.waiting += lines

    def expect(self, status: int | None, words: Sequence[str], stop: str = "") -> str:
        """Run a command that must end so; None: in any way but without a fault. Remember what it prints."""
        ended, text = run(words, self.place, stop)
        if "Unexpected" in text or (status is not None and ended != status):
            self.tally.wrong.append(f"{shlex.join(words)}: exit status {ended}: {text[-300:]}")
        self.collect(*printed(text))
        return text

    def run_all(self) -> None:
        """Run what is remembered, and what that prints, each once."""
        while self.waiting:
            line = self.waiting.pop(0)
            if line not in self.done:
                self.done.add(line)
                self.tally.tried += 1
                before = len(self.tally.wrong)
                words = shlex.split(line)[1:]
                again = words[0] == "train" and "--resume" not in words
                words += ["--dry-run"] if again and not self.train else []
                words += ["--port", "0"] if words[0] == "serve" else []
                waiting = list(self.waiting)
                self.expect(None if words[0] == "check" else 0, words)  # 4: it found something
                if again:  # a training suggests a longer one, without end
                    self.waiting = waiting
                self.tally.hit += len(self.tally.wrong) == before
