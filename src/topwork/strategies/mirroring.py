"""Whether a head sees the mirror image of each image too: its features are then the mean of those of both.

The mean was better for most heads and tasks that were measured (docs/maintainers/lab-log.md), and must be worse where
the classes are left and right, so images held out decide.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from topwork.core.seeds import derive_seed
from topwork.core.strategy_config import HeldOutConfig
from topwork.evaluation import target_metric
from topwork.linear.selection import select_c
from topwork.strategies.linear_head import normalized_splits
from topwork.strategies.mirrored import MirroredFeatures
from topwork.strategies.out_of_fold import join_validation, make_score
from topwork.training.context import RunContext

QUICK_CS = (1e-3, 1e-2)
MIN_IMAGES = 200  # fewer do not tell
MAX_IMAGES = 4000  # that the quick classifier is fitted on: they tell differences of a point apart


def mirrored_context(mirrored: bool, context: RunContext) -> RunContext:
    """The context whose features are means over each image and its mirror image; unchanged if not ``mirrored``."""
    if not mirrored or isinstance(context.features, MirroredFeatures):
        return context
    return replace(context, features=MirroredFeatures(context.features))


def resolve_tta(config: HeldOutConfig, context: RunContext) -> bool:
    """The setting ``tta``; ``"auto"`` is decided by a quick linear classifier on images that it was not fitted on.

    It is on if that is better by the metric of the run; if equal, off: an image alone is predicted in half the time.
    """
    if config.tta != "auto":
        return config.tta
    if len(context.splits.ids["train"]) + len(context.splits.ids["val"]) < MIN_IMAGES:
        return False
    plain, mirrored, seconds = _values(config.folds, context)
    sign = -1 if target_metric.lower_is_better(context.metric) else 1
    before, after = (target_metric.describe(context.metric, sign * value) for value in (plain, mirrored))
    context.progress.log(
        f"  tta {'on' if mirrored > plain else 'off'}: {target_metric.NAMES[context.metric]} of a quick classifier on "
        f"images held out: {before}, with mirror images {after}{f' ({seconds:.1f} s)' if seconds else ''}"
    )
    return mirrored > plain


def _values(folds: int, context: RunContext) -> tuple[float, float, float]:
    """What the quick classifier reaches without and with mirror images, and the time of its fits.

    The time is 0 if another head of the comparison has asked already.
    """
    ids = context.splits.ids
    key = folds, context.seed, context.metric, ids["train"], ids["val"]
    context.features.views.update((False, True))  # the costs of a head are those of the head alone
    start = time.monotonic()
    if key in context.tta_values:
        return (*context.tta_values[key], 0.0)
    plain, mirrored = (_value(folds, mirrored_context(both, context)) for both in (False, True))
    context.tta_values[key] = plain, mirrored
    return plain, mirrored, time.monotonic() - start


def _value(folds: int, context: RunContext) -> float:
    """Of the metric of the run, higher where it is better, for a quick linear classifier on images held out."""
    context, held_out = join_validation(folds, context)
    _, data = normalized_splits(context.features, context.splits)
    if held_out and len(data["train"][1]) > MAX_IMAGES:
        rows = np.random.default_rng(derive_seed(context.seed, "tta")).permutation(len(data["train"][1]))[:MAX_IMAGES]
        held_out = [np.flatnonzero(np.isin(rows, fold)) for fold in held_out]
        data["train"] = data["train"][0][rows], data["train"][1][rows]
    device, score = str(context.compute.device), make_score(context.metric)
    return select_c("hinge", QUICK_CS, data, context.num_classes, device, held_out, score=score).value
