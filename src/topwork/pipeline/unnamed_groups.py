"""Groups of images that nobody named: the finding of ``check``, and the warning of ``compare``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from topwork.core import commands
from topwork.core.artifacts import ImageRow, Manifest, Splits
from topwork.core.config import Config, DataConfig
from topwork.data import label_table
from topwork.data.findings import Finding
from topwork.data.group_evidence.names import natural_key
from topwork.data.group_evidence.proposal import Proposal, propose_groups
from topwork.data.group_evidence.similarity import fingerprint_vectors
from topwork.data.split_units import group_rows
from topwork.pipeline.held_out import ImageFeatures, predict_folds, without_small_classes

TABLE = "groups.csv"
_MIN_SHARE = 0.05  # of the images in groups, from which ``compare`` warns
_OF_TABLES = {
    "val_fraction",
    "test_fraction",
    "near_duplicates",
    "similar_labels",
    "min_images_per_class",
    "background",
}


@dataclass(frozen=True)
class SplitBias:
    """What a random split adds to the accuracy on held-out images, since it divides groups.

    Attributes:
        random, grouped: Accuracy of a linear classifier with random folds and with groups in one fold each.
        low, high: 95 % interval of the difference, with groups as the units.
        folds: How many.
        images: That were predicted, of classes with enough groups.
    """

    random: float
    grouped: float
    low: float
    high: float
    folds: int
    images: int

    def describe(self) -> str:
        """One sentence."""
        low, high = 100 * self.low, 100 * self.high
        return (
            f"A linear classifier predicts {100 * self.random:.1f} % of held-out images correctly with a random split, "
            f"{100 * self.grouped:.1f} % by group, difference {100 * (self.random - self.grouped):.1f} "
            f"[{low:.1f}, {high:.1f}] points ({self.folds} folds, {self.images:,} images; 95 % interval over groups)."
        )


def find_unnamed_groups(
    config: Config, manifest: Manifest, splits: Splits | None, features: ImageFeatures | None, folder: Path
) -> list[Finding]:
    """The finding on groups that names, times or orders show and that the images support, if there are any.

    Args:
        config: As requested.
        manifest: The images; if any has a group, groups are named.
        splits: The split that the data come with.
        features: Of all usable images; None: their fingerprints are compared instead.
        folder: Where a table is written if no pattern makes the groups.
    """
    proposal = _propose(manifest, features, config.seed)
    if proposal is None:
        return []
    grouped = with_groups(manifest, proposal)
    groups = [sorted(group, key=_natural) for group in group_rows(grouped.used, lambda row: row.group)]
    lines = []
    if features is not None:
        bias = measure_split_bias(features, grouped, config.seed)
        lines.append(bias.describe() if bias else "Too few groups of a class to tell how much a random split adds.")
    given = _divided(splits, groups) if splits else 0
    if given:
        lines.append(f"{given:,} of the groups are in more than one of the splits that the data come with.")
    words = ["--set", "data.splits=new"] if given else []
    if proposal.pattern:
        command = commands.data_command(
            config.data, config.data.path, ["--group-by", proposal.pattern, *words], verb="compare"
        )
    else:
        table = folder / TABLE
        label_table.write_table(grouped, table)
        kept = config.data.model_dump(include=_OF_TABLES | {"bit_depth"})
        command = commands.data_command(DataConfig(path=str(table), **kept), str(table), words, verb="compare")
        lines.append(f"No pattern makes these groups; the column group of {table} has them.")
    notes = tuple(
        f"{len(group)} images: " + ", ".join(f"{n} {label}" for label, n in Counter(row.label for row in group).items())
        for group in groups
    )
    ids = tuple(tuple(row.id for row in group) for group in groups)
    return [
        Finding(
            "unnamed-groups",
            _describe(proposal, groups),
            ids,
            True,
            notes,
            (*lines, "Keep each in one split:"),
            command,
        )
    ]


def warn_of_unnamed_groups(config: Config, manifest: Manifest) -> str:
    """One sentence if strong groups are found that nobody named; empty if not."""
    proposal = _propose(manifest, None, config.seed)
    if proposal is None or sum(map(len, proposal.members)) < _MIN_SHARE * len(manifest.used):
        return ""
    groups = group_rows(with_groups(manifest, proposal).used, lambda row: row.group)
    shown = commands.check(config)
    return f"{_describe(proposal, groups)}; a random split divides them and its results are too good: {shown}"


def _propose(manifest: Manifest, features: ImageFeatures | None, seed: int) -> Proposal | None:
    rows = manifest.used
    if any(row.group for row in rows) or len(manifest.classes) < 2:
        return None
    values = features.of(manifest) if features else fingerprint_vectors([row.fingerprint for row in rows])
    return propose_groups(rows, values, seed)


def _natural(row: ImageRow) -> list[str | int]:
    return natural_key(row.id)


def _describe(proposal: Proposal, groups: Sequence[Sequence[ImageRow]]) -> str:
    support = proposal.support
    return (
        f"{sum(map(len, groups)):,} images seem to belong to {len(groups):,} groups that were not named, by "
        f"{' and '.join(proposal.evidence)}: {support.observed:.0%} of the most similar images are of the same group "
        f"(by chance {support.expected:.0%})"
    )


def with_groups(manifest: Manifest, proposal: Proposal) -> Manifest:
    """The manifest with a group for each image of a group of several; copies have that of the image compared."""
    name = {row.id: f"group {n}" for n, group in enumerate(proposal.members, 1) for row in group}
    of_copies = {row.duplicates: name[row.id] for row in proposal.rows if row.duplicates and row.id in name}
    of_content = {row.sha256: name[row.id] for row in proposal.rows if row.id in name}
    rows = tuple(
        replace(row, group=name.get(row.id) or of_copies.get(row.duplicates) or of_content.get(row.sha256, ""))
        for row in manifest.rows
    )
    return replace(manifest, rows=rows)


def measure_split_bias(features: ImageFeatures, grouped: Manifest, seed: int) -> SplitBias | None:
    """What a random split adds; None if fewer than two classes have enough groups.

    Args:
        features: Of the images.
        grouped: The images with their groups.
        seed: Of the folds.
    """
    from topwork.evaluation.paired import difference_interval  # loads SciPy

    manifest, _ = without_small_classes(grouped)
    if len(manifest.classes) < 2:
        return None
    by_group, folds = predict_folds(features, manifest, seed)
    apart = replace(manifest, rows=tuple(replace(row, group="") for row in manifest.rows))
    random, _ = predict_folds(features, apart, seed, folds)
    unit = np.unique([row.group or f"/{row.duplicates or row.id}" for row in manifest.rows], return_inverse=True)[1]
    difference = random.correct.astype(np.float64) - by_group.correct
    interval = difference_interval(difference, by_group.labels, np.random.default_rng(seed), groups=unit)
    return SplitBias(float(random.correct.mean()), float(by_group.correct.mean()), *interval, folds, len(difference))


def _divided(splits: Splits, groups: Sequence[Sequence[ImageRow]]) -> int:
    """The number of groups that are in more than one split."""
    split_of = {image: split for split, ids in splits.ids.items() for image in ids}
    return sum(len({split_of.get(row.id) for row in group}) > 1 for group in groups)
