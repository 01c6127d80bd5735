"""What must hold of a folder after whatever happened to its writer."""

from __future__ import annotations

from pathlib import Path

from tests.torture.writer import body, shard_name
from topwork.core import storage
from topwork.core.checkpoint_files import CheckpointFiles
from topwork.core.errors import CorruptFile


def faults(root: Path, output: str) -> list[str]:
    """What is wrong: a state that cannot be read, or one that was reported as saved and is lost; and it must go on.

    Args:
        root: The writer's folder; a state is added to it.
        said: The writer's standard output.
    """
    lines = [line.split() for line in output.splitlines() if line.count(" ") == 2]
    saved = [(what, int(step)) for word, what, step in lines if word == "saved"]
    found = [wrong for folder in _folders(root) if (wrong := _unreadable(folder))]
    newest = max([step for what, step in saved if what == "last"], default=0)
    damage: list[str] = []
    states = (
        list(CheckpointFiles(root / "checkpoints", damage.append).load()) if (root / "checkpoints").is_dir() else []
    )
    steps = [int(state.files["state"][:9]) for state in states]
    found += damage
    if newest and (not steps or steps[0] < newest):
        found.append(f"last {newest} was reported as saved, but the newest is {steps[:1]}")
    found += [f"state {step} is not what was written" for step, state in zip(steps, states, strict=True)
              if state.files["state"] != body(step)]  # fmt: skip
    for what, step in saved:
        if what == "shard" and not _is(root / "cache" / shard_name(step), body(step)):
            found.append(f"shard {step} was reported as saved and is lost")
    for path in (root / "cache").glob("*.safetensors"):
        if storage.sha256_file(path) != path.stem:
            found.append(f"{path.name} is not what its name says")
    return found + _goes_on(root, max([newest, *steps]))


def _folders(root: Path) -> list[Path]:
    return [path for path in [*(root / "checkpoints").glob("*-*"), root / "model"]
            if path.is_dir() and not storage.is_temporary(path)]  # fmt: skip


def _unreadable(folder: Path) -> str:
    try:
        storage.read_folder(folder)
    except CorruptFile as error:
        return f"{folder.name}: {str(error).split('/')[-1]}"
    return ""


def _is(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data


def _goes_on(root: Path, step: int) -> list[str]:
    store = CheckpointFiles(root / "checkpoints", lambda line: None)
    store.save(step + 1, {"state": body(step + 1)}, step + 1, {"weights": b"x"})
    state = next(store.load(), None)
    return [] if state and state.files.get("state") == body(step + 1) else ["it does not resume"]
