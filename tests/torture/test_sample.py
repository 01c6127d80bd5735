"""A sample of the torture; ``make torture`` runs all of it. A planted fault must show in each part."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.torture import calls, commands, disk, edits, flips, folders, hostile, mutants, requests, trainings

needs_strace = pytest.mark.skipif(not calls.is_possible(), reason="strace is not installed or may not trace")
needs_disks = pytest.mark.skipif(not disk.is_possible(), reason="needs root, mount and mkfs.ext4")


@pytest.fixture(scope="module")
def network(tiny_network: dict[str, Any]) -> list[str]:
    """The options that name a network of a few layers."""
    return [word for name, value in tiny_network.items() for word in (f"--{name}", value)]


@needs_strace
def test_kill_9_at_system_calls() -> None:
    chosen = random.Random(0).sample(calls.points(3), 20)
    tally = calls.kill_at(chosen, 3)
    assert tally.hit > 17
    assert tally.wrong == []


@needs_strace
@pytest.mark.parametrize("fault", ["in-place", "prune-first"])
def test_a_wrong_writer_is_noticed_by_kills(fault: str) -> None:
    assert calls.kill_at(calls.points(3)[200::60], 3, fault).wrong


@needs_strace
def test_errors_at_system_calls() -> None:
    chosen = random.Random(0).sample(calls.points(3, calls.FILE_CALLS), 5)
    tally = calls.refuse_at(chosen, 3)
    assert tally.hit > 20
    assert tally.wrong == []


@needs_disks
def test_disks_that_fill_up() -> None:
    tally = disk.fill(range(4096, 4096 * 60, 4096 * 12), 4)
    assert tally.hit == tally.tried
    assert tally.wrong == []


@needs_disks
def test_power_that_goes() -> None:
    rng = random.Random(0)
    tally = disk.cut_power(range(8), 3, [rng.uniform(0, 0.02) for _ in range(8)])
    assert tally.wrong == []
    assert tally.hit > 5


@needs_disks
@pytest.mark.parametrize("fault", ["no-fsync", "no-folder-fsync"])
def test_a_wrong_writer_is_noticed_by_power_cuts(fault: str) -> None:
    assert disk.cut_power(range(2, 9, 2), 6, fault=fault).wrong


def test_damage_at_every_byte() -> None:
    for tally in (flips.checkpoint(8), flips.cache_shard(1)):
        assert tally.hit > 300
        assert tally.wrong == []


def test_mutated_images() -> None:
    tally = mutants.inspect([0], 60)
    assert tally.hit == tally.tried == 60
    assert tally.wrong == []


@pytest.mark.filterwarnings("ignore")
def test_hostile_files() -> None:
    tally = hostile.try_all(8)
    assert tally.hit == 8
    assert tally.wrong == []


@pytest.fixture(scope="module")
def edited(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to edit."""
    return edits.make_run(photos, tmp_path_factory.mktemp("edited") / "run")


@pytest.mark.filterwarnings("ignore")
def test_edits_of_a_strangers_run(edited: Path, photos: Path) -> None:
    tally = edits.edit_all(range(40), edited, next(photos.rglob("*.png")))
    assert tally.hit == 40
    assert tally.wrong == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("fault", "number"), [("schema", 5)])
def test_a_reader_that_trusts_is_noticed(edited: Path, photos: Path, fault: str, number: int) -> None:
    assert edits.edit_all(range(number, number + 1), edited, next(photos.rglob("*.png")), fault).wrong


@needs_strace
def test_requests_to_a_server(photos: Path, tmp_path: Path) -> None:
    tally = requests.torment(photos, tmp_path, 60, watched=True)
    assert tally.hit > 45
    assert tally.wrong == []


def test_every_printed_command_works(tmp_path: Path) -> None:
    tally = commands.walk(tmp_path, '-it\'s "mine"', "table", train=False)
    assert tally.wrong == []
    assert tally.hit == tally.tried > 5


def test_trainings_killed_at_random(photos: Path, tmp_path: Path, network: list[str]) -> None:
    tally = trainings.kill_at_random(photos, tmp_path, 1, 2, variants=("mixed",), epochs=2, options=network)
    assert tally.wrong == []


def test_trainings_stopped_after_single_steps(photos: Path, tmp_path: Path, tiny_network: dict[str, Any]) -> None:
    tally = trainings.stop_at_every_step(photos, tmp_path, ["thawed statistics"], [0], epochs=1, **tiny_network)
    assert tally.hit == tally.tried > 1
    assert tally.wrong == []


def test_two_processes_on_one_folder(photos: Path, tmp_path: Path, network: list[str]) -> None:
    tally = folders.collide(photos, tmp_path, 1, options=network)
    assert tally.wrong == []


def test_resumes_after_changes_to_the_data(photos: Path, tmp_path: Path) -> None:
    tally = folders.change(photos, tmp_path, [2], ("two labels", "another order"), epochs=1)
    assert tally.hit == tally.tried == 2
    assert tally.wrong == []
