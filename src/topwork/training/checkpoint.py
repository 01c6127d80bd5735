"""Checkpoints of a training: ``last-<step>`` goes on from there, ``best-<step>`` holds the weights of the best epoch.

Each is a folder with its own SHA-256 manifest that appears whole or not at all (see ``storage``). Two ``last`` are
kept, and the ``best`` that they refer to; older ones are removed only after the new one is durable.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from topwork import storage
from topwork.errors import ChangedSettings, DamagedFile
from topwork.training.state import Position, Tensors

KEEP = 2


@dataclass(frozen=True)
class Checkpoint:
    """What a resume gets: the tensors, the position, and the weights of the best epoch so far."""

    tensors: Tensors
    position: Position
    best: Tensors


class CheckpointStore:
    """The checkpoints in one folder.

    Args:
        folder: ``RUN/checkpoints``.
        plan: Everything that decides how the training goes on, as JSON; a resume with another plan is refused.
        say: Where damage is reported to.
    """

    def __init__(self, folder: Path, plan: dict[str, Any], say: Callable[[str], None]) -> None:
        self._folder, self._plan, self._say = folder, json.loads(json.dumps(plan)), say
        storage.make_folder(folder)
        storage.sweep_temporary(folder)

    def _names(self, kind: str) -> list[Path]:
        return sorted(self._folder.glob(f"{kind}-*"))

    def save(self, tensors: Tensors, position: Position, best: Tensors, best_step: int) -> None:
        """Write a checkpoint durably, then remove what it makes superfluous.

        Raises:
            StorageError: It could not be written; all earlier checkpoints are still there.
        """
        best_path = self._folder / f"best-{best_step:09d}"
        if best and not best_path.exists():
            storage.write_folder(best_path, {"weights.safetensors": safetensors.torch.save(best)})
        state = {"plan": self._plan, "position": position.to_json(), "best": best_path.name if best else ""}
        target = self._folder / f"last-{position.step:09d}"
        if target.exists():  # left by a training that went on from an earlier, undamaged one
            shutil.rmtree(target)
        files = {
            "state.safetensors": safetensors.torch.save(tensors),
            "state.json": json.dumps(state, indent=1).encode(),
        }
        storage.write_folder(target, files)
        self._prune()

    def _prune(self) -> None:
        lasts = self._names("last")
        for path in lasts[:-KEEP]:
            shutil.rmtree(path, ignore_errors=True)
        try:
            needed = {storage.read_json(path / "state.json")["best"] for path in lasts[-KEEP:]}
        except (DamagedFile, OSError, KeyError, TypeError):  # of one before: then nothing says what is superfluous
            return
        for path in self._names("best"):
            if path.name not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None if there is none.

        Raises:
            ChangedSettings: It belongs to a training with another plan; the message names each difference.
        """
        for path in reversed(self._names("last")):
            try:
                files = storage.read_folder(path)
                state = json.loads(files["state.json"])
                best = storage.read_folder(self._folder / state["best"]) if state["best"] else {}
            except DamagedFile as error:
                self._say(f"{error} The checkpoint before it is used.")
                shutil.rmtree(path, ignore_errors=True)
                continue
            self._check_plan(state["plan"])
            return Checkpoint(
                safetensors.torch.load(files["state.safetensors"]),
                Position.from_json(state["position"]),
                safetensors.torch.load(best["weights.safetensors"]) if best else {},
            )
        return None

    def _check_plan(self, old: dict[str, Any]) -> None:
        changed = [
            f"{k}: {old.get(k)!r} -> {value!r}"
            for k, value in self._plan.items()
            if old.get(k) != value and not (k == "epochs" and value > old.get(k, value))
        ]
        if changed:
            raise ChangedSettings(
                f"The training in {self._folder} was started otherwise ({'; '.join(changed)}). Use the same settings, "
                "or --overwrite to start anew."
            )
