"""From JPEG files to the feature cache, against the loop that people write: eager float32, as many workers.

Without a folder of images, JPEGs of 500 x 375 are made. A network without weights takes as long as one with them. Each
way runs in a process of its own, and starting an engine counts.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from topwork.features import FeatureStore

MODELS = ("tf_efficientnet_lite0", "resnet50")
SHARE = 5  # of the images that the plain loop gets


def made_up(folder: Path, images: int) -> None:
    """Write JPEGs with large and small structure, about 40 kB each."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(images):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((500, 375))
        grain = rng.normal(0, 8, (375, 500, 3))
        pixels = np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06}.jpg", quality=85)


def plain_loop(model: str, files: list[Path], workers: int) -> float:
    """Images per second of the usual loop."""
    import timm
    import torch
    from PIL import Image
    from torchvision.transforms import v2

    network = timm.create_model(model, num_classes=0).eval()
    steps = [v2.Resize(256), v2.CenterCrop(224), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    transform = v2.Compose([*steps, v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])

    class Images(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, i: int) -> torch.Tensor:
            return transform(Image.open(files[i]).convert("RGB"))

    loader = torch.utils.data.DataLoader(Images(), batch_size=32, num_workers=workers)
    start = time.perf_counter()
    with torch.inference_mode():
        torch.cat([network(x) for x in loader])
    return len(files) / (time.perf_counter() - start)


def forward_alone(model: str, engine: str) -> float:
    """Images per second of an engine that has its batch in memory; once it is warm."""
    import torch

    from topwork.backbones.build import create
    from topwork.compute import devices
    from topwork.core.config import ComputeConfig
    from topwork.features import engines

    compute, _ = devices.resolve(ComputeConfig())
    backbone = create(model, None)
    forward = engines.build_engines(engine, backbone, compute, [32])[32]
    x = torch.randn(32, 3, backbone.spec.size, backbone.spec.size).to(memory_format=torch.channels_last)
    with torch.inference_mode(), compute.autocast():
        for step in count():
            if step == 3:
                start = time.perf_counter()
            forward(x)
            if step > 3 and time.perf_counter() - start > 5:
                return 32 * (step - 2) / (time.perf_counter() - start)
    raise AssertionError


def feature_store(model: str, files: list[Path], engine: str, cache: Path) -> FeatureStore:
    """A store over these files as one train part; the content of a file counts as known."""
    import numpy as np

    from topwork.backbones.build import create
    from topwork.compute import devices
    from topwork.core.artifacts import ImageRow, Manifest, Splits
    from topwork.core.config import ComputeConfig
    from topwork.core.image_ref import ImageRef
    from topwork.core.progress import Progress
    from topwork.core.signals import Signals
    from topwork.features import FeatureStore

    compute, _ = devices.resolve(ComputeConfig(engine=engine))  # type: ignore[arg-type]
    rows = tuple(
        ImageRow(f, "a", sha256=hashlib.sha256(f.encode()).hexdigest(), ref=ImageRef("", f)) for f in map(str, files)
    )
    ids = {"train": tuple(row.id for row in rows), "val": (), "test": ()}
    splits = Splits(("a",), ids, {part: np.zeros(len(i), dtype=np.int64) for part, i in ids.items()}, "")
    manifest, quiet = (
        Manifest(Path("/"), rows, "bench"),
        Progress(quiet=True),
    )
    return FeatureStore(create(model, None), manifest, splits, compute, cache, quiet, Signals())


def topwork_cache(model: str, files: list[Path], engine: str) -> tuple[float, float, str]:
    """Images per second from files to cache with and without the start of the engine, and which one it was."""
    from topwork.features import engines

    starting, real = 0.0, engines.build_engines

    def timed(*args):
        nonlocal starting
        begun = time.perf_counter()
        made = real(*args)
        starting = time.perf_counter() - begun
        return made

    engines.build_engines = timed
    with tempfile.TemporaryDirectory() as cache:
        store = feature_store(model, files, engine, Path(cache))
        start = time.perf_counter()
        store.load("train")
        seconds = time.perf_counter() - start
    return len(files) / seconds, len(files) / (seconds - starting), store.engine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", help="of JPEGs; its subfolders count")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--models", nargs="*", default=MODELS)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--way", default="")
    args = parser.parse_args()
    if args.way:
        files = sorted(Path(args.folder).rglob("*.jpg"))[: args.images]
        if args.way == "plain":
            print(plain_loop(args.models[0], files[: max(64, len(files) // SHARE)], args.workers))
        elif args.way == "topwork":
            rate, warm, engine = topwork_cache(args.models[0], files, args.engine)
            print(rate, warm, engine, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        else:
            print(forward_alone(args.models[0], args.engine))
        return
    with tempfile.TemporaryDirectory() as place:
        if not args.folder:
            made_up(Path(place), args.images)
        for model in args.models:

            def run(way: str, engine: str, model: str = model) -> list[str]:
                words = [args.folder or place, "--images", str(args.images), "--models", model]
                words += ["--engine", engine, "--workers", str(args.workers), "--way", way]
                done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
                return done.stdout.splitlines()[-1].split()

            plain = float(run("plain", "plain")[0])
            rate, warm, engine, memory = run("topwork", args.engine)
            alone = float(run("forward", engine)[0])
            print(
                f"{model}: plain loop {plain:.1f} images per second; topwork ({engine}) {float(rate):.1f}, ratio "
                f"{float(rate) / plain:.2f}; once started {float(warm):.1f}, {float(warm) / alone:.2f} of the forward "
                f"pass alone ({alone:.1f}); {float(memory):.2f} GiB",
                flush=True,
            )


if __name__ == "__main__":
    main()
