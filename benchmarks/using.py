"""``topwork predict`` against feature extraction, from files to rows and to features: images per second, and memory.

Without a folder of images, JPEGs of 500 x 375 are made. The model has the weights that chance gave it: that takes as
long. Each way runs in a process of its own; the start of its engine does not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from extraction import made_up, topwork_cache

MODEL = "tf_efficientnet_lite0"


def random_bundle(folder: Path, classes: int = 10, known: int = 5000) -> None:
    """A bundle of ``linear`` with as many training images to compare with as there ever are."""
    import numpy as np
    import torch

    from topwork.backbones import build
    from topwork.bundle.format import Bundle, write_bundle
    from topwork.evaluation.ood import KNNIndex, l2_normalize

    backbone = build.create(MODEL, None)
    rng = np.random.default_rng(0)
    bank = l2_normalize(rng.random((known, backbone.feature_dim))).astype(np.float16)
    neighbours = KNNIndex(bank, rng.integers(0, classes, known), tuple(f"{i}.jpg" for i in range(known)))
    width = backbone.feature_dim
    head = {
        "weight": torch.randn(classes, width).double() / width, "bias": torch.zeros(classes).double(),
        "mean": torch.zeros(width), "scale": torch.tensor(1.0),
    }  # fmt: skip
    names = tuple(f"class {i}" for i in range(classes))
    ood = {"threshold": 0.5, "neighbours": 10}
    metadata = {"decision": {"temperature": 1.0, "confidence_threshold": 0.5, "ood": ood}}
    network = backbone.module.state_dict()
    write_bundle(folder, Bundle("linear", MODEL, names, backbone.spec, metadata, network, head, neighbours))


class Memory(threading.Thread):
    """Notes how much memory this process has, ten times per second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[float] = []

    def run(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        while True:
            self.seen.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 2**30)
            time.sleep(0.1)

    def quarters(self) -> list[float]:
        """The most in each quarter of the time, in GiB."""
        size = max(1, len(self.seen) // 4)
        return [max(self.seen[i * size : (i + 1) * size]) for i in range(4)]


def predicting(bundle: Path, files: Path, out: Path) -> tuple[float, list[float]]:
    """Images per second from files to rows, and memory."""
    import topwork
    from topwork.inference import predict

    model = topwork.load(bundle)
    model.prepare()
    predict.load = lambda *_, **__: model  # the engine has started
    memory = Memory()
    memory.start()
    start = time.perf_counter()
    rows, errors = predict.predict_to_file(bundle, [str(files)], out, quiet=True)
    seconds = time.perf_counter() - start
    assert not errors
    return rows / seconds, memory.quarters()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", help="of JPEGs; its subfolders count")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--way", default="")
    parser.add_argument("--bundle", type=Path)
    args = parser.parse_args()
    if args.way == "extract":
        files = sorted(Path(args.folder).rglob("*.jpg"))
        print(topwork_cache(MODEL, files, "best")[1])
        return
    with tempfile.TemporaryDirectory() as place:
        if args.way == "predict":
            rate, quarters = predicting(args.bundle, Path(args.folder), Path(place) / "rows.csv")
            print(rate, *quarters)
            return
        photos, bundle = Path(args.folder or place) / ("" if args.folder else "photos"), Path(place) / "bundle"
        if not args.folder:
            photos.mkdir()
            made_up(photos, args.images)
        random_bundle(bundle)

        def run(way: str) -> list[float]:
            words = [str(photos), "--bundle", str(bundle), "--way", way]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            return [float(word) for word in done.stdout.splitlines()[-1].split()]

        for _ in range(2):
            extracted = run("extract")[0]
            rate, *quarters = run("predict")
            print(
                f"extraction {extracted:.1f} images per second, predict {rate:.1f}, ratio {rate / extracted:.2f}; "
                f"memory by quarters of the time {', '.join(f'{q:.2f}' for q in quarters)} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
