"""Features of a frozen backbone: computed once per image, cached on disk, shared by all strategies and later runs.

Enters: a backbone, images and their splits. Leaves: float32 (N, D) per split, the same bits whatever other images
there are, and the normaliser that brings them to a common scale.
"""

from topwork.features.cache import FeatureCache
from topwork.features.extract import FeatureStore, feature_key, on_main_process
from topwork.features.normalise import Normaliser, NormaliserModule, fit_normaliser
from topwork.features.subset import Features, TrainingSubset

__all__ = [
    "FeatureCache",
    "FeatureStore",
    "Features",
    "Normaliser",
    "NormaliserModule",
    "TrainingSubset",
    "feature_key",
    "fit_normaliser",
    "on_main_process",
]
