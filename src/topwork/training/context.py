"""The context of one training: what is trained on, where it runs, where it saves and what it notifies."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from topwork.backbones import build
from topwork.backbones.build import Backbone
from topwork.backbones.weights import WeightsSource
from topwork.compute.devices import DeviceContext
from topwork.core.artifacts import EpochRecord, InputSpec, Manifest, Splits
from topwork.core.config import Config
from topwork.core.progress import Progress
from topwork.core.seeds import derive_seed
from topwork.core.signals import Signals
from topwork.data.batches import Targets, train_weights
from topwork.data.split_units import dependent_images
from topwork.evaluation import target_metric
from topwork.training.callbacks import Notifier


class Features(Protocol):
    """Features of a frozen backbone, as ``features.FeatureStore`` computes them.

    Attributes:
        engine: The engine that runs the backbone; empty until it is chosen.
        seconds: Time spent on computing features.
        views: Which were loaded, plain (``False``) and mirrored (``True``); may be cleared.
    """

    engine: str
    seconds: float
    views: set[bool]

    def load(self, split: str, mirrored: bool = False) -> np.ndarray:
        """Features of a split in the order of its images, float32 (N, D)."""
        ...

    def training_seconds(self) -> float:
        """The time that the features in ``views`` of training and validation images took, now or earlier."""
        ...


@dataclass(frozen=True)
class RunContext:
    """Made once per command; ``dataclasses.replace`` makes that of each strategy, seed, fold, trial and curve point.

    Attributes:
        config: The configuration; everything but the settings of strategies is resolved.
        manifest, splits: The images.
        compute: Device and precision.
        backbone: The pretrained network, frozen and shared; ``new_backbone`` makes one to train.
        weights_source: Where its weights come from; None if no strategy needs them: then the backbone is random.
        features: Features of the frozen backbone.
        folder: The run folder.
        progress, signals: Messages to the user, and requests to stop.
        notifier: Calls the callbacks.
        on_epoch: Called with each finished epoch.
        tta_values: What ``strategies.mirroring`` found out for one head and the others need too, by what decides it.
    """

    config: Config
    manifest: Manifest
    splits: Splits
    compute: DeviceContext
    backbone: Backbone
    weights_source: WeightsSource | None
    features: Features
    folder: Path
    progress: Progress
    signals: Signals
    notifier: Notifier = field(default_factory=Notifier)
    on_epoch: Callable[[EpochRecord], None] = lambda _: None
    tta_values: dict[Hashable, tuple[float, float]] = field(default_factory=dict, compare=False)

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.config.seed

    @property
    def metric(self) -> str:
        """The metric that decides, a key of ``target_metric.NAMES``."""
        return target_metric.resolve(self.config.metric)

    @property
    def spec(self) -> InputSpec:
        """Input of the backbone."""
        return self.backbone.spec

    @property
    def num_classes(self) -> int:
        """Number of classes, K."""
        return len(self.splits.classes)

    @cached_property
    def image_weights(self) -> np.ndarray | None:
        """Weights of the training images in the loss; see ``train_weights``."""
        return train_weights(self.manifest, self.splits, self.config.balance)

    def groups(self, split: str) -> np.ndarray | None:
        """Which images of a split belong together; see ``dependent_images``."""
        return dependent_images(self.manifest.rows, self.splits.ids[split])

    @property
    def targets(self) -> Targets:
        """Targets of the training images."""
        return Targets(self.splits.labels["train"], self.num_classes, self.image_weights)

    def new_backbone(self, pretrained: bool) -> Backbone:
        """A network of its own to train, with pretrained weights or with random ones from the seed."""
        source = self.weights_source if pretrained else None
        seed = derive_seed(self.seed, "backbone")
        return build.create(self.backbone.model, source, self.spec.size, seed, self.spec.crop_pct)
