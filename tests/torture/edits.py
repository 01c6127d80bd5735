"""Runs and models that a stranger has edited: each ends in one plain message or in a result.

Never in another exception, a file outside opened or written, a connection or a wait. With strace, what libraries open
is watched as well.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import safetensors.torch
import timm
import torch

import topwork
from tests.torture.calls import Tally
from topwork.core import run_folders, schemas, storage
from topwork.core.artifacts import read_run_info
from topwork.core.errors import TopworkError
from topwork.data.run_images import read_run_images
from topwork.explain.context import open_runs
from topwork.inference.locate import locate_bundle, locate_training_data
from topwork.report.render import write_report

SECONDS = 60  # for all that is done with one edited run
VALUES: list[Any] = [
    None, True, False, 0, -1, 3, 10**30, 0.5, -1e308, 1e-320, "", "x", "NaN", "../../OUTSIDE/secret", "OUTSIDE/secret",
    "http://127.0.0.1:9/x.tar", "hf-hub:nobody/nothing", "local-dir:OUTSIDE", "/dev/zero", "a\0b", "\ud800", "x" * 9000,
    [], {}, [[]], {"a": {"b": 1}}, [1, 2, 3], ["a", "a"], [None], {"value": "x"}, "tf_efficientnet_lite0", "finetune",
]  # fmt: skip
CELLS = [
    "", "x", "-1", "0", "1e999", "nan", "9" * 5000, "../../OUTSIDE/secret", "OUTSIDE/secret", "http://127.0.0.1:9/x",
    '"', "\0", "used", "train", "test", "\n", ",", "1" * 200_000,
]  # fmt: skip
FAULTS = {
    "schema": (schemas, "check", lambda value, schema, path: None),
    "links": (run_folders, "check_links", lambda folder: folder),
    "pipes": (storage, "read_regular", lambda path, max_bytes=0: path.read_bytes()),
}
TRACED = "connect,open,openat,openat2,creat,execve,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,symlink"


def edit_all(numbers: range, run: Path, image: Path, fault: str = "") -> Tally:
    """Edit a copy of a run for each number and use it; see the module. ``fault``: one of ``FAULTS``."""
    tally = Tally()
    seen: list[str] = []
    place = Path(tempfile.mkdtemp())
    outside = place / "OUTSIDE"
    outside.mkdir()
    (outside / "secret").write_text('{"secret": 1}')
    with _recorded(seen, outside), contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Importing from timm")
        if fault:
            module, name, function = FAULTS[fault]
            stack.enter_context(mock.patch.object(module, name, function))
        for number in numbers:
            rng = random.Random(f"edit {number}")
            copy = place / "runs" / "copy"
            shutil.copytree(run, copy, copy_function=os.link)
            what = _edit(copy, outside, rng)
            before = _listing(outside)
            seen.clear()
            problem = _use(copy, image, "model" in what.split(":")[0].split("/"))
            tally.tried += 1
            tally.hit += 1
            found = [problem] if problem else []
            found += [f"opened {path}" for path in seen]
            found += ["wrote outside"] if _listing(outside) != before else []
            tally.wrong += [f"edit {number}, {what}: {one}" for one in found]
            shutil.rmtree(place / "runs")
    shutil.rmtree(place)
    return tally


def edit_watched(count: int, run: Path, image: Path) -> Tally:
    """``edit_all`` in a process whose system calls are watched."""
    log = run.with_name("trace")
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={TRACED}", "-o", str(log)]
    words = [sys.executable, "-m", "tests.torture.edits", str(count), str(run), str(image)]
    done = subprocess.run([*strace, *words], capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    tally = Tally(tried=count, hit=count if done.returncode in (0, 1) else 0)
    tally.wrong += done.stdout.split("\n")[:-1] if done.returncode == 1 else []
    tally.wrong += [] if done.returncode in (0, 1) else [done.stderr[-2000:]]
    for line in log.read_text("utf-8", "replace").splitlines():
        if "symlink(" in line:  # what it leads to is an edit of ours
            line = line.partition(",")[2]
        if "OUTSIDE/" in line and "rmdir" not in line and "secret" in line and "O_CREAT" not in line:
            tally.wrong += [line] if "unlink" not in line else []
        if "connect(" in line and "AF_INET" in line:
            tally.wrong.append(line)
    return tally


def _use(run: Path, image: Path, model: bool) -> str:
    """What commands do with a run, or with its models if one of them was edited; empty, or what went wrong."""

    def expire(*_: object) -> None:
        raise TimeoutError(f"not done after {SECONDS} s")

    runs = [run / name for name in ("svm", "finetune")] if model else [run]
    uses = [lambda run=run: _predict(run, image) for run in runs] if model else [lambda: _report(run)]
    uses += [lambda: _recommend(run), lambda: open_runs(run, torch.device("cpu"))][: 2 - len(uses) + model]
    previous = signal.signal(signal.SIGALRM, expire)
    start = time.monotonic()
    try:
        for use in uses:
            signal.alarm(SECONDS)
            try:
                use()
            except TopworkError as error:
                if not str(error).strip() or len(str(error)) > 2000:
                    return f"no plain message: {error}"
            except TimeoutError as error:
                return str(error)
            except OSError as error:  # the command line prints one line
                if not error.filename:
                    return f"{type(error).__name__}: {error}"
            except Exception as error:
                return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return "" if time.monotonic() - start < SECONDS else "slow"


def _report(run: Path) -> None:
    info = read_run_info(run)
    write_report(run)
    result = topwork.Comparison(run) if info.kind == "comparison" else topwork.Run(run)
    str(result.metrics), result.history, result._repr_html_()


def _recommend(run: Path) -> None:
    locate_training_data(locate_bundle(run))
    read_run_images(run)


def _predict(run: Path, image: Path) -> None:
    location = locate_bundle(run)
    data = locate_training_data(location)
    if data:
        data.sample("test", 3)
    model = topwork.load(run, workers=0, engine="torch", device="cpu")
    list(topwork.predict(model, image, neighbours=1))


def _edit(run: Path, outside: Path, rng: random.Random) -> str:
    """Change something in a run; what it was."""
    folders = [run, *sorted(path for path in run.iterdir() if (path / "run.json").is_file())]
    folder = rng.choice(folders)
    files = {path.name: path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in EDITORS}
    path = files[rng.choice([name for name in files if files[name].parent.name != "tables"])]
    how = rng.random()
    if how < 0.12:
        return f"{path.relative_to(run)}: {_replace(path, outside, rng)}"
    if how < 0.2:
        data = bytearray(path.read_bytes())
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        changed, what = bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.3 else data), "bytes"
    else:
        changed, what = EDITORS[path.suffix](path.read_bytes(), outside, rng)
        for _ in range(rng.choice([0, 0, 1, 3])):
            with contextlib.suppress(ValueError, LookupError, csv.Error):
                changed, more = EDITORS[path.suffix](changed, outside, rng)
                what = f"{what}; {more}"
    path.unlink()
    path.write_bytes(changed)
    if path.parent.name == "model" and rng.random() < 0.9:
        _sign(path.parent)
    return f"{path.relative_to(run)}: {what}"


def _replace(path: Path, outside: Path, rng: random.Random) -> str:
    """Put something else in the place of a file, or of the folder that it is in."""
    kind = rng.choice(["fifo", "link", "folder", "nothing", "folder link", "link to a device"])
    if kind == "folder link":
        path = path.parent if path.parent.name in ("tables", "thumbnails", "model", "svm", "finetune") else path
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        path.symlink_to(outside)
        return kind
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(outside / "secret")
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    return kind


def _edit_json(data: bytes, outside: Path, rng: random.Random) -> tuple[bytes, str]:
    tree = json.loads(data)
    spots = list(_spots(tree))
    if not spots or rng.random() < 0.03:
        value = _value(outside, rng)
        return _dump(value), f"all of it = {value!r}"
    holder, key = rng.choice(spots)
    if rng.random() < 0.2:
        del holder[key]
        return _dump(tree), f"without {key!r}"
    value = _value(outside, rng)
    if rng.random() < 0.2 and isinstance(holder, dict):
        holder["more"] = value
        return _dump(tree), f"more = {value!r}"
    old = holder[key]
    holder[key] = -old if rng.random() < 0.2 and isinstance(old, int | float) else value
    return _dump(tree), f"{key!r} = {str(holder[key])[:60]!r}"


def _value(outside: Path, rng: random.Random) -> Any:
    value = rng.choice(VALUES)
    return value.replace("OUTSIDE", str(outside)) if isinstance(value, str) and ".." not in value else value


def _dump(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


def _spots(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _spots(tree[key])


def _edit_lines(data: bytes, outside: Path, rng: random.Random) -> tuple[bytes, str]:
    """A line of JSON Lines or TOML is edited, repeated or removed."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    number = rng.randrange(len(lines))
    word = rng.choice(CELLS).replace("OUTSIDE", str(outside))
    change = rng.choice(["remove", "repeat", "word", "value", "value"])
    if change == "remove":
        del lines[number]
    elif change == "repeat":
        lines.insert(number, lines[number])
    elif change == "word":
        lines[number] = word
    else:
        name, sign, _ = lines[number].partition("=")
        lines[number] = f"{name}{sign} {rng.choice(['-1', '1e999', '[]', json.dumps(word), '{}', '0'])}"
    return "\n".join(lines).encode("utf-8", "surrogateescape"), f"line {number}, {change}"


