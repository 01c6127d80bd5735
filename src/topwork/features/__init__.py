"""Features of a frozen backbone: computed once per image, cached on disk, shared by all strategies and later runs.

Enters: a backbone, images and their splits. Leaves: float32 (N, D) per split, the same bits whatever other images
there are.
"""

from topwork.features.cache import FeatureCache
from topwork.features.extract import FeatureStore, feature_key

__all__ = ["FeatureCache", "FeatureStore", "feature_key"]
