"""Near duplicates: candidates of similar fingerprints, confirmed where their pixels differ most.

Frames of one camera have nearly equal fingerprints, although something small, often what their classes are about, is in
one and not in the other. Copies differ a little everywhere, frames at one place much more than elsewhere. A copy that
is cropped a little is shifted and scaled back first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from topwork.core import storage
from topwork.data.fingerprints import (
    MAX_COPIES,
    max_copies,
    near_pairs,
    share_just_similar,
    threshold,
    turn_pixels,
    vectors_of,
)
from topwork.data.split_units import DisjointSets

SEARCH = 4
"""Raised whenever the search would find other duplicates among the same fingerprints."""
SIDE = 128  # pixels
_MAX_SHARE = 0.1  # of images that are just similar; above it fingerprints do not tell copies from similar images
_MIN_RMS = 0.02  # of the difference where images differ typically, in standard deviations of the image
_MAX_PEAK = 18  # largest difference, in units of the typical one; measured: copies up to 16, frames from 21 on
_MAX_SHIFT = 4  # pixels of the thumbnail by which the edges of a cropped copy are moved: 2 to 3 %

_PAIRS_AT_A_TIME = 200_000

_INNER = (slice(_MAX_SHIFT, -_MAX_SHIFT),) * 2  # of a thumbnail, without what may have been moved in

Thumbnail = tuple[np.ndarray, int]  # grays uint8 (SIDE, SIDE), and the image's shorter side in pixels
LoadThumbnails = Callable[[Sequence[str]], Iterable[Thumbnail | None]]


@dataclass(frozen=True)
class NearDuplicates:
    """The near duplicates of a data set.

    Attributes:
        key: A hash of all contents that were compared.
        pairs: Contents that are near duplicates; each set of N of them has N - 1 pairs that connect it.
        remark: Why near duplicates were not searched; empty if they were.
    """

    key: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    remark: str = ""


def thumbnail_of(image: Image.Image) -> Thumbnail:
    """The thumbnail of an RGB image."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)), min(image.size)


def find_near_duplicates(
    fingerprints: Mapping[str, str], load: LoadThumbnails, previous: NearDuplicates
) -> NearDuplicates:
    """The near duplicates among contents.

    Args:
        fingerprints: By content; an empty one matches none.
        load: Thumbnails of contents, in order; None for one that cannot be read any more.
        previous: An earlier result, which is returned if the contents are the same.
    """
    contents = sorted(content for content, code in fingerprints.items() if code)
    key = storage.sha256_bytes(f"{SEARCH} {''.join(contents)}".encode())
    if key == previous.key or len(contents) < 2:
        return previous if key == previous.key else NearDuplicates(key)
    vectors = vectors_of([fingerprints[content] for content in contents])
    min_similarity = threshold(vectors)
    similar = share_just_similar(vectors, min_similarity)
    if similar > _MAX_SHARE:
        remark = (
            f"Near duplicates were not searched: {similar:.0%} of the images have more than {max_copies(len(vectors))} "
            "others that look the same at 32 x 32 pixels, as frames of one camera do. Only images of equal pixels are "
            "kept in one split; keep what belongs together, such as a video, in one split with --group-by."
        )
        return NearDuplicates(key, remark=remark)
    sets, pending = _CopySets(contents, load), [np.empty((0, 3), dtype=np.int64)]
    for found in near_pairs(vectors, min_similarity):
        pending.append(found)
        if sum(map(len, pending)) >= _PAIRS_AT_A_TIME:
            sets.join(np.concatenate(pending))
            pending = pending[:1]
    sets.join(np.concatenate(pending))
    return NearDuplicates(key, tuple(sets.pairs))


