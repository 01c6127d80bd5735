"""What ``show`` looks at: networks of a run, a comparison or a bare backbone, photos, and the data set if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from topwork import backbones
from topwork.compute.devices import DeviceContext
from topwork.core import config as configuration
from topwork.core.artifacts import Predictions, Splits, read_predictions, read_run_info, read_split
from topwork.core.errors import DataError, TopworkError, UnknownName
from topwork.core.progress import Progress
from topwork.data.images import load_image
from topwork.data.manifest import listing_of
from topwork.explain.layers import Layer, list_layers, map_stages
from topwork.explain.photos import Photograph
from topwork.explain.receptive import Field, receptive_fields
from topwork.explain.subject import PRETRAINED, Subject, run_subject

ALL = "all"


@dataclass(frozen=True)
class Dataset:
    """The images of a run.

    Attributes:
        root: Folder that image ids are relative to; None if it is no longer there.
        split: Parts and labels.
        predictions: Of each strategy on the test part.
        backbone: Which pretrained network all strategies began with.
        name: Of the run or comparison.
        account: Where the pretrained weights came from.
    """

    root: Path | None
    splits: Splits
    predictions: dict[str, Predictions]
    backbone: configuration.BackboneConfig
    name: str
    account: str

    def load(self, image_id: str, least: int) -> Photograph:
        """A test image, decoded as for a network that needs sides of ``least`` pixels.

        Raises:
            DataError: It cannot be read any more.
        """
        if self.root is None:
            raise DataError("The images of this run are no longer where they were; give one by --image PHOTO.")
        first = next(iter(self.predictions.values()))
        label = int(first.labels[first.ids.index(image_id)])
        return Photograph(image_id, load_image(self.root / image_id, least), label, "")


@dataclass
class Scene:
    """All that the views need.

    Attributes:
        subjects: One per strategy.
        compute: Device and threads; arithmetic is float32 throughout.
        layers: Of the backbone; the same for all networks, which differ in weights only.
        stages: Those that stand for its depth.
        asked: Layers named by the user.
        fields: Layer name to receptive field.
        progress: To people.
        dataset: None for a bare backbone.
        photos: What is looked at.
        x: The photos as network input, float32 (B, 3, S, S).
    """

    subjects: list[Subject]
    compute: DeviceContext
    layers: list[Layer]
    stages: list[Layer]
    asked: list[Layer]
    fields: dict[str, Field]
    progress: Progress
    dataset: Dataset | None
    photos: list[Photograph] = field(default_factory=list)
    x: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, (K,)."""
        return self.subjects[0].classes

    @property
    def networks(self) -> dict[str, Subject]:
        """Each set of weights once, by name: strategies on a frozen backbone share theirs."""
        found: dict[str, Subject] = {}
        for subject in self.subjects:
            found.setdefault(subject.network, subject)
        return found

    def pretrained(self) -> nn.Module | None:
        """The backbone as it was before any training here; None if its weights are not to be had."""
        if PRETRAINED in self.networks or self.dataset is None:
            return self.networks[PRETRAINED].backbone if PRETRAINED in self.networks else None
        wish = self.dataset.backbone
        try:
            source = backbones.find_weights(wish.model, wish.weights)
            made = backbones.create(wish.model, source, self.subjects[0].spec.size)
        except TopworkError:
            return None
        return self.compute.to_channels_last(made.module)


def open_runs(folder: Path, device: torch.device) -> tuple[list[Subject], Dataset]:
    """The finished strategies of a run or a comparison.

    Raises:
        DataError: It is neither, or nothing in it has finished.
    """
    info = read_run_info(folder)
    folders = [folder / name for name in info.strategies] if info.kind == "comparison" else [folder]
    finished = [run for run in folders if (run / "metrics.json").is_file()]
    if not finished:
        raise DataError(f"No strategy in {folder} has finished. Go on with `topwork runs` and --resume first.")
    subjects = [run_subject(run, device) for run in finished]
    predictions = {
        subject.name: read_predictions(run / "predictions.csv") for subject, run in zip(subjects, finished, strict=True)
    }
    account = str(info.details.get("backbone", {}).get("weights", ""))
    asked = configuration.read(finished[0] / "config.toml")
    try:
        root = listing_of(asked.data).root
    except TopworkError:  # moved, or the package is not installed here: given photos can still be looked at
        root = None
    return subjects, Dataset(root, read_split(folder / "split.csv"), predictions, asked.backbone, info.name, account)


def make_scene(
    subjects: list[Subject], compute: DeviceContext, names: Sequence[str], progress: Progress, dataset: Dataset | None
) -> Scene:
    """List the layers and how far each sees.

    Raises:
        UnknownName: No layer has one of the names.
        UsageError: The network has no layers that can be looked at.
    """
    for subject in subjects:
        compute.to_channels_last(subject.backbone)
    first = subjects[0]
    size = first.spec.size
    blank = torch.zeros(1, 3, size, size, device=compute.device)
    layers = list_layers(first.backbone, blank)
    known = {layer.name: layer for layer in layers}
    for name in names:
        if name != ALL and name not in known:
            raise UnknownName("layer", name, known, "--layer all shows every one.")
    asked = layers if ALL in names else [known[name] for name in dict.fromkeys(names)]
    stages = map_stages(first.backbone, layers)
    weights = ", ".join(dict.fromkeys(subject.network for subject in subjects))
    progress.log(f"Looking into {first.model}: {len(layers)} layers, {len(stages)} stages; weights: {weights}")
    with progress.track("receptive fields", 1, "network") as step:
        fields = receptive_fields(first.backbone, layers, size)
        step.advance()
    return Scene(subjects, compute, layers, stages, asked, fields, progress, dataset)


def take_photos(scene: Scene, photos: list[Photograph]) -> None:
    """Bring photos into the scene."""
    scene.photos = photos
    scene.x = scene.subjects[0].inputs([photo.image for photo in photos])
