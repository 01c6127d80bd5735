"""Names of files, of joined networks (``A+B+C``), and of the trainings of a comparison (``svm``, ``svm@resnet18``).

The name of a training is that of its folder too, so that the model in it has no characters that a folder cannot have.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from topwork.core.errors import UsageError

AT = "@"  # between the strategy and the model of a training
JOIN = "+"  # between the models of a joined one
PRETRAINED = "pretrained"


def slug(text: str) -> str:
    """A name that is safe as a file name on every system: letters of any script; a hash for what cannot be kept."""
    name = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).strip("-.")
    if name and text.isprintable():
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{name or 'data'}-{digest[:8]}" if text else "data"


def all_names(strategies: Iterable[str], models: Sequence[str]) -> list[str]:
    """Every strategy on every backbone; with one backbone the strategies.

    >>> all_names(["svm", "mlp"], ["resnet18", "hf-hub:timm/resnet50"])
    ['svm@resnet18', 'svm@hf-hub-timm-resnet50', 'mlp@resnet18', 'mlp@hf-hub-timm-resnet50']
    """
    if len(models) < 2:
        return list(strategies)
    return [f"{strategy}{AT}{slug(model)}" for strategy in strategies for model in models]


def strategy_of(name: str) -> str:
    """The strategy.

    >>> strategy_of("svm@resnet18"), strategy_of("svm")
    ('svm', 'svm')
    """
    return name.partition(AT)[0]


def strategies_of(names: Iterable[str]) -> list[str]:
    """The strategies, each once."""
    return list(dict.fromkeys(map(strategy_of, names)))


def same_model(one: str, other: str) -> bool:
    """Whether two trainings of a comparison are on one backbone."""
    return one.partition(AT)[2] == other.partition(AT)[2]


def model_of(name: str, models: Sequence[str], only: str) -> str:
    """The backbone.

    Args:
        name: Of a training.
        models: Those that are compared; empty if there is only one.
        only: The one.
    """
    label = name.partition(AT)[2]
    return next((model for model in models if slug(model) == label), only)


def split_models(model: str) -> tuple[str, ...]:
    """The names of the joined networks; one name of a single network.

    Raises:
        UsageError: A name is empty or occurs twice.

    >>> split_models("resnet18+vit_tiny_patch16_224")
    ('resnet18', 'vit_tiny_patch16_224')
    """
    names = tuple(model.split(JOIN))
    if len(names) > 1 and not all(names):
        raise UsageError(f"--model {model} has an empty name; networks are joined as A+B.")
    if len({*map(module_name, names)}) < len(names):
        raise UsageError(f"--model {model} names a network twice; its features would be the same.")
    return names


def split_weights(weights: str, models: tuple[str, ...]) -> tuple[str, ...]:
    """The weights of each network: ``"pretrained"`` is for all, files are joined like the networks.

    Raises:
        UsageError: There are more or fewer files than networks.
    """
    if len(models) == 1 or weights == PRETRAINED:
        return (weights,) * len(models)
    found = tuple(weights.split(JOIN))
    if len(found) != len(models):
        raise UsageError(
            f"--weights {weights} is for {len(found)} of {len(models)} networks. Give one for each, as A+B+C in the "
            "order of --model; 'pretrained' is one too."
        )
    return found


def module_name(model: str) -> str:
    """What a network is called inside of a joined one."""
    return re.sub(r"\W", "_", model)
