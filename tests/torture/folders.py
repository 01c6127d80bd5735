"""Two processes on one folder at random delays, and resumes after each kind of change to the data."""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import topwork
from tests.changes import CHANGES, HARMLESS, Place, content, make
from tests.commands import Started
from tests.torture.calls import Tally
from tests.torture.trainings import QUICK, command, fingerprint, signal_after
from topwork.core.errors import Interrupted, TopworkError

REFUSALS = ("is in use by another", "is not empty", "There is nothing to resume", "is not a run")


def collide(photos: Path, place: Path, pairs: int, seed: int = 0, options: Sequence[str] = ()) -> Tally:
    """Start the same training twice; the second also with --overwrite or --resume. One of both must be refused.

    A second one that comes when the first has ended may be refused, do all again, or find it done. Whatever happens,
    the folder must hold what one training alone leaves.

    Args:
        photos: A small folder of class folders.
        place: For the runs; emptied as they pass.
        pairs: How many.
        seed: Of the delays.
        options: Of the command, such as a smaller network.
    """
    tally, rng, env = Tally(), random.Random(seed), {"TOPWORK_CACHE": str(place / "cache")}
    place.mkdir(parents=True, exist_ok=True)
    expected, seconds = "", 0.0
    for name in ("first", "second"):  # the first one also starts the server that the others are forked from
        start, alone = (
            time.monotonic(),
            Started(command(photos, place / name, "adamw", 0, 1, options), place / "one", env),
        )
        if alone.wait() != 0:
            raise RuntimeError(alone.text)
        seconds, expected = time.monotonic() - start, fingerprint(place / name)
    for number in range(pairs):
        out = place / "run"
        words = command(photos, out, "adamw", 0, 1, options)
        second = [words, [*words, "--overwrite"], ["train", "--resume", str(out)]][number % 3]
        tally.tried += 1
        one = Started(words, place / "one", env)
        time.sleep(rng.uniform(0, 1.1) * seconds)
        both = [one, Started(second, place / "two", env)]
        ended = [started.wait() for started in both]
        tally.hit += any("in use by another" in started.text for started in both)
        wrong = [started.text.strip().splitlines()[-1:] for started in both
                 if started.wait() != 0 and not any(reason in started.text for reason in REFUSALS)]  # fmt: skip
        if wrong or 0 not in ended or fingerprint(out) != expected:
            tally.wrong.append(f"pair {number} ({' '.join(second[-2:])}): {ended} {wrong}")
        shutil.rmtree(out, ignore_errors=True)
    return tally


def change(
    photos: Path, root: Path, stops: Sequence[int], changes: Sequence[str] = (*CHANGES, *HARMLESS), epochs: int = 2
) -> Tally:
    """Stop a training after a step, change something about its images, and resume it.

    What changes the result must be noticed, named and leave the run as it was; all must end as the unbroken training
    when what was noticed is restored.

    Args:
        photos: A small folder of class folders.
        root: For the runs.
        stops: Steps after which it is stopped.
        changes: Keys of ``CHANGES`` and ``HARMLESS``.
        epochs: Of each training.
    """
    tally = Tally()
    flags = {"img_size": 32, "precision": "float32", "batch_size": 8, "workers": 0, "quiet": True}
    flags |= {"strategy": "finetune", "epochs": epochs, "sets": QUICK}
    unbroken = make(photos, root / "unbroken")
    topwork.train(**unbroken.flags, **flags)
    expected = fingerprint(unbroken.run)
    shutil.rmtree(unbroken.run)
    for step, name in itertools.product(stops, changes):
        tally.tried += 1
        place = unbroken.copy(root / "place")
        try:
            with signal_after(step):
                topwork.train(**place.flags, **flags)
        except Interrupted:
            tally.hit += 1
        kept = place.copy(root / "kept")
        tally.wrong += [f"{name}, step {step}: {problem}" for problem in _resume(place, name)]
        if name in CHANGES:
            for path in place.table.parent, place.weights:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            shutil.copytree(kept.table.parent, place.table.parent)
            shutil.copy(kept.weights, place.weights)
            topwork.train(resume=place.run, quiet=True)
        if fingerprint(place.run) != expected:
            tally.wrong.append(f"{name}, step {step}: differs from the unbroken one")
        for path in place.root, kept.root:
            shutil.rmtree(path)
    return tally


def _resume(place: Place, name: str) -> list[str]:
    """Change, resume, and what is wrong with how that ends."""
    act, named = CHANGES[name] if name in CHANGES else (HARMLESS[name], "")
    before = content(place.run, "train.log")
    act(place)
    try:
        topwork.train(resume=place.run, quiet=True)
    except TopworkError as error:
        problems = [] if named else [f"refused: {error}"]
        problems += [] if named in str(error) else [f"does not name {named}: {error}"]
        return problems + (["the run was changed"] if content(place.run, "train.log") != before else [])
    return ["not noticed"] if named else []
