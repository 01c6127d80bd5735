"""Groups that the times of exposure show: images that one camera took within seconds, minutes, or on one day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from topwork.data.group_evidence.names import Partition

GAPS = {"2 seconds": 2.0, "10 seconds": 10.0, "a minute": 60.0, "10 minutes": 600.0, "an hour": 3600.0}
_MIN_KNOWN = 0.5  # share of images with a time
_MIN_CAMERAS = 5


def parse_time(text: str) -> float:
    """Seconds of an EXIF time such as ``2024:05:03 10:11:12.25``, on the clock of the camera; NaN if it is none."""
    try:
        whole, _, fraction = text.partition(".")
        time = datetime.strptime(whole.strip(), "%Y:%m:%d %H:%M:%S")
        return (time - datetime(1970, 1, 1)).total_seconds() + float(f"0.{fraction or 0}")
    except (ValueError, OverflowError):
        return float("nan")


def order_by_time(taken: Sequence[str], cameras: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """All images in order of camera and time, and the camera of each; None if few have a time or many share it.

    Images without a time come last, each in a block of its own.
    """
    seconds = np.array([parse_time(text) for text in taken])
    known = np.isfinite(seconds)
    if known.mean() < _MIN_KNOWN or len(np.unique(seconds[known])) < 0.5 * known.sum():
        return None
    camera = np.unique(cameras, return_inverse=True)[1]
    blocks = np.where(known, camera, len(taken) + np.arange(len(taken)))
    return np.lexsort((np.where(known, seconds, 0.0), blocks)).astype(np.int64), blocks


def partitions_by_time(taken: Sequence[str], cameras: Sequence[str]) -> list[Partition]:
    """Images of one camera without a longer gap between them, for several gaps, and those of one camera."""
    found = []
    in_order = order_by_time(taken, cameras)
    if in_order:
        order, blocks = in_order
        seconds = np.array([parse_time(text) for text in taken])[order]
        for name, gap in GAPS.items():
            begins = np.ones(len(order), dtype=bool)
            begins[1:] = (blocks[order][1:] != blocks[order][:-1]) | ~(np.diff(seconds) <= gap)
            groups = np.empty(len(order), dtype=np.int64)
            groups[order] = np.cumsum(begins) - 1
            found.append(Partition(f"times of exposure: gaps of at most {name}, one camera", "", groups))
    names, camera = np.unique(cameras, return_inverse=True)
    if len(names) >= _MIN_CAMERAS:
        found.append(Partition("the camera", "", np.where(names[camera] == "", -1, camera), tuple(names)))
    return found
