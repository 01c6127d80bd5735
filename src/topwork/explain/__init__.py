"""What a network computes and why: layer activations, class activation maps, feature visualizations, probes.

Enters: a finished run (``load_run``) or any PyTorch backbone, and normalized images (B, 3, S, S) or image files.
Leaves: NumPy arrays and plain dataclasses; ``topwork.show`` writes them as one HTML page and as JSON.
The network is never changed: hooks are removed, and parameters and gradients stay as they are.
"""

from topwork.explain.activations import activations
from topwork.explain.inspected_model import InspectedModel, load_run
from topwork.explain.layers import Layer, list_layers, select_stages, to_feature_map
from topwork.explain.receptive_field import ReceptiveField, receptive_fields

__all__ = [
    "InspectedModel",
    "Layer",
    "ReceptiveField",
    "activations",
    "list_layers",
    "load_run",
    "receptive_fields",
    "select_stages",
    "to_feature_map",
]
