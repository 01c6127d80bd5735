"""The configuration: one frozen, validated model per component; TOML in and out. Imports no torch.

A setting is declared once: its field gives the default, the docstring the help, and ``Flag`` an option of the command
line and a keyword argument (``options``). ``"auto"`` is resolved before a training starts; the ``config.toml`` of a run
has none.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tomli_w
from pydantic import Field, FieldSerializationInfo, ValidationError, field_serializer, model_validator

from topwork.core import storage
from topwork.core.base_config import Auto, BaseConfig, Count, File, Flag, Pixels, Share
from topwork.core.errors import ConfigError
from topwork.core.names import all_names
from topwork.core.strategy_config import StrategySettings

DEFAULT_MODEL = "tf_efficientnet_lite0"


class DataConfig(BaseConfig):
    """Which images, and how they are split."""

    path: str
    """A folder of class folders, a table, tar shards, or the name of a data set."""
    source: Annotated[str, Flag()] = "auto"
    """Kind of DATA: auto, folder, file-names, table, webdataset, stanford-cars, hugging-face, elpv."""
    layout: Annotated[str, Flag()] = ""
    """Folders: what their levels below DATA are, e.g. class, split/class, '*/class' or class/NAME; empty: found
    out."""
    label_from: Annotated[str, Flag()] = ""
    """Regular expression on the path of each image, whose one group is the label, e.g. '([^/]+)_[0-9]+[.]jpg$'."""
    labels_from_path: Annotated[bool, Flag()] = False
    """Folders: class names are paths such as dogs/terrier, not the name of the topmost folder."""
    crop_to_box: Annotated[bool, Flag()] = False
    """Use only the bounding box of each image. For stanford-cars and tables with a column box."""
    group_by: Annotated[str, Flag()] = ""
    """Keep each group in one split: a column of the table, 'folder', or a regular expression on the path."""
    splits: Literal["given", "new"] = "given"
    """given: keep the training, validation and test sets of the data; new: mix all images and split again."""
    near_duplicates: bool = True
    """Keep images of equal content in one split also if they were resized, recompressed, mirrored or rotated; false:
    only those of equal pixels."""
    exclude: Annotated[File, Flag()] = ""
    """List of images to exclude (topwork check --write-exclude)."""
    table: Annotated[File, Flag()] = ""
    """Table with the labels of the images in DATA; empty: found among the files in DATA."""
    path_column: Annotated[str, Flag()] = ""
    """Tables: column of paths or names of images; empty: found out from the cells."""
    label_column: Annotated[str, Flag()] = ""
    """Tables, Parquet files, data sets of a hub: column of labels; empty: found out from the cells."""
    label_key: Annotated[str, Flag()] = ""
    """Shards: what holds the label: cls, txt, json or json:KEY; empty: the first that a sample has."""
    class_names: Annotated[File, Flag()] = ""
    """File of class names: one per line (for labels that are numbers), LABEL NAME on each line, or JSON."""
    similar_labels: Annotated[Literal["error", "merge", "keep"], Flag()] = "error"
    """Labels that differ only in case, blanks or as 1 and 1.0: refuse them (error), merge each into its most frequent
    form, or keep them as different classes."""
    min_images_per_class: Annotated[Annotated[int, Field(ge=0)], Flag()] = 0
    """Leave out classes of fewer different training images, or groups of images; 0: none."""
    bit_depth: Annotated[Annotated[int, Field(ge=8, le=16)] | Auto, Flag()] = "auto"
    """Bits that images of 16 bits per channel use. auto: by the largest value in all images, 8, 10, 12, 14 or 16."""
    background: Annotated[Literal["auto", "white", "black", "gray"], Flag()] = "auto"
    """Color under transparent pixels: white, black or gray. auto: white, if drawings are visible on it."""
    val_fraction: Annotated[Share, Flag()] = 0.15
    """Share of the training images that is used for validation: it chooses the epoch of networks and calibrates them;
    heads on frozen features also learn from it."""
    test_fraction: Annotated[Share | Auto, Flag()] = "auto"
    """Share of all images that is held out for the test set; auto: what is usual for the source, else 0.2."""


class BackboneConfig(BaseConfig):
    """Which pretrained network, and its input."""

    model: Annotated[str, Flag(repeated="compare")] = DEFAULT_MODEL
    """timm name of the backbone, or hf-hub:OWNER/NAME. A+B joins the features of several, for svm, linear, mlp, knn.
    compare takes several models."""
    weights: Annotated[str, Flag()] = "pretrained"
    """'pretrained', a .safetensors or .pth file, or a run of topwork, whose network is trained further. Of joined
    networks one for each: A+B."""
    img_size: Annotated[Pixels | Auto, Flag()] = "auto"
    """Side of the square input in pixels. auto: that of the pretraining."""
    crop_pct: Annotated[Annotated[float, Field(gt=0.1, le=1)] | Auto, Flag()] = "auto"
    """Share of the image's sides that is kept around its center; 1 keeps all; auto: as the weights were tested."""