def _edit_csv(data: bytes, outside: Path, rng: random.Random) -> tuple[bytes, str]:
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    if not rows:
        return b"x,y\n1\n", "one short row"
    row = rng.choice(rows[:1] if rng.random() < 0.2 else rows)
    word = rng.choice(CELLS).replace("OUTSIDE", str(outside))
    change = rng.choice(["cell", "cell", "cell", "remove cell", "add cell", "remove row", "repeat row", "swap"])
    if change == "cell" and row:
        row[rng.randrange(len(row))] = word
    elif change == "remove cell" and row:
        del row[rng.randrange(len(row))]
    elif change == "add cell":
        row.append(word)
    elif change == "remove row":
        rows.remove(row)
    elif change == "repeat row":
        rows.append(row)
    else:
        rows.reverse()
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n", escapechar="\\").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape"), f"{change} {word[:40]!r}"


def _edit_tensors(data: bytes, outside: Path, rng: random.Random) -> tuple[bytes, str]:
    """The header of a safetensors file is edited, or some of its numbers."""
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    if rng.random() < 0.4:
        start = rng.randrange(max(1, len(rest) - 8))
        rest[start : start + 8] = rng.choice(
            [b"\xff" * 8, b"\x00\x00\x80\x7f" * 2, b"\x00" * 8, b"\xff\xff\x7f\x7f" * 2]
        )
        return data[: 8 + size] + bytes(rest), "numbers"
    name = rng.choice([name for name in header if name != "__metadata__"])
    change = rng.choice(["dtype", "shape", "name", "remove", "offsets"])
    if change == "dtype":
        header[name]["dtype"] = rng.choice(["F64", "F32", "I64", "F16", "BOOL", "I32", "nonsense"])
    elif change == "shape":
        header[name]["shape"] = rng.choice(
            [[], [1], [10**12], header[name]["shape"][::-1], [*header[name]["shape"], 1]]
        )
    elif change == "name":
        header[rng.choice(["x", "head.x", "backbone.x", "head.weight"])] = header.pop(name)
    elif change == "remove":
        del header[name]
    else:
        header[name]["data_offsets"] = [0, rng.choice([0, 1, 10**15])]
    head = json.dumps(header).encode()
    return len(head).to_bytes(8, "little") + head + bytes(rest), f"{change} of {name}"


