"""The strategies of transfer learning, one per file.

Enters: a run context (configuration, splits, backbone, features). Leaves: a trained strategy with its scores, tensors
and costs. Adding one is a file with a subclass of ``base.Strategy`` and a line in the dict here, which has names only,
so that the command line knows them without loading torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from topwork.core.names import strategy_of

if TYPE_CHECKING:
    from topwork.strategies.base import Strategy


class StrategyInfo(NamedTuple):
    """What is known of a strategy before torch is loaded.

    Attributes:
        class_name: Of its class, in the file of its name.
        trains_network: Whether it trains on images, else on features.
        default: Whether a comparison that names no strategies trains it.
        features: Whether it starts from features of the frozen backbone.
        deterministic: Whether its result does not depend on the seed, given the split and the folds that choose C or k:
            these belong to the data, which further seeds keep. Such a fit takes seconds, so that its learning curve
            over labels is always computed.
    """

    class_name: str
    trains_network: bool
    default: bool = True
    features: bool = True
    deterministic: bool = False


STRATEGIES = {
    "scratch": StrategyInfo("Scratch", trains_network=True, features=False),
    "mlp": StrategyInfo("MLP", trains_network=False),
    "linear": StrategyInfo("Linear", trains_network=False, default=False, deterministic=True),
    "knn": StrategyInfo("KNN", trains_network=False, default=False, deterministic=True),
    "svm": StrategyInfo("SVM", trains_network=False, deterministic=True),
    "finetune": StrategyInfo("Finetune", trains_network=True),
}
DEFAULT_STRATEGIES = tuple(name for name, info in STRATEGIES.items() if info.default)


def info_of(name: str) -> StrategyInfo:
    """That of a training, ``svm`` or ``svm@resnet18``."""
    return STRATEGIES[strategy_of(name)]


def work_order(names: Iterable[str]) -> list[str]:
    """The order in which a comparison trains strategies: what says most soonest.

    Heads on frozen features before networks; among heads those that take seconds first; among networks those that start
    from pretrained weights first, of which more is to be expected.

    >>> work_order(["scratch", "mlp", "svm", "finetune"])
    ['svm', 'mlp', 'finetune', 'scratch']
    """
    known = {name: info_of(name) for name in names}
    return sorted(known, key=lambda n: (known[n].trains_network, not known[n].deterministic, not known[n].features))


def need_pretrained(names: Iterable[str]) -> bool:
    """Whether any of the strategies starts from pretrained weights."""
    return any(info_of(name).features for name in names)


def load(name: str) -> Strategy:
    """The strategy of a training."""
    return getattr(import_module(f"topwork.strategies.{strategy_of(name)}"), info_of(name).class_name)()
