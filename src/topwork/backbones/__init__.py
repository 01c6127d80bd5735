"""Pretrained networks, the only package that imports timm.

Enters: a model name and the source of its weights. Leaves: torch modules that map images (B, 3, S, S) to features
(B, D), their input specification, parameter groups and stages. timm is imported when a name is first used;
``packaged`` needs neither timm nor torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from topwork.backbones.batchnorm_fusion import cast_weights, fuse_batchnorm
    from topwork.backbones.block_lists import blocks
    from topwork.backbones.build import Backbone, check_name, create, input_spec, list_models, parameter_tensors
    from topwork.backbones.param_groups import layer_groups
    from topwork.backbones.pretrained_classifier import load_pretrained_classifier
    from topwork.backbones.stage_split import StageSplit
    from topwork.backbones.weights import WeightsSource, find_weights

__all__ = [
    "Backbone",
    "StageSplit",
    "WeightsSource",
    "blocks",
    "cast_weights",
    "check_name",
    "convert_sync_batchnorm",
    "create",
    "find_weights",
    "fuse_batchnorm",
    "input_spec",
    "layer_groups",
    "list_models",
    "load_pretrained_classifier",
    "parameter_tensors",
]
_HOMES = {
    "StageSplit": "stage_split",
    "blocks": "block_lists",
    "fuse_batchnorm": "batchnorm_fusion",
    "cast_weights": "batchnorm_fusion",
    "layer_groups": "param_groups",
    "load_pretrained_classifier": "pretrained_classifier",
    "WeightsSource": "weights",
    "find_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'build')}"), name)