EDITORS = {
    ".json": _edit_json, ".jsonl": _edit_lines, ".toml": _edit_lines, ".csv": _edit_csv,
    ".safetensors": _edit_tensors,
}  # fmt: skip


def _sign(folder: Path) -> None:
    """Write a manifest that is right for the files of a bundle."""
    names = [path for path in folder.iterdir() if path.name != storage.MANIFEST and path.is_file()]
    sums = {path.name: {"bytes": path.stat().st_size, "sha256": storage.sha256_file(path)} for path in names}
    manifest = {"format": storage.FORMAT, "files": sums}
    (folder / storage.MANIFEST).unlink(missing_ok=True)
    (folder / storage.MANIFEST).write_text(json.dumps(manifest | {"sha256": storage.sha256_json(manifest)}))


_WATCHED: list[tuple[str, list[str]]] = []


def _audit(event: str, given: tuple[Any, ...]) -> None:
    for outside, seen in _WATCHED:
        if event == "open" and str(given[0]).startswith(outside):
            seen.append(str(given[0]))
        elif event in ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system"):
            seen.append(f"{event} {given[1:2]}")


@contextlib.contextmanager
def _recorded(seen: list[str], outside: Path) -> Iterator[None]:
    """What Python opens in a folder, and every connection and process."""
    if not hasattr(_recorded, "hooked"):
        sys.addaudithook(_audit)
        _recorded.hooked = True
    _WATCHED.append((str(outside), seen))
    yield
    _WATCHED.pop()


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_mtime_ns) for path in [folder, *folder.rglob("*")])


def make_run(photos: Path, folder: Path) -> Path:
    """A small comparison of four strategies."""
    torch.manual_seed(0)
    weights = folder.with_name("random.safetensors")
    safetensors.torch.save_file(timm.create_model("test_efficientnet", num_classes=0).state_dict(), weights)
    sets = ("finetune.epochs=1", "finetune.batch_size=8")
    strategies = ["svm", "finetune"]
    done = topwork.compare(
        str(photos), out=folder, strategies=strategies, img_size=32, sets=sets, model="test_efficientnet",
        weights=str(weights), learning_curve=["none"], workers=0, threads=1, quiet=True,
    )  # fmt: skip
    return done.path


if __name__ == "__main__":
    tally = edit_all(range(int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
    print("\n".join(tally.wrong))
    sys.exit(bool(tally.wrong))
