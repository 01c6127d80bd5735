"""What the JSON files of a run and of a model must be, whoever wrote them; other keys are allowed and ignored.

A file is checked when it is read, so that code behind it can rely on the types and limits here. Imported inside
functions only: decoder processes do without pydantic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, ValidationError, model_validator

from topwork.core.base_config import MAX_SIDE
from topwork.core.errors import CorruptFile
from topwork.core.names import AT, JOIN, module_name, slug, strategy_of
from topwork.core.strategy_config import StrategySettings

Number = Annotated[float, Field(ge=-1e300, le=1e300)]
Amount = Annotated[float, Field(ge=0, le=1e300)]
Natural = Annotated[int, Field(ge=0, lt=2**53)]
Positive = Annotated[int, Field(ge=1, lt=2**53)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Scalar = str | int | float | bool | None
MAX_RESIZE = 2 * MAX_SIDE  # pixels
_Mean = Annotated[list[Number], Field(min_length=3, max_length=3)]
_Std = Annotated[list[Annotated[float, Field(ge=1e-6, le=1e6)]], Field(min_length=3, max_length=3)]


def _check_strategy(name: str) -> str:
    if name not in StrategySettings.model_fields:
        raise ValueError(f"no strategy is called {name!r}")
    return name


def _check_training(name: str) -> str:
    """It is the name of a folder, too."""
    label = name.partition(AT)[2]
    if AT in name and label != slug(label):
        raise ValueError(f"{label!r} is no backbone")
    return _check_strategy(strategy_of(name)) and name


StrategyName = Annotated[str, AfterValidator(_check_strategy)]
TrainingName = Annotated[str, AfterValidator(_check_training)]


class _Stored(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, frozen=True)


class _Metric(_Stored):
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None

    @model_validator(mode="after")
    def _has_both_ends(self) -> _Metric:
        if (self.low is None) != (self.high is None) or (self.low is not None and self.value is None):
            raise ValueError("an interval needs value, low and high")
        return self


class _ClassMetrics(_Stored):
    name: str = Field(alias="class")
    images: Natural = 0
    precision: Fraction | None = None
    recall: Fraction | None = None
    f1: Fraction | None = None


class _SplitMetrics(_Stored):
    images: Natural = 0
    classes: Natural = 0
    groups: Natural | None = None
    accuracy: _Metric | None = None
    balanced_accuracy: _Metric | None = None
    macro_f1: _Metric | None = None
    log_loss: _Metric | None = None
    roc_auc: _Metric | None = None
    top5: _Metric | None = None
    ece: _Metric | None = None
    per_class: list[_ClassMetrics] | None = None
    confusion: list[list[Natural]] | None = None

    @model_validator(mode="after")
    def _is_square(self) -> _SplitMetrics:
        size = len(self.confusion or ())
        if any(len(row) != size for row in self.confusion or ()):
            raise ValueError("confusion is not a square table")
        if self.confusion and len(self.per_class or ()) != size:
            raise ValueError("confusion and per_class have different numbers of classes")
        return self


class _OOD(_Stored):
    threshold: Number | None = None
    neighbours: Positive = 1


class _Decision(_Stored):
    temperature: Annotated[float, Field(gt=0, le=1e300)] = 1.0
    confidence_threshold: Fraction | None = None
    folds: Natural = 0
    ood: _OOD | None = None


class _CutShort(_Stored):
    epochs: Positive
    ordinary: Positive
    limit: Literal["minutes", "cpu", "epochs", "patience"]
    improving: bool
    model_config = ConfigDict(extra="forbid")


class Metrics(_Stored):
    """``metrics.json``."""

    test: _SplitMetrics | None = None
    val: _SplitMetrics | None = None
    costs: dict[str, Amount | None] | None = None
    selection: dict[str, Scalar] | None = None
    decision: _Decision | None = None
    notes: list[str] | None = None
    cut_short: _CutShort | None = None
    deterministic: bool = False


class _Excluded(_Stored):
    id: str = ""
    reason: str = ""


class _Data(_Stored):
    name: str = ""
    root: str = ""
    images: Natural | None = None
    counts: dict[str, dict[str, Natural]] | None = None
    excluded: list[_Excluded] | None = None
    converted: dict[str, Natural] | None = None
    ignored: dict[str, str] | None = None
    license: str | None = None
    note: str | None = None
    split_note: str | None = None
    reading: str | None = None


class _Requested(_Stored):
    seed: Natural = 0
    n_seeds: Positive | None = None
    folds: Natural | None = None
    trials: Natural | None = None
    balance: bool = False
    metric: Literal["auto", "accuracy", "balanced-accuracy", "macro-f1", "roc-auc", "log-loss"] | None = None


class _Details(_Stored):
    command: str | None = None
    topwork: str | None = None
    launch: str = ""
    data: _Data | None = None
    config: _Requested | None = None
    backbone: dict[str, Scalar] | None = None
    backbones: list[dict[str, Scalar]] | None = None
    device: dict[str, Scalar] | None = None


class RunJson(_Stored):
    """``run.json``."""

    kind: Literal["run", "comparison"]
    name: str
    created: str
    status: str
    strategies: Annotated[list[TrainingName], Field(min_length=1)]
    details: _Details = _Details()
    format: Positive
    model_config = ConfigDict(extra="forbid")


class History(_Stored):
    """A line of ``history.jsonl``."""

    epoch: Positive
    step: Natural
    train_loss: Number
    val_loss: Number
    val_accuracy: Fraction
    lr: Number
    best: bool
    val_metric: Number | None = None
    model_config = ConfigDict(extra="forbid")


class Draw(_Stored):
    """A file of ``learning_curves/``: number of training images to the wrong test images."""

    wrong: dict[Annotated[str, Field(pattern=r"^[1-9]\d{0,8}$", strict=False)], list[Natural]]


class Environment(RootModel[dict[str, Scalar]]):
    """``environment.json``."""


class _PixelRules(_Stored):
    bit_depth: Annotated[int, Field(ge=8, le=16)]
    background: Literal["white", "black", "gray"]
    model_config = ConfigDict(extra="forbid")


class _Input(_Stored):
    size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    resize_size: Annotated[int, Field(ge=1, le=MAX_RESIZE)]
    interpolation: Literal["bilinear", "bicubic", "lanczos", "nearest"]
    mean: _Mean
    std: _Std
    pixel_rules: _PixelRules
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _keeps_the_center(self) -> _Input:
        if not self.size <= self.resize_size:
            raise ValueError(f"resize_size is {self.resize_size}, expected at least size, {self.size}")
        return self


class _OnHub(_Stored):
    name: Annotated[str, Field(pattern=r"^\w+(\.\w+)?$")]
    args: dict[str, Any]
    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _builds_only_a_network(self) -> _OnHub:
        if unknown := self.args.keys() & FORBIDDEN_ARGUMENTS:
            raise ValueError(f"args has {', '.join(sorted(unknown))}, which would read a file or the network")
        if not all(map(_is_small, self.args.values())):
            raise ValueError("args has values that are no plain settings of a network")
        return self


FORBIDDEN_ARGUMENTS = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_model_args", "checkpoint_path", "cache_dir",
    "scriptable", "exportable", "no_jit", "features_only", "num_classes", "model_name", "hf_hub_id", "weights",
}  # fmt: skip


def _is_small(value: Any) -> bool:
    """Whether a setting of a network cannot make it huge or be a path."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return len(value) <= 64 and all(map(_is_small, inner))
    if isinstance(value, str):
        return len(value) <= 64 and "/" not in value and "\\" not in value
    return value is None or abs(value) <= MAX_SIDE


