"""What is looked into: a network with its head, its classes and what it is fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from topwork import backbones
from topwork.artifacts import InputSpec, RunInfo, read_run_info
from topwork.data.transforms import eval_pixels, normalise
from topwork.errors import UsageError
from topwork.strategies import STRATEGIES
from topwork.use.network import load_network

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Subject:
    """A network in eval mode, float32.

    Attributes:
        name: Of the strategy, or ``"pretrained"`` for a bare backbone.
        network: Which weights the backbone has: ``"pretrained"`` for strategies with a frozen one, else the strategy's
            name. Subjects with equal ``network`` see the same in every layer.
        backbone: Normalised images (B, 3, S, S) to features (B, D).
        head: Features (B, D) to scores (B, K); None for a bare backbone.
        classes: Names, (K,); empty without a head.
        spec: What the network is fed.
        model: timm name.
        scores: What the head gives: ``"logit"`` or ``"margin"``.
    """

    name: str
    network: str
    backbone: nn.Module
    head: nn.Module | None
    classes: tuple[str, ...]
    spec: InputSpec
    model: str
    scores: str = "logit"

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next(self.backbone.parameters()).device

    def inputs(self, photos: Sequence[Image.Image]) -> torch.Tensor:
        """Decoded photos as the normalised images (B, 3, S, S) that the network is fed."""
        pixels = torch.stack([eval_pixels(photo, self.spec) for photo in photos])
        return normalise(pixels, self.spec, self.device)

    def score(self, x: torch.Tensor) -> torch.Tensor:
        """Scores (B, K) of normalised images.

        Raises:
            UsageError: There is no head.
        """
        if self.head is None:
            raise UsageError(
                f"{self.model} has no head for classes here. Show a trained run instead: topwork show RUN."
            )
        return self.head(self.backbone(x))


def bare_subject(model: str, weights: str = PRETRAINED, img_size: int | None = None) -> Subject:
    """A backbone by its timm name, without a head; ``weights`` may be ``"random"``, or a file."""
    source = None if weights == "random" else backbones.find_weights(model, weights)
    made = backbones.create(model, source, img_size)
    name = "random" if source is None else PRETRAINED
    return Subject(name, name, made.module, None, (), made.spec, model)


def run_subject(run: Path, device: torch.device | str = "cpu") -> Subject:
    """The trained network of one run.

    Raises:
        DataError: The folder is no run, or the run has not finished.
    """
    network, bundle = load_network(run / "model")
    network.to(device)
    return Subject(
        bundle.strategy,
        bundle.strategy if STRATEGIES[bundle.strategy].on_images else PRETRAINED,
        network.backbone,
        network.head,
        bundle.classes,
        bundle.spec,
        bundle.model,
        str(bundle.details["scores"]),
    )


def runs_in(folder: Path) -> list[Path]:
    """The finished runs of a run or comparison folder, in the order of its table.

    Raises:
        DataError: It is neither.
        UsageError: None has finished.
    """
    info: RunInfo = read_run_info(folder)
    runs = [folder] if info.kind == "run" else [folder / name for name in info.strategies]
    done = [run for run in runs if (run / "model").is_dir() and (run / "metrics.json").is_file()]
    if not done:
        raise UsageError(f"No run in {folder} has finished, so there is nothing to show. Go on with it first.")
    return done
