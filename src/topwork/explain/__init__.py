"""Look into a network: its layers, what each answers to an image, and how far each sees."""

from topwork.explain.activations import activations
from topwork.explain.layers import Layer, as_map, list_layers, map_stages
from topwork.explain.receptive import Field, receptive_fields
from topwork.explain.subject import Subject, run_subject

__all__ = [
    "Field",
    "Layer",
    "Subject",
    "activations",
    "as_map",
    "list_layers",
    "map_stages",
    "receptive_fields",
    "run_subject",
]
