"""Checkpoints of a training: everything that a resume needs, as tensors and JSON, in durable files.

With several processes only rank 0 reads and writes the folder, and sends the others what they need.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch

from topwork.compute.collectives import all_reduce_max, broadcast, broadcast_from_main, receive_broadcast
from topwork.compute.ranks import world
from topwork.core import storage
from topwork.core.checkpoint_files import CheckpointFiles, Files
from topwork.core.errors import DataError, SettingsChanged, StorageError
from topwork.core.strategy_config import ImageTrainingConfig, TrainingConfig
from topwork.training.context import RunContext
from topwork.training.state import Allocate, Tensors, TrainState

STATE, TENSORS, KEPT = "state.json", "state.safetensors", "weights.safetensors"
FORMAT = 2  # of state.json; 1 had no number
FOLDER = "folder"  # sent to the other processes in place of its large files
Checkpoint = tuple[Tensors, TrainState, Tensors]  # the last are the weights of the kept epoch


class CheckpointStore:
    """The checkpoints in one folder.

    Args:
        folder: ``RUN/checkpoints``.
        plan: Everything that decides how the training continues, as JSON; a resume with another is refused.
        log: Receives a line for each corrupt checkpoint.
        shared: Whether all processes train together; if not, only rank 0 calls it.
    """

    def __init__(self, folder: Path, plan: dict[str, Any], log: Callable[[str], None], shared: bool = False) -> None:
        self._folder, self._shared, self._plan = folder, shared, json.loads(json.dumps(plan))
        self._files = CheckpointFiles(folder, log) if world().is_main else None

    def save(self, tensors: Tensors, train_state: TrainState, kept: Tensors, kept_step: int) -> None:
        """Write a checkpoint durably in rank 0, then remove those it supersedes; all are kept if it fails."""
        if self._files:
            self._write({TENSORS: _bytes(tensors)}, train_state, kept, kept_step)

    def _write(
        self, files: Files, train_state: TrainState, kept: Tensors, kept_step: int, staged: Path | None = None
    ) -> None:
        assert self._files
        state = {"format": FORMAT, "plan": self._plan, "position": asdict(train_state)}
        files |= {STATE: json.dumps(state, indent=1).encode()}
        self._files.save(train_state.step, files, kept_step, {KEPT: _bytes(kept)} if kept else {}, staged)

    def load(self, empty_tensor: Allocate) -> Checkpoint | None:
        """The newest intact checkpoint, or None.

        Args:
            empty_tensor: Allocates the (sharded) tensor for a name, full shape and dtype.

        Raises:
            SettingsChanged: It belongs to a training with different settings; the message names each difference.
            DataError: It was saved by another version of topwork.
        """
        files = broadcast_from_main(self._newest) if self._shared else self._newest()
        if not files:
            return None
        kept = safetensors.torch.load(files[KEPT]) if KEPT in files else {}
        return safetensors.torch.load(files[TENSORS]), self._train_state(files), kept

    def _newest(self) -> Files:
        assert self._files
        state = next(self._files.load(), None)
        if state is None:
            return {}
        files = state.files | state.best
        if TENSORS not in files:
            from topwork.training import sharded_checkpoint

            files[TENSORS] = safetensors.torch.save(sharded_checkpoint.read_full(state.folder))
        return files

    def _train_state(self, files: Files) -> TrainState:
        state = json.loads(files[STATE])
        found = state.get("format", 1)
        if found != FORMAT:
            raise DataError(
                f"The training in {self._folder} was saved by {'a newer' if found > FORMAT else 'an older'} topwork "
                f"(format {found}, not {FORMAT}). Continue with that version, or use --overwrite to start again."
            )
        old = state["plan"]
        changed = [
            f"{k}: {old.get(k)!r} -> {value!r}"
            for k, value in self._plan.items()
            if old.get(k) != value and not (k == "epochs" and value > old.get(k, value))
        ]
        if changed:
            raise SettingsChanged(
                f"The training in {self._folder} was started with different settings ({'; '.join(changed)}). "
                "Use the same settings, or --overwrite to start again."
            )
        position = TrainState.from_json(state["position"])
        if position.stopped_early and old.get("epochs") != self._plan.get("epochs"):
            position.stopped_early, position.patient_from = False, len(position.history)
        return position


class ShardedCheckpointStore(CheckpointStore):
    """Checkpoints of a sharded training: all processes call ``save`` and ``load``, for their own shards.

    Rank 0 alone has the weights of the kept epoch.
    """

    def save(self, tensors: Tensors, train_state: TrainState, kept: Tensors, kept_step: int) -> None:
        """Write a checkpoint as ``CheckpointStore.save`` does; rank 0 completes it when all have written."""
        from topwork.training import sharded_checkpoint

        staged = self._staged(sum(tensor.nbytes for tensor in tensors.values()))
        try:
            with storage.wrap_os_errors(self._folder):
                sharded_checkpoint.write(staged, tensors)
            if self._files:
                self._write({}, train_state, kept, kept_step, staged)
        except StorageError:
            if world().is_main:
                shutil.rmtree(staged, ignore_errors=True)
            raise

    def _staged(self, needed: int) -> Path:
        """A staging folder that all processes see; if there is none, a StorageError is raised in all of them."""
        failed: StorageError | None = None
        if world().is_main:
            try:
                path = storage.create_staging_folder(self._folder, needed)
            except StorageError as error:
                path, failed = self._folder / "none", error
            broadcast(str(path))
        else:
            path = Path(receive_broadcast()[0])
        if all_reduce_max(int(not path.is_dir())):
            shutil.rmtree(path, ignore_errors=True)
            raise failed or StorageError(
                f"{self._folder} is not visible to all processes. Put the run folder on a file system that the "
                "machines share (--out)."
            )
        return path

    def load(self, empty_tensor: Allocate) -> Checkpoint | None:
        """The newest intact checkpoint, or None; see ``CheckpointStore.load``."""
        from topwork.training import sharded_checkpoint

        state = next(self._files.load(), None) if self._files else None
        files = broadcast_from_main(
            lambda: {STATE: state.files[STATE], FOLDER: os.fsencode(state.folder)} if state else {}
        )
        if not files:
            return None
        train_state = self._train_state(files)
        try:
            tensors = sharded_checkpoint.read(Path(os.fsdecode(files[FOLDER])), empty_tensor)
        except OSError as error:
            raise StorageError(f"A process cannot read the checkpoint in {self._folder}: {error}.") from error
        kept = safetensors.torch.load(state.best[KEPT]) if state and state.best else {}
        return tensors, train_state, kept


def open_store(context: RunContext, name: str, config: TrainingConfig, shared: bool) -> CheckpointStore:
    """The checkpoints of a strategy in its run folder; only a training with the same resolved settings resumes."""
    after_training = {"tta"} if isinstance(config, ImageTrainingConfig) else None
    plan = {
        "strategy": name,
        "seed": context.seed,
        "model": context.backbone.model,
        "weights": context.backbone.weights_hash,
        "train": len(context.splits.ids["train"]),
        **config.model_dump(mode="json", exclude=after_training),
    }
    stores = ShardedCheckpointStore if context.compute.fsdp and shared else CheckpointStore
    return stores(context.folder / "checkpoints", plan, context.progress.log, shared)


def _bytes(tensors: Tensors) -> bytes:
    return safetensors.torch.save({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
