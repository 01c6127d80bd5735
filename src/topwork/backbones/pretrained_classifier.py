"""The classifier that a backbone was pretrained with, for looking at a network before any training of one's own."""

from __future__ import annotations

from typing import Any

import timm
import timm.data
from torch import nn

from topwork.backbones import weights as _weights
from topwork.backbones.build import Backbone
from topwork.core.errors import WeightsError

Classes = tuple[str, ...]


def load_pretrained_classifier(
    backbone: Backbone, source: _weights.WeightsSource | None
) -> tuple[nn.Linear, Classes] | None:
    """The last layer of the pretrained network, which ``create`` leaves out.

    Args:
        backbone: From ``create``.
        source: Where its weights came from.

    Returns:
        Features (B, D) to logits (B, K), and the K class names (of an ImageNet subset if timm knows which, else
        ``"class 0"`` and so on); None if the weights hold none, or it is no single linear layer.
    """
    if source is None:
        return None
    whole: Any = timm.create_model(backbone.model)
    head = whole.get_classifier() if hasattr(whole, "get_classifier") else None
    if not isinstance(head, nn.Linear) or head.in_features != backbone.feature_dim:
        return None
    try:
        _weights.load_into(whole, source.load(), source.packaged, source.summary)
    except WeightsError:  # a file of a backbone alone
        return None
    return head.eval(), _names(backbone.model, head.out_features)


def _names(model: str, count: int) -> Classes:
    cfg = timm.get_pretrained_cfg(model)
    subset = timm.data.infer_imagenet_subset(cfg.to_dict()) if cfg else None
    if subset:
        info = timm.data.ImageNetInfo(subset)
        if info.num_classes() == count:
            return tuple(info.index_to_description(i) for i in range(count))
    return tuple(f"class {i}" for i in range(count))
