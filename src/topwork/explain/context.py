"""What ``show`` works on: the networks of a run, a comparison or a bare backbone, images, and the data set if any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from topwork.backbones import build
from topwork.backbones.architecture import HUB
from topwork.backbones.build import RANDOM
from topwork.backbones.weights import find_weights
from topwork.compute.devices import DeviceContext
from topwork.core import commands
from topwork.core import config as configuration
from topwork.core.artifacts import PixelRules, Splits, read_run_info, read_split
from topwork.core.errors import DataError, TopworkError, UnknownName
from topwork.core.image_ref import ImageRef
from topwork.core.names import same_model
from topwork.core.predictions import Predictions, read_predictions
from topwork.core.progress import Progress
from topwork.core.run_folders import check_links
from topwork.data.images import UnreadableImage, load_image
from topwork.data.run_images import RunImages, read_run_images
from topwork.explain.example_images import ExampleImage
from topwork.explain.inspected_model import PRETRAINED, InspectedModel, load_run
from topwork.explain.layers import Layer, list_layers, select_stages
from topwork.explain.receptive_field import ReceptiveField, receptive_fields
from topwork.report.folder_recommendation import recommend_in_folder

ALL_LAYERS = "all"


@dataclass(frozen=True)
class RunDataset:
    """The images of a run.

    Attributes:
        images: Where they are; None if their folder no longer exists.
        predictions: Of each strategy on the test images.
        backbone: The pretrained network that all strategies started from.
        name: Of the run or comparison.
        rules: How its images are decoded.
    """

    images: RunImages | None
    splits: Splits
    predictions: dict[str, Predictions]
    backbone: configuration.BackboneConfig
    name: str
    weights_description: str
    rules: PixelRules

    @property
    def root(self) -> Path | None:
        """Folder that image ids are relative to; None if it no longer exists."""
        return self.images.root if self.images else None

    @property
    def refs(self) -> dict[str, ImageRef]:
        """Image id to where it was."""
        return self.images.refs if self.images else {}

    def load(self, image_id: str, min_side: int) -> Image.Image:
        """An image, decoded with both sides of at least ``min_side`` pixels.

        Raises:
            DataError: The images no longer exist, or the image can no longer be read.
        """
        if self.images is None:
            raise DataError("The images of this run were not found; pass an image with --image FILE.")
        ref = self.images.find(image_id)
        if ref is None:
            raise UnreadableImage("gone, or changed since the training", image_id)
        return load_image(ref, min_side, self.rules)


@dataclass(frozen=True)
class ShowContext:
    """Everything that the sections of the page are computed from.

    Attributes:
        models: One per strategy.
        compute: Device and threads; everything is computed in float32.
        layers: Of the backbone; the same for all networks, which differ in their weights only.
        stages: Layers at which stages end.
        fields: Layer name to receptive field.
        dataset: None for a bare backbone.
        x: The images as network input, float32 (B, 3, S, S).
    """

    models: list[InspectedModel]
    compute: DeviceContext
    layers: list[Layer]
    stages: list[Layer]
    requested_layers: list[Layer]
    fields: dict[str, ReceptiveField]
    progress: Progress
    dataset: RunDataset | None
    images: list[ExampleImage]
    x: torch.Tensor

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, (K,)."""
        return self.models[0].classes

    @property
    def spatial_layers(self) -> list[Layer]:
        """Layers whose output has spatial positions."""
        return [layer for layer in self.layers if layer.is_spatial]

    @property
    def networks(self) -> dict[str, InspectedModel]:
        """One model for each set of weights, by its name: strategies on a frozen backbone share theirs."""
        found: dict[str, InspectedModel] = {}
        for model in self.models:
            found.setdefault(model.network, model)
        return found

    def pretrained(self) -> nn.Module | None:
        """The backbone before training; None if its weights are not on this machine.

        The run's ``config.toml`` may be somebody else's: it names no other network than the model has, no file to open
        and no repository to contact.
        """
        if PRETRAINED in self.networks:
            return self.networks[PRETRAINED].backbone
        if self.dataset is None or self.dataset.weights_description == RANDOM:
            return None
        config = self.dataset.backbone
        if config.weights != "pretrained" or config.model != self.models[0].model or config.model.startswith(HUB):
            return None
        try:
            source = find_weights(config.model, config.weights, download=False)
            backbone = build.create(config.model, source, self.models[0].spec.size)
        except TopworkError:
            return None
        return self.compute.to_channels_last(backbone.module)


def open_runs(folder: Path, device: torch.device) -> tuple[list[InspectedModel], RunDataset]:
    """The finished strategies of a run or a comparison; of several backbones those on that of the recommended one.

    Raises:
        DataError: The folder is neither, or no strategy has finished.
    """
    info = read_run_info(check_links(folder))
    folders = [folder / name for name in info.strategies] if info.kind == "comparison" else [folder]
    finished = [run for run in folders if (run / "metrics.json").is_file()]
    if not finished:
        raise DataError(f"No strategy in {folder} has finished. Resume with: {commands.resume(folder)}")
    chosen = recommend_in_folder(folder) if info.kind == "comparison" else None
    if chosen:  # layers of one network
        finished = [run for run in finished if same_model(run.name, chosen.name)]
    models = [load_run(run, device) for run in finished]
    predictions = {
        model.name: read_predictions(run / "predictions.csv") for model, run in zip(models, finished, strict=True)
    }
    backbones = info.details.get("backbones") or [info.details.get("backbone", {})]
    weights = next((str(one.get("weights", "")) for one in backbones if one.get("model") == models[0].model), "")
    weights += f"; {models[0].model}, one of the {len(backbones)} backbones that were compared" * (len(backbones) > 1)
    config = configuration.read(finished[0] / "config.toml")
    images, splits, rules = read_run_images(folder), read_split(folder / "split.csv"), models[0].spec.pixel_rules
    return models, RunDataset(images, splits, predictions, config.backbone, info.name, weights, rules)


def make_context(
    models: list[InspectedModel],
    compute: DeviceContext,
    names: Sequence[str],
    progress: Progress,
    dataset: RunDataset | None,
    images: list[ExampleImage],
) -> ShowContext:
    """List the layers and their receptive fields, and preprocess the images of the page.

    Raises:
        UnknownName: No layer has one of the names.
        UsageError: The layers of the network have no hooks.
    """
    for model in models:
        compute.to_channels_last(model.backbone)
    first = models[0]
    size = first.spec.size
    layers = list_layers(first.backbone, torch.zeros(1, 3, size, size, device=compute.device))
    known = {layer.name: layer for layer in layers}
    for name in names:
        if name != ALL_LAYERS and name not in known:
            raise UnknownName("layer", name, known, "--layer all shows every layer.")
    requested = layers if ALL_LAYERS in names else [known[name] for name in dict.fromkeys(names)]
    stages = select_stages(first.backbone, layers)
    weights = ", ".join(dict.fromkeys(model.network for model in models))
    progress.log(f"Analyzing {first.model}: {len(layers)} layers, {len(stages)} stages; weights: {weights}")
    with progress.track("receptive fields", 1, "network") as step:
        fields = receptive_fields(first.backbone, layers, size)
        step.advance()
    x = first.inputs([one.image for one in images])
    return ShowContext(models, compute, layers, stages, requested, fields, progress, dataset, images, x)
