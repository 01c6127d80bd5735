"""A model bundle as a network that can be run: the backbone, and the head that its strategy made."""

from __future__ import annotations

from pathlib import Path

from topwork import backbones
from topwork.strategies import load
from topwork.training.images import Classifier
from topwork.use.bundle import Bundle, read_bundle


def load_network(folder: Path) -> tuple[Classifier, Bundle]:
    """Open ``RUN/model``.

    Returns:
        The network in eval mode on the CPU, normalised images (B, 3, S, S) to scores (B, K), and what it came from.

    Raises:
        DataError: There is no bundle.
        DamagedFile: It is not what was written.
    """
    bundle = read_bundle(folder)
    backbone = backbones.create(bundle.model, None, bundle.spec.size).module
    backbone.load_state_dict(bundle.backbone)
    return Classifier(backbone, load(bundle.strategy).head(bundle.head)).eval(), bundle
