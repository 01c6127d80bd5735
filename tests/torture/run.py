"""All of the torture, about an hour: ``make torture``. Each part says how many points it hit; planted faults must show.

Exit status 1 if anything is wrong, or if a planted fault is not noticed.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.drawings import write_folder
from tests.torture import (
    calls,
    commands,
    devices,
    disk,
    edits,
    exports,
    families,
    flips,
    folders,
    hostile,
    layouts,
    mutants,
    requests,
    trainings,
)
from tests.torture.calls import Tally

Part = tuple[str, Callable[[], Tally], bool]


def parts(folder: Path) -> Iterator[Part]:
    """Name, what it does, and whether something must be wrong."""
    rng = random.Random(0)
    if calls.is_possible():
        everywhere, files = calls.points(10), calls.points(5, calls.FILE_CALLS)
        some = everywhere[::10]
        yield "kill -9 at every system call", lambda: calls.kill_at(everywhere, 10), False
        yield "planted: writes in place", lambda: calls.kill_at(some, 10, "in-place"), True
        yield "planted: removes before it writes", lambda: calls.kill_at(some, 10, "prune-first"), True
        yield "every errno at every call", lambda: calls.refuse_at(files, 5), False
    else:
        print("system calls: skipped, they need strace", flush=True)
    yield "a bit or a cut at every byte of a checkpoint", lambda: flips.checkpoint(2000), False
    yield "a bit or a cut at every byte of a cache shard", lambda: flips.cache_shard(32), False
    yield "20,000 mutated images", lambda: mutants.inspect(range(50), 400), False
    yield "exports of 12 families in all formats", exports.every_family, False
    yield "exports of every resize", exports.every_resize, False
    yield "large networks in the tests of small ones", families.check, False
    yield "1,000 random layouts of data sets", lambda: layouts.change(1000), False
    yield "planted: the topmost folders are the classes", lambda: layouts.change_with_a_fault(100), True
    yield "hostile model files", lambda: hostile.try_all(1000), False
    edited, image = folder / "edited", next(write_folder(folder / "photos of a stranger").rglob("*.png"))
    edits.make_run(image.parents[1], edited)
    yield "2,000 edits of a stranger's run", lambda: edits.edit_all(range(2000), edited, image), False
    if calls.is_possible():
        watched = "200 edits of a stranger's run, system calls watched"
        yield watched, lambda: edits.edit_watched(200, edited, image), False
    for fault in edits.FAULTS:
        yield f"planted: edits without {fault}", lambda f=fault: edits.edit_all(range(200), edited, image, f), True
    if disk.is_possible():
        sizes = range(4096, 4096 * 260, 4096)
        delays = [rng.uniform(0, 0.03) for _ in range(2000)]
        yield "full disk, in memory, every 4 KiB", lambda: disk.fill(sizes, 6), False
        yield "full disk, ext4", lambda: disk.fill_ext4(range(800), 12), False
        if calls.is_possible():
            yield "power cut at every system call", lambda: disk.cut_at(everywhere, 10), False
            yield "planted at every call: no fsync", lambda: disk.cut_at(some, 10, "no-fsync"), True
        yield "power cut", lambda: disk.cut_power([i % 25 for i in range(2000)], 10, delays), False
        yield "power cut, 3 s later", lambda: disk.cut_power([i % 25 for i in range(40)], 10, [3.0] * 40), False
        yield "power cut, 7 s later", lambda: disk.cut_power([i % 25 for i in range(40)], 10, [7.0] * 40), False
        yield "planted: no fsync", lambda: disk.cut_power(range(1, 20), 10, fault="no-fsync"), True
        yield "planted: no fsync of folders", lambda: disk.cut_power(range(1, 20), 10, fault="no-folder-fsync"), True
    else:
        print("disks: skipped, they need root, mount and mkfs.ext4", flush=True)
    yield "every printed command run, names with blanks, quotes and dashes", lambda: commands.walk_all(folder), False
    yield "planted: commands without options", lambda: commands.walk_all(folder, without_options=True), True
    photos = write_folder(folder / "photos")
    variants, workers = tuple(trainings.VARIANTS), (0, 1, 2)
    for watched in (False, True) if calls.is_possible() else (False,):
        name = "20,000 requests to a server" + (", its system calls watched" if watched else "")
        yield name, lambda watched=watched: requests.torment(photos, folder, 20_000, watched=watched), False
    if calls.is_possible():
        yield (
            "planted: a server that opens what a request names",
            lambda: requests.torment(photos, folder, 300, 1, True, True),
            True,
        )
    yield "two processes on one folder", lambda: folders.collide(photos, folder / "pairs", 200), False
    yield "resumed after a change to the data", lambda: folders.change(photos, folder / "changes", (1, 3, 5)), False
    stop = trainings.stop_at_every_step
    yield "resumed at every step", lambda: stop(photos, folder, variants, workers), False
    yield "two devices, kill -9 of one or of the launcher", lambda: devices.kill_at_random(photos, folder, 100), False
    sharded = "two devices, the network sharded over them, kill -9 of one or of the launcher"
    yield sharded, lambda: devices.kill_at_random(photos, folder / "sharded", 100, sharded=True), False
    back = "two machines, one killed and started again"
    yield back, lambda: devices.come_back(photos, folder / "back", 3), False
    yield "whole trainings, killed at random", lambda: trainings.kill_at_random(photos, folder, 200, 6), False


def main() -> int:
    """Run every part, or those whose name contains a word given."""
    failed = False
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        for name, part, planted in parts(Path(folder)):
            if words and not any(word in name for word in words):
                continue
            start = time.monotonic()
            tally = part()
            bad = bool(tally.wrong) != planted or not tally.hit
            failed |= bad
            print(f"{'FAILED' if bad else 'ok':7}{name}: {tally}; {time.monotonic() - start:.0f} s", flush=True)
            for line in [] if planted else tally.wrong[:10]:
                print(f"       {line}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
