"""How good predictions are: metrics with 95 % intervals. Pure functions on numpy arrays, no torch.

Enters: labels int (N,), scores and probabilities float (N, K) of one or several strategies. Leaves: metrics with their
intervals, calibration, abstention and out-of-distribution thresholds, paired comparisons and the verdict in sentences.
"""

from topwork.evaluation.evaluate import evaluate

__all__ = ["evaluate"]
