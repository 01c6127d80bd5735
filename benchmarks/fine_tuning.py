"""Whole fine-tunings against the loop that people write: eager float32, same crops, epochs, batches and processes.

The images are made up and the weights are random: speed does not depend on them. Each way runs in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from extraction import made_up

SPLITS = {"train": 384, "val": 64, "test": 16}
CLASSES, SIZE, BATCH = 4, 224, 32
WAYS = {  # settings of finetune
    "topwork": ("train_size=224",),
    "topwork, crops of its default size": (),
    "topwork, 3 stages frozen, 4 views": ("train_size=224", "freeze_stages=3", "views=4"),
    "topwork, 3 stages frozen, no augmentation": ("train_size=224", "freeze_stages=3", "views=0"),
}


def write_images(root: Path) -> None:
    """Class folders below train, val and test."""
    for part, images in SPLITS.items():
        made_up(root, images)
        for number, path in enumerate(sorted(root.glob("*.jpg"))):
            target = root / part / f"class{number % CLASSES}" / f"{part}{path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def plain_loop(model: str, root: Path, epochs: int) -> float:
    """Seconds of the usual loop, an evaluation after each epoch included."""
    import timm
    import torch
    from torch.nn import functional
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    network = timm.create_model(model, num_classes=CLASSES)
    ends = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    ends += [v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    augment = v2.Compose([v2.RandomResizedCrop(SIZE, (0.5, 1)), v2.RandomHorizontalFlip(), *ends])
    plain = v2.Compose([v2.Resize((SIZE, SIZE)), *ends])
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4)
    train = torch.utils.data.DataLoader(
        ImageFolder(str(root / "train"), augment), BATCH, shuffle=True, num_workers=1, drop_last=True
    )
    val = torch.utils.data.DataLoader(ImageFolder(str(root / "val"), plain), BATCH, num_workers=1)
    start = time.perf_counter()
    for _ in range(epochs):
        network.train()
        for x, target in train:
            functional.cross_entropy(network(x), target, label_smoothing=0.1).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        network.eval()
        with torch.inference_mode():
            for x, _ in val:
                network(x)
    return time.perf_counter() - start


def topwork_run(model: str, root: Path, epochs: int, settings: tuple[str, ...]) -> float:
    """Seconds that topwork gives for its training, what it keeps of frozen stages and evaluations included."""
    import timm
    from safetensors.torch import save_file

    import topwork

    with tempfile.TemporaryDirectory() as place:
        weights = Path(place) / "weights.safetensors"
        save_file({k: v.contiguous() for k, v in timm.create_model(model).state_dict().items()}, weights)
        sets = [f"finetune.{text}" for text in (*settings, f"batch_size={BATCH}", "head=random")]
        run = topwork.train(
            root, "finetune", out=Path(place) / "out", model=model, weights=str(weights), epochs=epochs, workers=1,
            sets=sets, quiet=True,
        )  # fmt: skip
        return run.metrics["costs"]["train_seconds"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument(
        "--timed", type=int, default=2, help="epochs of the ways that take long; extended in proportion"
    )
    parser.add_argument("--way")
    parser.add_argument("--root", type=Path)
    args = parser.parse_args()
    if args.way == "plain":
        return print(plain_loop(args.model, args.root, args.epochs))
    if args.way:
        return print(topwork_run(args.model, args.root, args.epochs, WAYS[args.way]))
    with tempfile.TemporaryDirectory() as place:
        write_images(Path(place))

        def run(way: str, epochs: int) -> float:
            words = ["--way", way, "--model", args.model, "--root", place, "--epochs", str(epochs)]
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=True)
            return float(done.stdout.splitlines()[-1]) / epochs * args.epochs

        plain = run("plain", args.timed)
        print(f"{args.model}, {args.epochs} epochs, {SPLITS['train']} images: the plain loop {plain:.0f} s", flush=True)
        for way in WAYS:
            seconds = run(way, args.epochs if "frozen" in way else args.timed)
            print(f"  {way}: {seconds:.0f} s, {plain / seconds:.1f} times as fast", flush=True)


if __name__ == "__main__":
    main()
