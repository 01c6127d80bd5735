"""The strategies of transfer learning, one per file.

Enters: a run context (configuration, splits, backbone, features). Leaves: a trained strategy with its scores, tensors
and costs. Adding one is a file that implements ``base.Strategy`` and a line in the dict here, which holds names only,
so that the command line knows them without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from topwork.strategies.base import Strategy


class StrategyInfo(NamedTuple):
    """The class in the file of a strategy's name.

    Attributes:
        class_name: In that file.
        on_images: Whether it trains on images (else on features).
        usual: Whether a comparison that names no strategies takes it.
        quick: Whether it trains so fast that its learning curve over labels is made without being asked for.
        features: Whether it starts from features of the frozen backbone.
    """

    class_name: str
    trains_network: bool
    default: bool = True
    quick: bool = False
    features: bool = True


STRATEGIES = {
    "scratch": StrategyInfo("Scratch", trains_network=True, features=False),
    "mlp": StrategyInfo("MLP", trains_network=False),
    "linear": StrategyInfo("Linear", trains_network=False, default=False, quick=True),
    "knn": StrategyInfo("KNN", trains_network=False, default=False, quick=True),
    "svm": StrategyInfo("SVM", trains_network=False, quick=True),
    "finetune": StrategyInfo("Finetune", trains_network=True),
}
DEFAULT_STRATEGIES = tuple(name for name, entry in STRATEGIES.items() if entry.default)


def load(name: str) -> Strategy:
    """The strategy of a name in ``STRATEGIES``."""
    return getattr(import_module(f"topwork.strategies.{name}"), STRATEGIES[name].class_name)()
