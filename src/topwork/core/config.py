"""The configuration: one frozen, validated model per component; TOML in and out. Imports no torch.

``"auto"`` is resolved to a number by ``pipeline.strategy_run`` before work starts; the ``config.toml`` of a run holds
none. The settings of a strategy are checked by its own ``Config`` class, which lives in the file of the strategy.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from topwork.core import storage
from topwork.core.errors import ConfigError

Auto = Literal["auto"]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=16)]
Share = Annotated[float, Field(gt=0, lt=1)]
DEFAULT_MODEL = "tf_efficientnet_lite0"


class BaseConfig(BaseModel):
    """Base of all settings: frozen, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DataConfig(BaseConfig):
    """Which images, and how they are split."""

    path: str
    """A folder of images, or the name of a data set that a source knows."""
    source: str = "auto"
    """How to read it: auto, folder, table, webdataset, stanford-cars, hugging-face, elpv."""
    labels_from_path: bool = False
    """Of a folder: class names are paths of folders, not the topmost folder's name."""
    crop_to_box: bool = False
    """Only the part of each photograph in its bounding box; for stanford-cars and tables with a column box."""
    group_by: str = ""
    """Images of one group stay in one part: a column of a table, 'folder', or a regular expression on the path."""
    splits: Literal["given", "new"] = "given"
    """given: train, val and test that the data come with are kept; new: they are mixed and split anew."""
    near_duplicates: bool = True
    """Keep images of equal content in one split also if they were resized, recompressed, mirrored or rotated; false:
    only those of equal pixels."""
    exclude: str = ""
    """A list of images to leave out, as topwork check --write-exclude writes it."""
    label_key: str = ""
    """Of webdataset shards: what holds the label: cls, txt, json or json:KEY; empty: the first that a sample has."""
    class_names: str = ""
    """Of webdataset shards: a file with a class name a line, for labels that are numbers."""
    val_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of the training images that chooses epochs, C and the like."""
    test_fraction: Share | Auto = "auto"
    """Share of all images that is held out and looked at once; auto: what is usual for the source, else 0.2."""


class BackboneConfig(BaseConfig):
    """Which pretrained network, and what it is fed."""

    model: str = DEFAULT_MODEL
    """A timm model name."""
    weights: str = "pretrained"
    """'pretrained' (by name), or a local .safetensors or .pth file."""
    img_size: Pixels | Auto = "auto"
    """Side of the square that the network gets, in pixels; auto: what the weights were trained for."""
    crop_pct: Annotated[float, Field(gt=0.1, le=1)] | Auto = "auto"
    """Share of the image's sides that is kept around its centre; 1 keeps all; auto: as the weights were tested."""


class ComputeConfig(BaseConfig):
    """Where and how the arithmetic is done."""

    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of activations; weights and optimizer are always float32. auto: bfloat16 where the hardware has it."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """What computes features. auto: OpenVINO where it is installed, else torch."""
    workers: Annotated[int, Field(ge=0)] | Auto = "auto"
    """Processes that decode images; 0 decodes in the main process."""
    threads: Count | Auto = "auto"
    """CPU threads of torch. A resumed run is bit-identical only with the same number."""
    fsdp: bool | Auto = "auto"
    """On several devices: cut weights, gradients and optimizer over them. auto: GPUs too small to hold them whole."""


class TrainingConfig(BaseConfig):
    """The training core, shared by every strategy that trains by gradient descent."""

    epochs: Count | Auto = "auto"
    """Passes over the training images; auto: by the number of images."""
    batch_size: int = Field(default=32, ge=2)
    """Images per optimizer step."""
    micro_batches: int = Field(default=1, ge=1)
    """Pieces that a batch is cut into when memory is short; doubles by itself when a GPU runs out of memory."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """AdamW, or SGD with Nesterov momentum 0.9."""
    lr: float = Field(default=1e-3, gt=0)
    """Peak learning rate of the head."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay; not applied to biases and normalisation."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Learning rate factor per layer going from the head to the input."""
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps in which the learning rate rises from 0; then it falls along a cosine to 0."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to at most this norm."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Probability mass that the target spreads over all classes."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay of a running average of the weights that is evaluated and kept; 0 switches it off."""
    class_weights: Literal["none", "balanced"] = "none"
    """balanced: each class counts as much as every other in the loss."""
    patience: int = Field(default=0, ge=0)
    """Stop after this many epochs without a better one on val; 0 never stops early."""