class ComputeConfig(BaseConfig):
    """Where and how to compute."""

    device: Annotated[str, Flag()] = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Annotated[Literal["auto", "float32", "bfloat16", "float16"], Flag()] = "auto"
    """Of activations: auto (bfloat16 where the hardware supports it), float32, bfloat16 or float16."""
    engine: Annotated[Literal["auto", "torch", "openvino"], Flag(only="inference")] = "auto"
    """What runs a frozen network: auto (training: openvino where it is installed; predict, serve: as in evaluation),
    torch or openvino."""
    workers: Annotated[Annotated[int, Field(ge=0)] | Auto, Flag(short="-j")] = "auto"
    """Processes that decode images; 0 decodes in the main process."""
    threads: Annotated[Count | Auto, Flag()] = "auto"
    """CPU threads of torch. A resumed run is bit-identical only with the same number."""
    fsdp: bool | Auto = "auto"
    """On several devices: shard weights, gradients and optimizer state. auto: when a GPU is too small to hold them."""


class Config(BaseConfig):
    """Everything that decides what a run computes."""

    data: DataConfig
    """The images."""
    backbone: BackboneConfig = BackboneConfig()
    """The network."""
    compute: ComputeConfig = ComputeConfig()
    """The hardware."""
    strategies: tuple[str, ...] = Field(min_length=1)
    """What is trained, in this order of the table; with several backbones STRATEGY@MODEL."""
    models: tuple[str, ...] = ()
    """Several backbones to compare, each with every strategy; empty: only that of the section backbone."""
    seed: Annotated[int, Flag()] = Field(default=0, ge=0)
    """Decides the split, random weights, orders and augmentations."""
    metric: Annotated[Literal["auto", "accuracy", "balanced-accuracy", "macro-f1", "roc-auc", "log-loss"], Flag()] = (
        "auto"
    )
    """Decides which epoch, C, k, trial and strategy is chosen, and what the verdict compares: accuracy,
    balanced-accuracy, macro-f1, roc-auc or log-loss. auto: accuracy, with a warning where that is a bad choice."""
    balance: Annotated[bool, Flag()] = False
    """Each class counts as much as every other in training, however few images it has: for rare classes."""
    n_seeds: Annotated[Count, Flag(only="compare")] = 1
    """Train each strategy with N seeds, from --seed on, on the same split."""
    folds: Annotated[int, Flag(only="compare")] = Field(default=0, ge=0)
    """Cross-validation with N folds: every image is tested once; 0: one split."""
    trials: Annotated[int, Flag()] = Field(default=0, ge=0)
    """Settings to try for each strategy, evaluated on images held out; 0: no search."""
    learning_curve: Annotated[tuple[str, ...], Flag(only="compare")] = ()
    """Strategy whose learning curve over labels is made beside those that train in seconds; none: of none."""
    settings: StrategySettings = StrategySettings()
    """Settings of each strategy."""

    @field_serializer("settings")
    def _explicit_settings(self, settings: StrategySettings, info: FieldSerializationInfo) -> dict[str, Any]:
        return settings.model_dump(mode=info.mode, exclude_unset=True, exclude_none=info.exclude_none)

    @model_validator(mode="after")
    def _several_models(self) -> Config:
        if self.models and self.backbone.weights != "pretrained":
            raise ValueError(f"weights of {self.backbone.weights} fit one backbone; compare several as pretrained")
        if len(set(all_names([""], self.models))) != max(1, len(self.models)):
            raise ValueError(f"a backbone is named twice: {', '.join(self.models)}; name each once")
        return self

    @model_validator(mode="after")
    def _one_kind_of_repeat(self) -> Config:
        if self.folds == 1:
            raise ValueError("folds = 1 leaves nothing to train on; use 0, or 2 or more")
        if self.folds and self.n_seeds > 1:
            raise ValueError("n_seeds and folds are two ways to repeat trainings; use one of them")
        return self


