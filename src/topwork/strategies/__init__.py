"""The strategies. Adding one is a file that follows ``base.Strategy`` and a line here."""

from topwork.strategies.base import Context, Fitted, Strategy
from topwork.strategies.finetune import Finetune
from topwork.strategies.mlp import MLP
from topwork.strategies.scratch import Scratch
from topwork.strategies.svm import SVM

STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (Scratch(), MLP(), SVM(), Finetune())}

__all__ = ["STRATEGIES", "Context", "Fitted", "Strategy"]
