"""Whether an exported model says what its bundle says, over all images of a data set, in every format and in int8.

    python benchmarks/exported.py RUN DATA

Images that training saw are among them: this compares two ways of computing, it judges no model.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

import topwork
from topwork.core.config import DataConfig
from topwork.data.images import UnreadableImage, load_image
from topwork.data.sources import list_images
from topwork.data.transforms import eval_transform
from topwork.features.extract import BATCH
from topwork.inference.export import FORMATS
from topwork.inference.export.exporter import export
from topwork.inference.export.format import InferenceFn

INT8 = ("onnx", "openvino")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("data")
    parser.add_argument("--formats", nargs="*", default=[*FORMATS, *(f"{name}-int8" for name in INT8)])
    args = parser.parse_args()
    model = topwork.load(args.run, device="cpu", precision="float32", engine="plain", workers=0)
    images = list_images(DataConfig(path=args.data)).rows
    ways: dict[str, InferenceFn] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.formats:
            kind, rounded = name.removesuffix("-int8"), name.endswith("-int8")
            out = Path(folder) / name
            export(args.run, kind, out=out, quantize="int8" if rounded else None)
            ways[name] = FORMATS[kind].open(out)
        labels, expected, found, seconds = [], [], {name: [] for name in ways}, dict.fromkeys(ways, 0.0)
        for start in range(0, len(images), BATCH):
            pictures = []
            for image in images[start : start + BATCH]:
                with contextlib.suppress(UnreadableImage):
                    pictures.append(load_image(image.ref, model.input_spec.resize_size))
                    labels.append(image.label)
            expected.append(
                model.predict_batch(torch.stack([eval_transform(p, model.input_spec) for p in pictures])).probabilities
            )
            for name, run in ways.items():
                begun = time.perf_counter()
                found[name] += [run(np.array(picture)[None])[0] for picture in pictures]
                seconds[name] += time.perf_counter() - begun
            if start % 640 == 0:
                print(f"{start:,} of {len(images):,}", file=sys.stderr, flush=True)
    reference = np.concatenate(expected)
    truth = np.array([model.classes.index(label) if label in model.classes else -1 for label in labels])
    print(f"{model.bundle.strategy}, {args.data}: {len(reference):,} images, {torch.get_num_threads()} threads")
    print(f"accuracy of the bundle in float32 {(reference.argmax(1) == truth).mean():.2%}")
    for name, rows in found.items():
        exported = np.concatenate(rows)
        difference = np.abs(exported - reference).max(1)
        print(
            f"| {name} | equal {(exported.argmax(1) == reference.argmax(1)).mean():.3%} | max {difference.max():.1e} "
            f"| mean {difference.mean():.1e} | accuracy {(exported.argmax(1) == truth).mean():.2%} | "
            f"{1000 * seconds[name] / len(reference):.1f} ms |",
            flush=True,
        )


if __name__ == "__main__":
    main()