class _CopySets:
    """Sets of contents that grow by confirmed pairs; an image that is often refused is just similar."""

    def __init__(self, contents: Sequence[str], load: LoadThumbnails) -> None:
        self._contents, self._load = contents, load
        self._sets = DisjointSets()
        self._refused = np.zeros(len(contents), dtype=np.int64)
        self._thumbnails: dict[int, Thumbnail | None] = {}
        self.pairs: list[tuple[str, str]] = []

    def join(self, found: np.ndarray) -> None:
        """Join the sets of pairs (P, 3) that are confirmed; pairs within a set are not examined."""
        new = [item for item in np.unique(found[:, :2]).tolist() if item not in self._thumbnails]
        if new:
            self._thumbnails.update(zip(new, self._load([self._contents[item] for item in new]), strict=True))
        while len(found):
            items, where = np.unique(found[:, :2], return_inverse=True)
            roots = np.array([self._sets.root(item) for item in items.tolist()])[where.reshape(-1, 2)]
            similar = (self._refused[found[:, :2]] >= MAX_COPIES).any(axis=1)
            kept = (roots[:, 0] != roots[:, 1]) & ~similar
            found, roots = found[kept], roots[kept]
            tried = np.unique(roots[:, 0], return_index=True)[1]  # of each set the most similar pair
            self._examine(found[tried])
            found = np.delete(found, tried, axis=0)

    def _examine(self, pairs: np.ndarray) -> None:
        for a, b, orientation in pairs.tolist():
            first, second = self._thumbnails[a], self._thumbnails[b]
            if first and second and are_copies(first, second, orientation):
                if self._sets.join(a, b):
                    self.pairs.append((self._contents[a], self._contents[b]))
            else:
                self._refused[[a, b]] += 1


def are_copies(first: Thumbnail, second: Thumbnail, orientation: int = 0) -> bool:
    """Whether two images differ nowhere much more than elsewhere; brightness, contrast and a slight crop apart.

    Args:
        first, second: Of the images.
        orientation: Of the second one (``fingerprints.turn_pixels``).
    """
    from scipy.ndimage import uniform_filter

    # Details that the smaller image does not have, or that compression loses, are averaged away.
    width = max(3, round(3 * SIDE / min(SIDE, first[1], second[1])) | 1)
    pixels = [first[0], turn_pixels(second[0], orientation)]
    smooth = [uniform_filter(grays.astype(np.float64), width) for grays in pixels]
    a, b = map(_standardized, smooth)
    return _differ_evenly(a - b) or _differ_evenly((a - _standardized(_aligned(b, a)))[_INNER])


def _standardized(grays: np.ndarray) -> np.ndarray:
    return (grays - grays.mean()) / max(float(grays.std()), 1e-6)


def _differ_evenly(difference: np.ndarray) -> bool:
    from scipy.ndimage import uniform_filter

    typical = np.sqrt(np.median(uniform_filter(difference**2, 9)))
    return float(np.abs(difference).max()) <= _MAX_PEAK * max(float(typical), _MIN_RMS)


def _aligned(grays: np.ndarray, target: np.ndarray, steps: int = 6) -> np.ndarray:
    """The grays shifted and scaled, separately in both directions, to fit the target (Lucas & Kanade 1981)."""
    from scipy.ndimage import affine_transform

    center = (SIDE - 1) / 2
    place = (np.arange(SIDE) - center) / (SIDE / 2)  # -1 to 1
    moves, moved = np.zeros(4), grays  # down, right, and the same at the edges by scaling, in pixels
    for _ in range(steps):
        slopes = np.gradient(moved)
        effects = [*slopes, slopes[0] * place[:, None], slopes[1] * place]
        matrix = np.stack([effect[_INNER].ravel() for effect in effects], axis=1)
        moves = moves + np.linalg.lstsq(matrix, (target - moved)[_INNER].ravel(), rcond=None)[0]
        moves = moves.clip(-_MAX_SHIFT, _MAX_SHIFT)
        scale = 1 + moves[2:] / (SIDE / 2)
        moved = affine_transform(grays, scale, moves[:2] + (1 - scale) * center, order=3, mode="nearest")
    return moved