class _Inference(_Stored):
    engine: str | None = None
    engine_version: str | None = None
    precision: str | None = None
    device: str | None = None
    mirrored: bool = False


class _TrainedOn(_Stored):
    name: str = ""
    note: str = ""
    images: dict[str, Natural] = {}
    crop_to_box: bool = False


class _Member(_Stored):
    model: Annotated[str, Field(min_length=1)]
    mean: _Mean
    std: _Std
    on_hub: _OnHub | None = None
    model_config = ConfigDict(extra="forbid")


class ModelJson(_Stored):
    """``model.json`` of a bundle."""

    format: Positive
    strategy: StrategyName
    model: Annotated[str, Field(min_length=1)]
    classes: Annotated[list[str], Field(min_length=1)]
    input: _Input
    score_type: Literal["logit", "margin"] = "logit"
    decision: _Decision | None = None
    data: _TrainedOn | None = None
    inference: _Inference | None = None
    on_hub: _OnHub | None = None
    members: list[_Member] = []
    weights_license: str = ""
    data_license: str = ""

    @model_validator(mode="after")
    def _is_complete(self) -> ModelJson:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have one name")
        names = self.model.split(JOIN)
        if [member.model for member in self.members] != (names if len(names) > 1 else []):
            raise ValueError(f"members are not the networks of {self.model}")
        if len({*map(module_name, names)}) < len(names):
            raise ValueError(f"{self.model} names a network twice")
        for network in self.members or [self]:
            if ":" in network.model and network.on_hub is None:
                raise ValueError(f"on_hub is missing for {network.model}")
        return self


def check(value: Any, schema: type[BaseModel], path: Path) -> None:
    """Refuse the content of a file that does not have the form of a schema.

    Raises:
        CorruptFile: The message names the file, the first wrong entry and what was expected.
    """
    try:
        schema.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        text = first["msg"].removeprefix("Value error, ")
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        found = "" if first["type"] in ("value_error", "missing") else f", found {_shorten(first['input'])}"
        raise CorruptFile(
            f"{path} is not as topwork writes it: {f'{where}: ' if where else ''}{text[0].lower()}{text[1:]}{found}"
            f"{more}. Restore it from its source."
        ) from error


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
