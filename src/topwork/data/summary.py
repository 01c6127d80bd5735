"""What was found and how it was split, in words and as plain JSON. Imports no torch."""

from __future__ import annotations

from typing import Any

from topwork.core.artifacts import Manifest, Splits
from topwork.data.findings import leaks


def split_lines(manifest: Manifest, splits: Splits) -> list[str]:
    """What a terminal says about the images and the parts."""
    sizes = " / ".join(f"{split} {len(splits.ids[split]):,}" for split in splits.ids)
    lines = [f"Split     {sizes} of {len(manifest.used):,} usable images; {splits.note}"]
    for finding in leaks(manifest, splits):
        lines.append(f"          LEAK: {finding.text}; `topwork check` shows them. Scores on those parts are too good.")
    for row in manifest.set_aside[:5]:
        lines.append(f"          set aside: {row.id}: {row.reason}")
    if len(manifest.set_aside) > 5:
        lines.append(f"          ... and {len(manifest.set_aside) - 5:,} more set aside; manifest.csv names each")
    if manifest.ignored:
        name, reason = next(iter(manifest.ignored.items()))
        more = f", and {len(manifest.ignored) - 1:,} more" if len(manifest.ignored) > 1 else ""
        lines.append(f"          passed over: {name} ({reason}){more}")
    return lines


def data_account(manifest: Manifest, splits: Splits) -> dict[str, Any]:
    """The same for ``run.json`` and the report."""
    converted: dict[str, int] = {}
    for row in manifest.used:
        for decision in filter(None, row.reason.split("; ")):
            converted[decision] = converted.get(decision, 0) + 1
    counts = {
        split: {name: int((splits.labels[split] == i).sum()) for i, name in enumerate(splits.classes)}
        for split in splits.ids
    }
    return {
        "name": manifest.name,
        "images": len(manifest.rows),
        "set_aside": [{"id": row.id, "reason": row.reason} for row in manifest.set_aside],
        "converted": converted,
        "ignored": manifest.ignored,
        "license": manifest.license,
        "note": manifest.note,
        "split_note": splits.note,
        "leaks": [
            {"kind": f.kind, "text": f.text, "images": [list(same) for same in f.sets[:50]]}
            for f in leaks(manifest, splits)
        ],
        "counts": counts,
    }
