"""The classifier that a pretrained network comes with, which a backbone leaves out."""

from __future__ import annotations

import functools
from typing import Any

import timm.data
import torch
from torch import nn

from topwork.backbones import weights as _weights
from topwork.backbones.architecture import Architecture, find_architecture
from topwork.backbones.build import Backbone
from topwork.core.errors import WeightsError
from topwork.core.names import split_models


def load_pretrained_classifier(
    backbone: Backbone, source: _weights.WeightsSource | None
) -> tuple[nn.Linear, tuple[str, ...]] | None:
    """The last layer of the pretrained network, which ``create`` leaves out.

    Args:
        backbone: From ``create``.
        source: Where its weights came from.

    Returns:
        Features (B, D) to logits (B, K), and the K class names (of an ImageNet subset if timm knows which, else
        ``"class 0"`` and so on); None if the weights have no classifier, or it is not a single linear layer.
    """
    if source is None or backbone.members:
        return None
    architecture = find_architecture(backbone.model, backbone.on_hub)
    network: Any = architecture.create()
    head = network.get_classifier() if hasattr(network, "get_classifier") else None
    if not isinstance(head, nn.Linear) or head.in_features != backbone.feature_dim:
        return None
    try:
        _weights.load_into(network, source, architecture, {})
    except WeightsError:  # a file without classifier
        return None
    return head.eval(), _class_names(architecture, head.out_features)


def _class_names(architecture: Architecture, count: int) -> tuple[str, ...]:
    cfg = architecture.config
    if cfg.label_names and len(cfg.label_names) == count:
        return tuple(map(str, cfg.label_names))
    subset = timm.data.infer_imagenet_subset(cfg.to_dict())
    if subset:
        info = timm.data.ImageNetInfo(subset)
        if info.num_classes() == count:
            return tuple(info.index_to_description(i) for i in range(count))
    return tuple(f"class {i}" for i in range(count))


@functools.cache
def parameter_tensors(model: str) -> tuple[int, int]:
    """Parameter tensors of the network as pretrained, and those of them that belong to its classifier.

    For resnet50 (161, 2): a new head of four tensors in place of the classifier makes 163, of which 4 train.
    """
    names = split_models(model)
    if len(names) > 1:
        counts = [parameter_tensors(name) for name in names]
        return sum(count for count, _ in counts), sum(count for _, count in counts)
    architecture = find_architecture(model)
    with torch.device("meta"):
        complete = len(list(architecture.create().parameters()))
        backbone = len(list(architecture.create(num_classes=0).parameters()))
    return complete, complete - backbone
