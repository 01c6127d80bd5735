"""How many planted groups ``topwork check`` finds, and how many independent images it joins.

    python benchmarks/groups.py [--data FOLDER] [--seeds 3]

Each set has two or three hundred independent images and as many in groups, in three classes:

- bursts: 3 to 8 crops of one scene, shifted and of other brightness, numbered on among other images;
- video: 12 to 30 frames of a camera that moves over one scene;
- patients: 8 to 20 images of different objects before a background of the patient's own, numbered on or named p012_003.

``--data FOLDER`` takes the scenes from real images, of which each is used once. A group is found if at least 80 % of
its images are in one proposed group, of which at least 80 % are its images. Images are joined by mistake if they are in
a proposed group although they belong to none.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

import topwork
from topwork.core.config import DataConfig
from topwork.data.images import load_image
from topwork.data.sources import list_images

SIDE, SCENE = 256, 420  # pixels of a file, and of the scene that it shows a part of
CLASSES = 3
Scene = Callable[[], Image.Image]


@dataclass
class Planted:
    """A folder of images, and the group of each; an empty name is in none."""

    root: Path
    groups: dict[str, str] = field(default_factory=dict)

    def add(self, image: Image.Image, label: int, name: str, group: str) -> None:
        """Write an image."""
        path = f"class{label}/{name}.jpg"
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(self.root / path, quality=90)
        self.groups[path] = group


def drawn_scenes(rng: np.random.Generator) -> Scene:
    """Ellipses, polygons and lines on a gradient between two colors, with some texture; no two scenes are alike."""

    def color() -> tuple[int, int, int]:
        red, green, blue = rng.integers(0, 256, 3).tolist()
        return red, green, blue

    def draw() -> Image.Image:
        ramp = np.linspace(0, 1, SCENE)[:, None, None] * np.ones((1, SCENE, 1))
        ramp = ramp if rng.integers(2) else ramp.transpose(1, 0, 2)
        pixels = np.array(color()) * ramp + np.array(color()) * (1 - ramp)
        image = Image.fromarray(pixels.astype(np.uint8))
        pen = ImageDraw.Draw(image)
        for _ in range(int(rng.integers(5, 15))):
            points = rng.integers(0, SCENE, (int(rng.integers(3, 6)), 2))
            corners = [tuple(point) for point in points.tolist()]
            kind = int(rng.integers(3))
            if kind == 0:
                (x0, y0), (x1, y1) = points[:2].min(axis=0).tolist(), points[:2].max(axis=0).tolist()
                pen.ellipse((x0, y0, x1, y1), fill=color())
            elif kind == 1:
                pen.polygon(corners, fill=color())
            else:
                pen.line(corners, fill=color(), width=int(rng.integers(3, 20)))
        texture = rng.normal(0, rng.uniform(2, 14), (SCENE // 2, SCENE // 2)).repeat(2, 0).repeat(2, 1)
        return Image.fromarray((np.asarray(image) + texture[..., None]).clip(0, 255).astype(np.uint8))

    return draw


def real_scenes(data: str, rng: np.random.Generator) -> Scene:
    """The images of a data set in random order."""
    rows = list_images(DataConfig(path=data)).rows
    order: Iterator[int] = iter(rng.permutation(len(rows)).tolist())

    def load() -> Image.Image:
        return load_image(rows[next(order)].ref, SIDE * 2).resize((SCENE, SCENE), Image.Resampling.BICUBIC)

    return load


def marked(image: Image.Image, label: int, rng: np.random.Generator) -> Image.Image:
    """The image with what its class is about: a disc, a square or a cross, of any color, size and place."""
    pixels = np.asarray(image).copy()
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    radius = rng.uniform(0.09, 0.16) * pixels.shape[0]
    cy, cx = (rng.uniform(0.25, 0.75, 2) * pixels.shape[:2]).tolist()
    dy, dx = np.abs(y - cy), np.abs(x - cx)
    inside = [np.hypot(dy, dx) < radius, np.maximum(dy, dx) < radius, (np.minimum(dy, dx) < radius / 3)][label]
    pixels[inside & (np.maximum(dy, dx) < radius)] = rng.integers(0, 256, 3)
    return Image.fromarray(pixels)


def window(scene: Image.Image, left: float, top: float, side: float, brightness: float = 1.0) -> Image.Image:
    """A square part of a scene; its corner and side are shares of the scene's side."""
    corner = left * scene.width, top * scene.height
    box = (*corner, corner[0] + side * scene.width, corner[1] + side * scene.height)
    return ImageEnhance.Brightness(scene.crop(tuple(map(round, box)))).enhance(brightness)