class LinearClassifierConfig(BaseConfig):
    """Linear classifiers whose C, the inverse strength of the L2 penalty, is chosen among a few."""

    grid: tuple[float, ...] = ()
    """Values of C to choose from; larger ones are left out once two in a row do worse."""
    folds: int = Field(default=0, ge=0)
    """0: C is chosen on val. 2 or more: by cross-validation within train."""

    @field_validator("folds")
    @classmethod
    def _no_single_fold(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold leaves nothing to train on; allowed are 0 (choose on val) and 2 or more")
        return folds

    @property
    def selection_metric(self) -> str:
        """The figure that decides."""
        return f"{self.folds}-fold accuracy" if self.folds else "val accuracy"


class ImageTrainingConfig(TrainingConfig):
    """Training on images, with augmentation."""

    minutes: float | None = Field(default=None, gt=0)
    """A time budget that is turned into a whole number of epochs after timing a few steps; `epochs` limits it."""
    train_size: Pixels | Auto = "auto"
    """Side of the training crops in pixels; auto: that of the network, on a CPU 6/7 of it."""
    min_crop_area: float = Field(default=0.5, gt=0, le=1)
    """Smallest share of the image's area that a training crop covers."""
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    """Mirror half of the training images left to right; both: half of them top to bottom too, where no side is up."""
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
    """torch.compile for the training step; auto: on a CPU, for trainings long enough to pay for compiling."""


class Config(BaseConfig):
    """Everything that decides what a run computes."""

    data: DataConfig
    backbone: BackboneConfig = BackboneConfig()
    compute: ComputeConfig = ComputeConfig()
    strategies: tuple[str, ...] = Field(min_length=1)
    """What is trained, in this order of the table."""
    seed: int = Field(default=0, ge=0)
    """Decides the split, all random weights, orders and augmentations."""
    n_seeds: int = Field(default=1, ge=1)
    """Trainings of each strategy, with the seeds `seed`, `seed + 1`, ... on the same split."""
    folds: int = Field(default=0, ge=0)
    """0: one split. 2 or more: cross-validation; every image is tested once."""
    trials: int = Field(default=0, ge=0)
    """Settings that are tried for each strategy on val before it is trained; 0 searches nothing."""
    learning_curve: tuple[str, ...] = ()
    """Strategies whose learning curve over labels is made besides those that train in seconds; none: of none."""
    settings: dict[str, dict[str, Any]] = {}
    """Per strategy, what its own Config class allows."""

    @model_validator(mode="after")
    def _one_kind_of_repeat(self) -> Config:
        if self.folds == 1:
            raise ValueError("folds = 1 leaves nothing to train on; allowed are 0 and 2 or more")
        if self.folds and self.n_seeds > 1:
            raise ValueError("seeds and folds are two ways to repeat; use one of them")
        return self


C = TypeVar("C", bound=BaseConfig)


def validate(model: type[C], value: dict[str, Any], where: str = "") -> C:
    """Build a component from a dict.

    Raises:
        ConfigError: One line that names every field that is off, with what it got.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults: dict[str, str] = {}
        for item in error.errors():
            parts = [str(part) for part in item["loc"] if str(part) not in _BRANCHES]
            name = ".".join([where] * bool(where) + parts)
            faults.setdefault(name, _fault(name, item))
        raise ConfigError("; ".join(faults.values()) + ".") from error


_BRANCHES = (
    "int",
    "float",
    "constrained-int",
    "constrained-float",
    "literal['auto']",
)  # what pydantic calls union parts


def _fault(name: str, item: Any) -> str:
    if not name:  # about several settings together
        return item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return f"there is no setting {name}"
    return f"{name}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}"


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        ConfigError: It cannot be read; the message holds line and column.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is not a readable TOML file: {error}.") from error


def to_toml(config: Config) -> str:
    """A configuration as TOML; settings that are None are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def write(config: Config, path: Path) -> None:
    """Write ``config.toml``."""
    storage.write_text(path, to_toml(config))


def read(path: Path) -> Config:
    """The configuration in a TOML file."""
    return validate(Config, read_toml(path))


def put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``tree[a][b] = value`` for ``"a.b"``.

    Raises:
        ConfigError: A part of the path is a value, not a table.
    """
    parts = dotted.split(".")
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {dotted}: {part} is a value, not a table.")
    tree[parts[-1]] = value


def parse_assignment(text: str) -> tuple[str, Any]:
    """``"finetune.lr=1e-4"`` as a dotted name and a TOML value; what is not TOML is taken as a string.

    Raises:
        ConfigError: There is no ``=``.
    """
    name, equals, raw = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set takes NAME=VALUE, e.g. --set finetune.lr=1e-4; got {text!r}.")
    try:
        return name.strip(), tomllib.loads(f"x = {raw}")["x"]
    except tomllib.TOMLDecodeError:
        return name.strip(), raw.strip()


def differences(old: Config, new: Config) -> list[str]:
    """The settings in which two configurations differ, each as ``name: old -> new``."""

    def flat(value: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: value}
        return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}.{key}".strip(".")).items()}

    a, b = (flat(config.model_dump(mode="json", exclude_none=True), "") for config in (old, new))
    return [f"{name}: {a.get(name)!r} -> {b.get(name)!r}" for name in sorted(a | b) if a.get(name) != b.get(name)]
