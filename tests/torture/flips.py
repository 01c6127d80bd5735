"""Flip one bit of, or cut, a checkpoint and a cache shard at every byte: each must be noticed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.torture.calls import Tally
from topwork.core.checkpoint_files import CheckpointFiles
from topwork.features.cache import FeatureCache


def checkpoint(size: int) -> Tally:
    """A state of ``size`` bytes: a damaged one must be named, and the one before it must be used."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        store = CheckpointFiles(Path(place), lambda line: None)
        rng = np.random.default_rng(0)
        for step in (1, 2):
            store.save(step, {"state.safetensors": rng.bytes(size), "state.json": b'{"step": %d}' % step}, 1, {})
        newest = Path(place) / "last-000000002"
        for file in sorted(newest.iterdir()):
            for what, damaged in _damages(file.read_bytes()):
                whole = file.read_bytes()
                file.write_bytes(damaged)
                logged: list[str] = []
                found = [state.files["state.json"] for state in CheckpointFiles(Path(place), logged.append).load()]
                tally.tried += 1
                tally.hit += 1
                if found != [b'{"step": 1}'] or not logged:
                    tally.wrong.append(f"{file.name}, {what}: not noticed")
                file.write_bytes(whole)
    return tally


def cache_shard(rows: int) -> Tally:
    """A shard of features: a damaged one must be named and removed, and its images computed again."""
    tally = Tally()
    rng = np.random.default_rng(0)
    images, features = [rng.bytes(32) for _ in range(rows)], rng.normal(size=(rows, 4)).astype(np.float32)
    with tempfile.TemporaryDirectory() as place:
        FeatureCache(Path(place), {"key": 1}, print).add(images, features)
        (file,) = Path(place).glob("*/*.safetensors")
        whole = file.read_bytes()
        for what, damaged in _damages(whole):
            file.write_bytes(damaged)
            logged: list[str] = []
            missing = FeatureCache(Path(place), {"key": 1}, logged.append).missing(images)
            tally.tried += 1
            tally.hit += 1
            if len(missing) != rows or not logged or file.exists():
                tally.wrong.append(f"shard, {what}: not noticed")
            file.write_bytes(whole)
    return tally


def _damages(whole: bytes) -> list[tuple[str, bytes]]:
    found = []
    for i in range(len(whole)):
        changed = bytearray(whole)
        changed[i] ^= 1 << (i % 8)
        found += [(f"bit {i % 8} of byte {i} flipped", bytes(changed)), (f"cut at byte {i}", whole[:i])]
    return found
