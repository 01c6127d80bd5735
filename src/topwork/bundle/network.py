"""A model bundle as a network that can be run: the backbone, and the head that its strategy made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from topwork import backbones
from topwork.bundle.format import Bundle, read_bundle
from topwork.strategies import load
from topwork.training.image_task import Classifier


def build_network(bundle: Bundle) -> tuple[backbones.Backbone, nn.Module]:
    """The networks of a bundle, in eval mode on the CPU.

    Returns:
        The backbone, normalised images (B, 3, S, S) to features (B, D), and the head, features to scores (B, K).
    """
    backbone = backbones.create(bundle.model, None, bundle.input_spec.size)
    backbone.module.load_state_dict(bundle.backbone)
    return replace(backbone, spec=bundle.input_spec), load(bundle.strategy).head(bundle.head).eval()


def load_network(folder: Path) -> tuple[Classifier, Bundle]:
    """Read ``RUN/model`` as one network in eval mode on the CPU, normalised images (B, 3, S, S) to scores (B, K).

    Raises:
        DataError, CorruptFile: As for ``read_bundle``.
    """
    bundle = read_bundle(folder)
    backbone, head = build_network(bundle)
    return Classifier(backbone.module, head).eval(), bundle
