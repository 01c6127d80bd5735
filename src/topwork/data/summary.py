"""A summary of the images and the split, as lines of text and as JSON."""

from __future__ import annotations

from typing import Any

from topwork.core.artifacts import Manifest, Splits
from topwork.data.findings import leaks


def describe_split(manifest: Manifest, splits: Splits) -> list[str]:
    """Lines about the images and the split, for the terminal."""
    sizes = " / ".join(f"{split} {len(splits.ids[split]):,}" for split in splits.ids)
    lines = [f"Split     {sizes} of {len(manifest.used):,} usable images; {splits.note}"]
    for finding in leaks(manifest, splits):
        lines.append(f"          LEAK: {finding.text}; `topwork check` shows them. Scores there are too good.")
    for row in manifest.excluded[:5]:
        lines.append(f"          excluded: {row.id}: {row.reason}")
    if len(manifest.excluded) > 5:
        lines.append(f"          ... and {len(manifest.excluded) - 5:,} more excluded; manifest.csv lists all")
    if manifest.ignored:
        name, reason = next(iter(manifest.ignored.items()))
        more = f", and {len(manifest.ignored) - 1:,} more" if len(manifest.ignored) > 1 else ""
        lines.append(f"          ignored: {name} ({reason}){more}")
    return lines


def dataset_summary(manifest: Manifest, splits: Splits) -> dict[str, Any]:
    """The summary for ``run.json`` and the report."""
    converted: dict[str, int] = {}
    for row in manifest.used:
        for note in filter(None, row.reason.split("; ")):
            converted[note] = converted.get(note, 0) + 1
    counts = {
        split: {name: int((splits.labels[split] == i).sum()) for i, name in enumerate(splits.classes)}
        for split in splits.ids
    }
    return {
        "name": manifest.name,
        "images": len(manifest.rows),
        "excluded": [{"id": row.id, "reason": row.reason} for row in manifest.excluded],
        "converted": converted,
        "ignored": manifest.ignored,
        "license": manifest.license,
        "note": manifest.note,
        "split_note": splits.note,
        "leaks": [
            {"kind": f.kind, "text": f.text, "images": [list(same) for same in f.groups[:50]]}
            for f in leaks(manifest, splits)
        ],
        "counts": counts,
    }
