"""Checkpoints of a training: everything that it needs to go on, as tensors and JSON, in durable generations.

Of several processes rank 0 has the folder: the others get from it what they need.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch

from topwork.distributed import from_main
from topwork.errors import ChangedSettings
from topwork.generations import Generations
from topwork.training.state import Position, Tensors
from topwork.world import world


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
        shared: Whether all processes train together; if not, only rank 0 calls it.
    """

    def __init__(self, folder: Path, plan: dict[str, Any], say: Callable[[str], None], shared: bool = False) -> None:
        self._shared = shared
        self._folder, self._plan = folder, json.loads(json.dumps(plan))
        self._generations = Generations(folder, say) if world().main else None

    def save(self, tensors: Tensors, position: Position, best: Tensors, best_step: int) -> None:
        """Write a checkpoint durably, then remove what it makes superfluous; processes but rank 0 do nothing.

        Raises:
            StorageError: It could not be written; all earlier checkpoints are still there.
        """
        if self._generations is None:
            return
        state = {"plan": self._plan, "position": position.to_json()}
        files = {
            "state.safetensors": safetensors.torch.save(tensors),
            "state.json": json.dumps(state, indent=1).encode(),
        }
        best_files = {"weights.safetensors": safetensors.torch.save(best)} if best else {}
        self._generations.save(position.step, files, best_step, best_files)

    def load(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None if there is none.

        Raises:
            ChangedSettings: It belongs to a training with another plan; the message names each difference.
        """
        files = from_main(self._newest) if self._shared else self._newest()
        if not files:
            return None
        state = json.loads(files["state.json"])
        self._check_plan(state["plan"])
        return Checkpoint(
            safetensors.torch.load(files["state.safetensors"]),
            Position.from_json(state["position"]),
            safetensors.torch.load(files["weights.safetensors"]) if "weights.safetensors" in files else {},
        )

    def _newest(self) -> dict[str, bytes]:
        assert self._generations is not None
        files, best = next(self._generations.load(), ({}, {}))
        return files | best

    def _check_plan(self, old: dict[str, Any]) -> None:
        changed = [
            f"{k}: {old.get(k)!r} -> {value!r}"
            for k, value in self._plan.items()
            if old.get(k) != value and not (k == "epochs" and value > old.get(k, value))
        ]
        if changed:
            raise ChangedSettings(
                f"The training in {self._folder} was started otherwise ({'; '.join(changed)}). Use the "
                "same settings, or --overwrite to start anew."
            )
