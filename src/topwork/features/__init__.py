"""Features of a frozen backbone: computed once per image, cached on disk, shared by all strategies and later runs."""

from topwork.features.cache import FeatureCache
from topwork.features.extract import FeatureStore
from topwork.features.normalise import Normaliser, NormaliserModule, fit_normaliser

__all__ = ["FeatureCache", "FeatureStore", "Normaliser", "NormaliserModule", "fit_normaliser"]
