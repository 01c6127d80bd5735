"""From a decoded image to the input of a network: deterministic for evaluation, random for training."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from PIL import Image
from torch.utils.data import default_collate
from torchvision.transforms import InterpolationMode, v2

from topwork.core import seeds
from topwork.core.artifacts import InputSpec
from topwork.core.strategy_config import ImageTrainingConfig
from topwork.data.resize import resize_for_network


def eval_transform(image: Image.Image, spec: InputSpec) -> torch.Tensor:
    """The input for evaluation, prediction and feature extraction.

    Returns:
        uint8 (3, size, size) of ``resize_for_network``, channels last.
    """
    return _tensor(resize_for_network(image, spec))


class TrainTransform:
    """Random crop, flip and RandAugment whose outcome is a function of (seed, epoch, image id) alone.

    Args:
        config: Selects the augmentations.
        spec: Of the network; its interpolation is used.
        size: Side of the crops in pixels, of the last epochs if ``resize_from`` is set.
        seed: Of the run.
    """

    def __init__(self, config: ImageTrainingConfig, spec: InputSpec, size: int, seed: int) -> None:
        self._config, self._size = config, size
        self._crop = {"scale": (config.min_crop_area, 1.0), "interpolation": InterpolationMode(spec.interpolation)}
        steps: list[torch.nn.Module] = [v2.Identity()]
        if config.flip != "none":
            steps.append(v2.RandomHorizontalFlip())
        if config.flip == "both":
            steps.append(v2.RandomVerticalFlip())
        if config.randaugment:
            steps.append(v2.RandAugment(num_ops=2, magnitude=config.randaugment))
        self._steps = v2.Compose(steps)
        self._seed = seed

    def size(self, epoch: int) -> int:
        """Side of the crops of an epoch, which counts from 1: ``size``, or on a linear way to it in steps of 32 pixels.

        Progressive resizing (Howard 2018; Tan & Le 2021, arXiv 2104.00298) reaches it after four fifths of the epochs.
        """
        first, epochs = self._config.resize_from, self._config.epochs
        if first is None or not isinstance(epochs, int):
            return self._size
        share = min(1.0, (epoch - 1) / max(1.0, 0.8 * (epochs - 1)))
        return min(self._size, round((first + share * (self._size - first)) / 32) * 32)

    def min_side(self, epoch: int) -> int:
        """Side of an image in pixels from which the smallest crop is not enlarged."""
        return math.ceil(self.size(epoch) / math.sqrt(self._config.min_crop_area * 3 / 4))

    def __call__(self, image: Image.Image, epoch: int, image_id: str) -> torch.Tensor:
        """Augment an image; uint8 (3, size, size), channels last. Leaves torch's random state as it was."""
        aspect = image.width / image.height  # the crop is squeezed into a square as in evaluation
        ratio = (3 / 4 * aspect, 4 / 3 * aspect)
        crop = v2.RandomResizedCrop(self.size(epoch), ratio=ratio, antialias=True, **self._crop)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive_seed(self._seed, "augment", epoch, image_id))
            return _tensor(self._steps(crop(image)))


def _tensor(image: Image.Image) -> torch.Tensor:
    """uint8 (3, H, W), channels last."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def collate_channels_last(images: list[torch.Tensor]) -> torch.Tensor:
    """Pixels of images, each uint8 (3, H, W), as (B, 3, H, W), channels last; in a worker process in shared memory."""
    return default_collate([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def normalize(
    pixels: torch.Tensor, spec: InputSpec, device: torch.device, out: torch.Tensor | None = None
) -> torch.Tensor:
    """uint8 (B, 3, H, W) to float32 (x / 255 - mean) / std on the device, channels last; in ``out`` if not None."""
    if out is None:
        x = pixels.to(device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
    else:
        x = out.copy_(pixels)
    mean, std = _statistics(spec.mean, spec.std, x.shape[3], device)
    x.permute(0, 2, 3, 1).view(-1, len(mean)).sub_(mean).div_(std)  # three channels alone are slow
    return x


def renormalize(x: torch.Tensor, spec: InputSpec, other: InputSpec) -> torch.Tensor:
    """Normalized pixels of one specification as those of another, with the bits that ``normalize`` gives.

    Args:
        x: From ``normalize``; the result has its memory if nothing changes.
        spec: Of ``x``.
        other: Differs in mean and standard deviation at most.
    """
    if (spec.mean, spec.std) == (other.mean, other.std):
        return x
    mean, std = _statistics(spec.mean, spec.std, x.shape[3], x.device)
    values = x.permute(0, 2, 3, 1).reshape(-1, len(mean)) * std + mean
    pixels = values.round_().view(*x.shape[:1], *x.shape[2:], x.shape[1]).permute(0, 3, 1, 2)
    return normalize(pixels, other, x.device)


@functools.cache  # making a tensor on a GPU waits for the GPU
def _statistics(
    mean: tuple[float, ...], std: tuple[float, ...], width: int, device: torch.device
) -> tuple[torch.Tensor, ...]:
    """On the scale 0..255, for each number of a row of pixels, each (width * 3,)."""
    return tuple(torch.tensor(values, device=device).mul_(255).repeat(width) for values in (mean, std))


class Mixer:
    """Mixup and CutMix of a batch; which one and how strongly is a function of (seed, step) alone.

    Zhang et al. 2018 (arXiv 1710.09412); Yun et al. 2019 (arXiv 1905.04899).
    """

    def __init__(self, config: ImageTrainingConfig, classes: int, seed: int) -> None:
        self._seed = seed
        self._choices: list[torch.nn.Module] = []
        if config.mixup:
            self._choices.append(v2.MixUp(alpha=config.mixup, num_classes=classes))
        if config.cutmix:
            self._choices.append(v2.CutMix(alpha=config.cutmix, num_classes=classes))

    def __call__(self, x: torch.Tensor, target: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix a batch (B, ...) with its class indices (B,); returns class probabilities (B, K) if anything is mixed."""
        if not self._choices:
            return x, target
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seeds.derive_seed(self._seed, "mix", step))
            choice = self._choices[int(torch.randint(len(self._choices), ()))]
            return choice(x, target)
