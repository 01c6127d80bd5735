"""The settings of each strategy: torch-free, so that the command line and the strategy's file can both import them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from topwork.core.base_config import Auto, BaseConfig, Count, Flag, Pixels
from topwork.core.names import strategy_of

RATES = ("lr", "weight_decay")  # their defaults depend on the optimizer
CPU_MINUTES = {"scratch": (2.0, 2.0), "finetune": (4.75, 15.0)}
"""Time budget of a training on a CPU with neither epochs nor minutes set, and a longer one for the fewest epochs."""
Rate = Annotated[float, Field(gt=0)]


def _by_optimizer(adamw: float, sgd: float) -> Any:
    """A field whose default depends on the optimizer, which is declared before it."""
    return Field(default_factory=lambda data: sgd if data.get("optimizer") == "sgd" else adamw)


def _check_mirroring(tta: bool | Auto, flip: str) -> None:
    if tta is True and flip == "none":
        raise ValueError("tta mirrors images, which flip = 'none' does not allow; remove one of them")


class TrainingConfig(BaseConfig):
    """The training core, shared by every strategy that trains by gradient descent."""

    epochs: Annotated[Count | Auto, Flag()] = "auto"
    """Passes over the training images. auto: by the number of images."""
    batch_size: Annotated[int, Flag(short="-b")] = Field(default=32, ge=2)
    """Images per optimizer step."""
    micro_batches: int = Field(default=1, ge=1)
    """Micro-batches that a batch is processed in; doubled automatically when a GPU runs out of memory."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    lr: Annotated[Rate, Flag()] = _by_optimizer(adamw=1e-3, sgd=0.02)
    """Peak learning rate of the head; auto: by strategy and optimizer."""
    weight_decay: Annotated[float, Field(ge=0), Flag()] = _by_optimizer(adamw=0.05, sgd=2.5e-4)
    """Weight decay, except of biases, normalization and position embeddings: decoupled for AdamW, an L2 penalty in the
    gradient for SGD; auto: by optimizer."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor of the learning rate per layer from the head to the input; of more than 16 layers 16 of it in all."""
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from 0; after them it falls along a cosine to 0."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to at most this norm."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability mass that the target spreads over all classes."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of a running average of the weights that is evaluated and kept; 0 switches it off."""
    patience: Annotated[int, Flag()] = Field(default=0, ge=0)
    """Stop after N epochs without a better one on images held out; 0 never stops early."""

    @model_validator(mode="before")
    @classmethod
    def _auto_rates(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        return {name: value for name, value in settings.items() if not (name in RATES and value == "auto")}

    def scale_rates(self, sampled: dict[str, Any]) -> dict[str, Any]:
        """Rates that suit AdamW, scaled as the defaults of the optimizer are."""
        own, adamw = type(self)(optimizer=self.optimizer), type(self)(optimizer="adamw")
        scaled = {
            name: sampled[name] * (getattr(own, name) / getattr(adamw, name)) for name in RATES if name in sampled
        }
        return {**sampled, **scaled}


class HeldOutConfig(BaseConfig):
    """Heads whose settings are chosen, and whose probabilities are calibrated, on images held out from fits."""

    folds: int = Field(default=5, ge=0)
    """Folds of the training and validation images: out-of-fold predictions choose and calibrate, the final fit is on
    all. 0: the fit is on the training images, and the validation images choose and calibrate."""
    tta: bool | Auto = "auto"
    """Test-time augmentation: features are the mean of those of an image and of its mirror image, in training and in
    prediction, which takes up to twice as long. auto: if a quick classifier is then better on images held out."""

    @field_validator("folds")
    @classmethod
    def _no_single_fold(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves nothing to train on; use 0 (the validation set) or 2 and more")
        return folds


class LinearClassifierConfig(HeldOutConfig):
    """Linear classifiers whose C, the inverse strength of the L2 penalty, is chosen among a few."""

    Cs: tuple[float, ...] = ()
    """Values of C to choose from; larger ones are not tried once two in a row do worse."""


class ImageTrainingConfig(TrainingConfig):
    """Training on images, with augmentation."""

    minutes: Annotated[float | None, Flag()] = Field(default=None, gt=0)
    """Time budget of a training, converted to whole epochs after timing a few steps; --epochs limits them."""
    train_size: Pixels | Auto = "auto"
    """Side of the training crops in pixels; auto: that of the network, on a CPU 6/7 of it."""
    min_crop_area: float = Field(default=0.5, gt=0, le=1)
    """Smallest share of the image's area that a training crop covers."""
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    """Mirror half of the training images left to right; both: and half of them top to bottom."""
    randaugment: int = Field(default=0, ge=0, le=30)
    """Magnitude of RandAugment (two operations an image); 0 switches it off."""
    mixup: float = Field(default=0.0, ge=0)
    """Alpha of mixup; 0 switches it off."""
    cutmix: float = Field(default=0.0, ge=0)
    """Alpha of cutmix; 0 switches it off."""
    batch_norm: Literal["update", "frozen"] = "update"
    """Whether BatchNorm layers follow the training images or keep their pretrained statistics."""
    resize_from: Pixels | None = None
    """Side of the crops in the first epoch; they grow to `train_size` over the epochs (progressive resizing)."""
    compile: bool | Auto = "auto"
    """torch.compile for the training step. auto: on a CPU, for long trainings."""
    tta: bool | Auto = "auto"
    """Test-time augmentation: predictions are by the mean of the features of an image and of its mirror image, and take
    up to twice as long. auto: if that lowers the log-loss on the validation images."""

    @model_validator(mode="after")
    def _check_tta(self) -> ImageTrainingConfig:
        _check_mirroring(self.tta, self.flip)
        return self


class MLPConfig(TrainingConfig, HeldOutConfig):
    """Settings of ``mlp``."""

    epochs: Count = 40
    batch_size: int = Field(default=128, ge=2)
    lr: Rate = _by_optimizer(adamw=5e-4, sgd=0.05)
    hidden: Count = 1024
    """Width of the hidden layer."""
    flip: Literal["none", "horizontal"] = "horizontal"
    """Mirror half of the training images left to right."""
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Share of hidden units that are switched off in a training step."""

    @model_validator(mode="after")
    def _check_tta(self) -> MLPConfig:
        _check_mirroring(self.tta, self.flip)
        return self


class LinearConfig(LinearClassifierConfig):
    """Settings of ``linear``."""

    Cs: tuple[float, ...] = Field(default=(1e-3, 1e-2, 1e-1, 1.0), min_length=1)


class SVMConfig(LinearClassifierConfig):
    """Settings of ``svm``."""

    kernel: Literal["linear", "rbf"] = "linear"
    """rbf learns a nonlinear boundary; its cost grows with the square of the number of images."""
    Cs: tuple[float, ...] = ()
    """Values of C to choose from; empty: 1e-4 to 0.1 for linear, 0.1 to 100 for rbf."""


class KNNConfig(HeldOutConfig):
    """Settings of ``knn``."""

    neighbours: tuple[int, ...] = Field(default=(1, 3, 5, 10, 20, 50), min_length=1)
    """Values of k to choose from."""


class ScratchConfig(ImageTrainingConfig):
    """Settings of ``scratch``."""

    lr: Rate = _by_optimizer(adamw=2e-3, sgd=0.05)


class FinetuneConfig(ImageTrainingConfig):
    """Settings of ``finetune``.

    Batches are of 16 or 8 images, not 32, where 32 make fewer than 1,000 steps (250 with fewer than 10 classes).
    The defaults of ``lr``, ``layer_decay`` and ``batch_norm`` are those of few steps or classes; with 1,000 steps and
    10 classes, or more, a network with BatchNorm takes twice the rate, layer_decay 1 and "update", where not given.
    """

    lr: Rate = _by_optimizer(adamw=5e-4, sgd=0.01)
    layer_decay: float = Field(default=0.85, gt=0, le=1)
    batch_norm: Literal["update", "frozen"] = "frozen"
    """frozen: the fitted head keeps seeing the features that it was fitted on."""
    ema_decay: float = Field(default=0.98, ge=0, lt=1)
    freeze_stages: Annotated[int, Flag()] = Field(default=0, ge=0)
    """Keep the stem and N stages of the network as pretrained; what they compute is kept on disk. For finetune."""
    views: int = Field(default=4, ge=0)
    """With freeze_stages: augmented views of each image that are kept; 0: the images as in evaluation."""

    @model_validator(mode="after")
    def _check_freeze_stages(self) -> FinetuneConfig:
        if self.freeze_stages:
            for name in ("mixup", "cutmix", "resize_from"):
                if getattr(self, name):
                    raise ValueError(f"freeze_stages keeps activations of single images of one size; remove {name}")
            if self.compile is True:
                raise ValueError("freeze_stages cannot be combined with compile; remove one of them")
        return self


class StrategySettings(BaseConfig):
    """The settings of every strategy; a strategy adds its field here."""

    scratch: ScratchConfig = ScratchConfig()
    mlp: MLPConfig = MLPConfig()
    linear: LinearConfig = LinearConfig()
    knn: KNNConfig = KNNConfig()
    svm: SVMConfig = SVMConfig()
    finetune: FinetuneConfig = FinetuneConfig()

    def __getitem__(self, name: str) -> BaseConfig:
        """Those of a strategy by its name, or that of a training."""
        return getattr(self, strategy_of(name))

    @classmethod
    def complete(cls, settings: Mapping[str, BaseConfig]) -> StrategySettings:
        """Settings of which every value counts as explicit, so that ``config.toml`` holds it."""
        return cls.model_validate({name: own.model_dump() for name, own in settings.items()})
