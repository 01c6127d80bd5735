"""Features of a frozen backbone: computed once per image, cached on disk, shared by all strategies and later runs."""

from topwork.features.cache import FeatureCache
from topwork.features.extract import FeatureStore, feature_key, on_main_process
from topwork.features.normalise import Normaliser, NormaliserModule, fit_normaliser
from topwork.features.subset import Features

__all__ = [
    "FeatureCache",
    "FeatureStore",
    "Features",
    "Normaliser",
    "NormaliserModule",
    "feature_key",
    "fit_normaliser",
    "on_main_process",
]
