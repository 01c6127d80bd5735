"""Mutated images: bytes changed, cut, doubled and moved at random; no process dies in the user's sight."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.data import zoo
from tests.torture.calls import Tally
from topwork.core.image_ref import ImageRef
from topwork.data.decoder import INSPECT, Request
from topwork.data.decoder_pool import inspect_files


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to eight random changes, of the head more often than of the rest."""
    value = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if not value:
            break
        place = rng.randrange(min(len(value), 64) if rng.random() < 0.4 else len(value))
        what = rng.randrange(5)
        if what == 0:
            value[place] ^= 1 << rng.randrange(8)
        elif what == 1:
            value[place] = rng.choice((0, 1, 127, 128, 255))
        elif what == 2:
            del value[place : place + rng.randint(1, 64)]
        elif what == 3:
            value[place:place] = value[place : place + rng.randint(1, 64)]
        else:
            value[place : place + 4] = rng.randbytes(4)
    return bytes(value)


def inspect(seeds: Iterable[int], each: int) -> Tally:
    """Look at ``each`` mutants of every seed; an answer that is missing, or too long a reason, is wrong."""
    kinds = [(name, data) for name, data, what in zoo.files() if what is not zoo.ASIDE and not name.startswith("huge")]
    tally = Tally()
    for seed in seeds:
        rng = random.Random(seed)
        with tempfile.TemporaryDirectory() as place:
            requests = []
            for number in range(each):
                name, data = rng.choice(kinds)
                path = Path(place) / f"{number}{Path(name).suffix}"
                path.write_bytes(mutate(data, rng))
                requests.append(Request(INSPECT, ImageRef.parse(path)))
            tally.tried += each
            for number, result in enumerate(inspect_files(requests)):
                tally.hit += 1
                found = result.inspection
                if found is None or (not found.usable and not 0 < len(found.reason) <= 160):
                    tally.wrong.append(f"seed {seed}, file {number}: {found}")
    return tally
