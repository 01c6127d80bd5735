"""How good predictions are: predictions -> figures with 95 % intervals. Pure functions on numpy arrays, no torch.

``metrics`` has the figures, ``intervals`` their uncertainty, ``evaluate`` joins both into one JSON-ready dict.
"""

from topwork.evaluation.evaluate import evaluate

__all__ = ["evaluate"]
