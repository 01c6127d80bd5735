"""How the images of a data set are decoded: decided by what all of its images use (docs/explanation/pixels.md)."""

from __future__ import annotations

from collections.abc import Iterable

from topwork.core.artifacts import DEFAULT_RULES, PixelRules
from topwork.core.config import DataConfig
from topwork.data.convert import BACKGROUNDS
from topwork.data.inspection import Inspection

_BIT_DEPTHS = (8, 10, 12, 14, 16)
_MIN_VISIBLE = 0.9  # share of the images with transparent pixels that have to be visible on white


def requested_rules(config: DataConfig) -> PixelRules:
    """The explicit settings; where there are none, what is usual."""
    return PixelRules(
        DEFAULT_RULES.bit_depth if config.bit_depth == "auto" else config.bit_depth,
        DEFAULT_RULES.background if config.background == "auto" else config.background,
    )


def decide_rules(config: DataConfig, inspections: Iterable[Inspection]) -> PixelRules:
    """The explicit settings; where there are none, what suits the images.

    The bit depth is the smallest usual one that has the largest value. The background is white if drawings are visible
    on it, else the one on which most of them are.

    Args:
        config: With the settings.
        inspections: Of all usable images.
    """
    peaks, visible = [0], list[list[str]]()
    for inspection in inspections:
        peaks.append(inspection.peak)
        visible += [inspection.visible_on.split()] if inspection.visible_on not in ("", "none") else []
    rules = requested_rules(config)
    bit_depth, background = rules.bit_depth, rules.background
    if config.bit_depth == "auto" and any(peaks):
        bit_depth = next(bits for bits in _BIT_DEPTHS if max(peaks) < 2**bits)
    counts = {name: sum(name in names for names in visible) for name in BACKGROUNDS}
    if config.background == "auto" and counts["white"] < _MIN_VISIBLE * len(visible):
        background = max(counts, key=lambda name: counts[name])
    return PixelRules(bit_depth, background)


def is_affected(inspection: Inspection, old: PixelRules, new: PixelRules) -> bool:
    """Whether an image is decoded differently by other rules."""
    if inspection.peak and old.bit_depth != new.bit_depth:
        return True
    return "alpha composited" in inspection.reason and old.background != new.background