C = TypeVar("C", bound=BaseConfig)
UNION_BRANCHES = {"int", "float", "constrained-int", "constrained-float", "literal['auto']"}  # names that pydantic adds


def validate(model: type[C], value: dict[str, Any], where: str = "") -> C:
    """Build a component from a dict.

    Raises:
        ConfigError: One line that names every invalid field, with its value.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults: dict[str, str] = {}
        for item in error.errors():
            if item["type"] == "default_factory_not_called":  # a default that depends on a field with a fault
                continue
            parts = [str(part) for part in item["loc"] if str(part) not in UNION_BRANCHES]
            parts = parts[1:] if parts[:1] == ["settings"] and len(parts) > 1 else parts  # as --set names them
            name = ".".join([where] * bool(where) + parts)
            faults.setdefault(name, _fault(name, item))
        raise ConfigError("; ".join(faults.values()) + ".") from error


def _fault(name: str, item: Any) -> str:
    if not name:  # about several settings together
        return item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        if name in StrategySettings.model_fields:
            return f"the settings of {name} are in the section [settings.{name}] of a file"
        known = list(_setting_names(Config))
        same = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
        if name.rpartition(".")[2] in ("class_weight", "class_weights"):  # as other tools call it
            return f"there is no setting {name}; --balance, or a column `weight` of a table, weights images"
        near = same or difflib.get_close_matches(name, known, n=3)
        return f"there is no setting {name}" + (f"; the nearest are {', '.join(near)}" if near else "")
    return f"{name}: {item['msg'][0].lower()}{item['msg'][1:]}, got {item['input']!r}"


def _setting_names(model: type[BaseConfig], prefix: str = "") -> Iterator[str]:
    """All settings, as ``--set`` names them."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseConfig):
            yield from _setting_names(kind, "" if kind is StrategySettings else f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def read_toml(path: Path, read: Callable[[Path], bytes] = Path.read_bytes) -> dict[str, Any]:
    """The content of a TOML file; a ConfigError with line and column if it cannot be read."""
    try:
        return tomllib.loads(read(path).decode("utf-8", "surrogateescape"))  # a path need not be Unicode
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not a readable TOML file: {error}.") from error


def to_toml(config: Config) -> str:
    """A configuration as TOML; settings that are None are left out."""
    return tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))


def write(config: Config, path: Path) -> None:
    """Write ``config.toml``."""
    storage.write_text(path, to_toml(config))


def read(path: Path) -> Config:
    """The configuration in ``config.toml`` of a run, which somebody else may have made."""
    return validate(Config, read_toml(path, storage.read_regular))


def put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    """Set ``tree[a][b] = value`` for ``"a.b"``; a ConfigError if ``tree[a]`` is a value, not a table."""
    parts = dotted.split(".")
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"--set {dotted}: {part} is a value, not a table.")
    tree[parts[-1]] = value


def parse_assignment(text: str) -> tuple[str, Any]:
    """``"finetune.lr=1e-4"`` as a dotted name and a TOML value; what is not TOML is taken as a string."""
    name, equals, raw = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set takes NAME=VALUE, e.g. --set finetune.lr=1e-4; got {text!r}.")
    try:
        return name.strip(), tomllib.loads(f"x = {raw}")["x"]
    except tomllib.TOMLDecodeError:
        return name.strip(), raw.strip()


def flatten(config: Config) -> dict[str, Any]:
    """All settings by their dotted names; those of strategies only if they are explicit."""

    def flat(value: Any, prefix: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            return {prefix: value}
        return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}.{key}".strip(".")).items()}

    return flat(config.model_dump(mode="json", exclude_none=True), "")


def differences(old: Config, new: Config) -> dict[str, str]:
    """The settings in which two configurations differ, each as ``name: old -> new``."""
    a, b = flatten(old), flatten(new)
    return {name: f"{name}: {a.get(name)!r} -> {b.get(name)!r}" for name in sorted(a | b) if a.get(name) != b.get(name)}