def bursts(planted: Planted, scene: Scene, rng: np.random.Generator) -> None:
    """Half of the images in bursts; all are numbered as a camera does."""
    number = 412
    for event in range(180):
        label = int(rng.integers(CLASSES))
        image = marked(scene(), label, rng)
        frames = int(rng.integers(3, 9)) if event % 6 == 0 else 1
        for _ in range(frames):
            side = rng.uniform(0.8, 0.95)
            part = window(image, *rng.uniform(0, 1 - side, 2), side, rng.uniform(0.75, 1.3))
            planted.add(part, label, f"IMG_{number:04}", f"burst{event}" if frames > 1 else "")
            number += int(rng.integers(1, 3))


def video(planted: Planted, scene: Scene, rng: np.random.Generator) -> None:
    """Frames of ten videos, and other images between them."""
    number = 0
    for event in range(160):
        label = int(rng.integers(CLASSES))
        image = marked(scene(), label, rng)
        frames = int(rng.integers(12, 31)) if event % 16 == 0 else 1
        start, end = rng.uniform(0, 0.5, (2, 2))
        for frame in range(frames):
            place = start + (end - start) * frame / max(1, frames - 1)
            part = window(image, *place, 0.5, rng.uniform(0.9, 1.1))
            planted.add(part, label, f"{number:06}", f"video{event}" if frames > 1 else "")
            number += 1


def patients(planted: Planted, scene: Scene, rng: np.random.Generator, named: bool = False) -> None:
    """Images of 20 patients, each before the patient's background; and of 150 people with one image."""
    number = 0
    for event in range(170):
        image = scene()
        images = int(rng.integers(8, 21)) if event % 8 == 0 else 1
        for i in range(images):
            label = int(rng.integers(CLASSES))
            part = window(image, *rng.uniform(0, 0.35, 2), 0.65, rng.uniform(0.8, 1.2))
            name = f"p{event:03}_{i:03}" if named else f"{number:05}"
            planted.add(marked(part, label, rng), label, name, f"patient{event}" if images > 1 else "")
            number += 1


def named_patients(planted: Planted, scene: Scene, rng: np.random.Generator) -> None:
    """The same with the patient in the name of the file."""
    patients(planted, scene, rng, named=True)


def independent(planted: Planted, scene: Scene, rng: np.random.Generator) -> None:
    """No groups at all, under names that look like some."""
    for number in range(300):
        label = int(rng.integers(CLASSES))
        planted.add(marked(scene(), label, rng), label, f"p{number // 12:03}_{number % 12:03}", "")


def score(planted: Planted, found: Sequence[Sequence[str]]) -> str:
    """Shares of groups found and of independent images joined."""
    proposed = {image: number for number, group in enumerate(found) for image in group}
    groups: dict[str, list[str]] = {}
    for image, group in planted.groups.items():
        groups.setdefault(group, []).append(image)
    alone = groups.pop("", [])
    hits = 0
    for images in groups.values():
        number, most = Counter(proposed.get(image, -1) for image in images).most_common(1)[0]
        hits += number >= 0 and most >= 0.8 * max(len(images), len(found[number]))
    joined = sum(image in proposed for image in alone)
    return f"{hits} of {len(groups)} groups found; {joined} of {len(alone)} independent images joined"


def main() -> None:
    """Print a line for each set and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="a data set with the scenes; drawn ones if it is omitted")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="compare fingerprints, not features")
    options = parser.parse_args()
    for seed in range(options.seeds):
        for plant in (bursts, video, patients, named_patients, independent):
            rng = np.random.default_rng(seed)
            scene = real_scenes(options.data, rng) if options.data else drawn_scenes(rng)
            with tempfile.TemporaryDirectory() as folder:
                planted = Planted(Path(folder) / "images")
                plant(planted, scene, rng)
                result = topwork.check(planted.root, quick=options.quick, out=Path(folder) / "check", quiet=True)
            finding = next((f for f in result.findings if f.kind == "unnamed-groups"), None)
            print(f"seed {seed} {plant.__name__}: {score(planted, finding.groups if finding else ())}", flush=True)
            for line in (finding.text, *finding.details[:1], finding.command) if finding else ():
                print(f"    {line}", flush=True)


if __name__ == "__main__":
    main()
