"""The pretrained networks. The only package that knows timm: what leaves it are plain torch modules and values."""

from topwork.backbones.create import Backbone, check_name, create, list_models, parameter_tensors
from topwork.backbones.groups import layer_groups
from topwork.backbones.weights import WeightsSource, find_weights

__all__ = [
    "Backbone",
    "WeightsSource",
    "check_name",
    "create",
    "find_weights",
    "layer_groups",
    "list_models",
    "parameter_tensors",
]
