"""Durable files and folders, and hashes. Imports no torch.

The order of every write is: temporary name beside the target, write, flush, fsync, rename, fsync of the parent.
A visible name is therefore always a complete file. A folder gets a ``manifest.json`` with the SHA-256 of
each of its files, written last, and becomes visible by one rename.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import shutil
import stat
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from topwork.core.errors import CorruptFile, StorageError

MANIFEST = "manifest.json"
FORMAT = 2  # of manifests
_TEMPORARY = ".tmp-"
MAX_TEXT = 1 << 30  # bytes of a JSON or CSV file that is read
RESERVED_BYTES = 1 << 20  # bytes that a save leaves free, for the small files that follow it


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, read in blocks of 1 MiB."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a JSON value in its canonical form (sorted keys, no spaces)."""
    return sha256_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def _fsync_folder(path: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder for fsync; its rename is journalled
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Create a folder and those above it so that a power cut cannot take them away again."""
    missing = [folder for folder in [path, *path.parents] if not folder.is_dir()]
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        _fsync_folder(folder.parent)


def create_folder(path: Path) -> bool:
    """``make_folder`` of a folder that this process alone creates; whether it did not exist."""
    with wrap_os_errors(path):
        make_folder(path.parent)
        try:
            path.mkdir()
        except FileExistsError:
            return False
        _fsync_folder(path.parent)
        return True


def _check_space(path: Path, needed: int) -> None:
    """Refuse a save that cannot fit before it fills the disk for everybody."""
    if (free := _free_bytes(path)) is not None and free < needed + RESERVED_BYTES:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:.1f} MB are needed")


def _write_durably(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if path.read_bytes() != data:
        raise OSError(errno.EIO, f"{path.name} was read back different from what was written")


def _fsync_and_hash(path: Path) -> dict[str, Any]:
    """The manifest's entry for a file that others have written."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "sha256": sha256_file(path)}


@contextlib.contextmanager
def wrap_os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of a write into a StorageError that names the file, the reason and a way out."""
    try:
        yield
    except OSError as error:
        free = _free_bytes(path)
        space = f" ({free / 1e6:.0f} MB free)" if free is not None else ""
        reason = os.strerror(error.errno) if error.errno else str(error)
        detail = f"; {error.strerror}" if error.strerror and error.strerror != reason else ""
        raise StorageError(
            f"Cannot write {path}: {reason}{detail}{space}. Free space or choose another --out."
        ) from error


def _free_bytes(path: Path) -> int | None:
    for folder in [path, *path.parents]:
        if folder.is_dir():
            return shutil.disk_usage(folder).free
    return None


def write_bytes(path: Path, data: bytes) -> None:
    """Replace a file by new content so that a reader sees the old or the new content, never a part.

    Raises:
        StorageError: The folder cannot be written or is full; the old content is still there.
    """
    temporary = path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
    with wrap_os_errors(path):
        make_folder(path.parent)
        try:
            _write_durably(temporary, data)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _fsync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8 text with Unix line ends; a name that is not Unicode keeps its bytes."""
    write_bytes(path, text.encode("utf-8", "surrogateescape"))


def write_json(path: Path, value: Any) -> None:
    """``write_text`` of an indented JSON value. NaN and infinities are refused: they are not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_regular(path: Path, max_bytes: int = MAX_TEXT) -> bytes:
    """The content of a file that somebody else may have made: a pipe would block, and a device may be endless.

    Raises:
        CorruptFile: It is not a regular file, or has more than ``max_bytes``.
        OSError: It cannot be read.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise CorruptFile(f"{path} is not a regular file. Restore it or remove its folder.")
    if status.st_size > max_bytes:
        raise CorruptFile(f"{path} has {status.st_size:,} bytes, expected at most {max_bytes:,}. Restore it.")
    return path.read_bytes()


def read_text(path: Path) -> str:
    """``read_regular`` as UTF-8 text; bytes that are not Unicode are kept as surrogates."""
    return read_regular(path).decode("utf-8", "surrogateescape")


def parse_json(text: str, path: Path) -> Any:
    """The value of a JSON text of a file; a CorruptFile error if it is not JSON, or no file could hold it again."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        if "\\u" in text:  # an escape can be half a character, which is in no encoding
            json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")
        return value
    except (ValueError, RecursionError) as error:
        raise CorruptFile(f"{path} is not valid JSON ({error}). Restore it or remove its folder.") from error


def _finite(text: str) -> float:
    value = float(text)
    return value if abs(value) < float("inf") else _refuse_constant(text)


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no finite number")


def read_json(path: Path, schema: str = "") -> Any:
    """The value of a JSON file.

    Args:
        path: The file.
        schema: Name of the class of ``core.schemas`` that it must have the form of; empty for any JSON.

    Raises:
        CorruptFile: It is not JSON of this form.
    """
    value = parse_json(read_text(path), path)
    if schema:
        check_schema(value, schema, path)
    return value


def check_schema(value: Any, schema: str, path: Path) -> None:
    """Refuse a value of a file that does not have the form of a class of ``core.schemas``; a CorruptFile error."""
    from topwork.core import schemas  # pydantic, which decoder processes do without

    schemas.check(value, getattr(schemas, schema), path)


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """``write_text`` of a CSV table with one header line."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def read_csv(path: Path, columns: Iterable[str] = ()) -> list[dict[str, str]]:
    """The rows of a CSV file as dicts by column name.

    Raises:
        CorruptFile: It is no CSV, a row has not as many cells as the first, or one of ``columns`` is missing.
    """
    header, *rows = read_rows(path) or [[]]
    if missing := [name for name in columns if name not in header]:
        raise CorruptFile(f"{path} has no column {missing[0]!r}. Restore it or train again.")
    return [dict(zip(header, row, strict=True)) for row in rows]


def read_rows(path: Path) -> list[list[str]]:
    """The header and the rows of a CSV file, all of one length; see ``read_csv``."""
    try:
        rows = [row for row in csv.reader(io.StringIO(read_text(path), newline="")) if row]
    except csv.Error as error:
        raise CorruptFile(f"{path} is not a CSV table ({error}). Restore it or train again.") from error
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise CorruptFile(f"{path}, row {number}: {len(row)} cells, expected {len(rows[0])}. Restore it.")
    return rows


def create_staging_folder(parent: Path, needed: int) -> Path:
    """Create a temporary folder in ``parent`` for files that others write; ``write_folder`` then finishes it.

    Args:
        parent: Folder of the target of ``write_folder``.
        needed: Bytes that the files will have.

    Raises:
        StorageError: No space, not writable.
    """
    staged = parent / f"{_TEMPORARY}{uuid.uuid4().hex}"
    with wrap_os_errors(parent):
        _check_space(parent, needed)
        make_folder(parent)
        staged.mkdir()
    return staged


def write_folder(target: Path, files: Mapping[str, bytes], staged: Path | None = None) -> None:
    """Write a folder of files that appears complete or not at all.

    Args:
        target: The new folder. It must not exist yet.
        files: Name to content. A ``manifest.json`` with size and SHA-256 of each is added and written last.
        staged: From ``create_staging_folder``, beside the target: a folder with more of the files. It is renamed.

    Raises:
        StorageError: No space, not writable; nothing is left behind.
    """
    temporary = staged or target.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}")
    with wrap_os_errors(target):
        try:
            _check_space(target, sum(map(len, files.values())))
            make_folder(target.parent)
            temporary.mkdir(exist_ok=staged is not None)
            sums = {path.name: _fsync_and_hash(path) for path in sorted(temporary.iterdir())}
            for name, data in files.items():
                _write_durably(temporary / name, data)
                sums[name] = {"bytes": len(data), "sha256": sha256_bytes(data)}
            manifest = {"format": FORMAT, "files": sums}
            complete = manifest | {"sha256": sha256_json(manifest)}
            _write_durably(temporary / MANIFEST, json.dumps(complete, indent=1).encode())
            _fsync_folder(temporary)
            os.rename(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _fsync_folder(target.parent)


def replace_file(target: Path, name: str, data: bytes) -> None:
    """Replace one file of a folder made by ``write_folder``, and its line in the manifest.

    Interrupted between the two, the folder is corrupt until the same call is repeated.

    Raises:
        CorruptFile: The folder has no manifest, or it has changed.
        StorageError: No space, not writable.
    """
    sums = _read_manifest(target) | {name: {"bytes": len(data), "sha256": sha256_bytes(data)}}
    manifest = {"format": FORMAT, "files": sums}
    write_bytes(target / name, data)
    write_bytes(target / MANIFEST, json.dumps(manifest | {"sha256": sha256_json(manifest)}, indent=1).encode())


def read_folder(target: Path, names: Iterable[str] | None = None, large: str = "") -> dict[str, bytes]:
    """The files of a folder written by ``write_folder``, each checked against its SHA-256.

    Args:
        target: The folder.
        names: Only these; None for all.
        large: Prefix of the names of files that are checked block by block and not returned; empty for none.

    Raises:
        CorruptFile: A file is missing, truncated or changed, the manifest too; the message names it.
    """
    files: dict[str, bytes] = {}
    manifest = _read_manifest(target)
    for name in manifest if names is None else names:
        path = target / name
        if name not in manifest:
            raise CorruptFile(f"{target / MANIFEST} does not list {name}. Restore the folder from its source.")
        try:
            if large and name.startswith(large):
                found = sha256_file(path)
            else:
                files[name] = read_regular(path, sys.maxsize)
                found = sha256_bytes(files[name])
        except OSError as error:
            raise CorruptFile(f"{path} cannot be read: {error.strerror}.") from error
        if found != manifest[name]["sha256"]:
            raise CorruptFile(f"{path} is damaged: its SHA-256 is not the recorded one.")
    return files


def _read_manifest(target: Path) -> dict[str, dict[str, Any]]:
    """The files that a folder must have; the manifest's own SHA-256 says whether it is what was written."""
    path = target / MANIFEST
    try:
        manifest = parse_json(read_text(path), path)
    except FileNotFoundError as error:
        raise CorruptFile(f"{target} has no {MANIFEST}: it was never finished.") from error
    except OSError as error:
        raise CorruptFile(f"{path} cannot be read: {error.strerror}.") from error
    recorded = manifest.pop("sha256", "") if isinstance(manifest, dict) else ""
    if recorded != sha256_json(manifest):
        raise CorruptFile(f"{path} is damaged: its SHA-256 is not the recorded one.")
    files = manifest.get("files")
    if not isinstance(files, dict) or any(not isinstance(one, dict) or "sha256" not in one for one in files.values()):
        raise CorruptFile(f"{path} is damaged: it lists no files.")
    if any(Path(name).name != name or name in {".", ".."} or "\0" in name for name in files):
        raise CorruptFile(f"{path} names a file outside of its folder.")
    return files


def hide(path: Path) -> Path:
    """Give a file or folder a temporary name, so that no part of it is ever visible while it is removed."""
    return path.rename(path.with_name(f"{_TEMPORARY}{uuid.uuid4().hex}"))


def remove_folder(target: Path) -> None:
    """Hide a folder and remove it as far as possible."""
    with contextlib.suppress(OSError):
        shutil.rmtree(hide(target), ignore_errors=True)


def is_temporary(path: Path) -> bool:
    """Whether this is a leftover of an unfinished write."""
    return path.name.startswith(_TEMPORARY)


def sweep_temporary(folder: Path) -> None:
    """Remove the leftovers of killed writes in a folder; call it only under the folder's lock."""
    for entry in folder.glob(f"{_TEMPORARY}*"):
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
