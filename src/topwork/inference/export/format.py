"""The interface of an export format."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from topwork.core.errors import MissingDependency

InferenceFn = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Images uint8 (N, H, W, 3) to probabilities and scores, (N, K) each."""


class ExportFormat(Protocol):
    """A runtime's file format."""

    name: str
    file: str
    """Name of the file that a user opens; it may need other files beside it."""
    extra: str
    """The extra of topwork that installs its packages; empty if none is needed."""
    supports_float64: bool
    """Whether its runtimes support float64, in which the weights of the resize are computed."""

    def check_dependencies(self, quantized: bool) -> None:
        """Refuse if a package is missing, or if the format does not support int8.

        Raises:
            MissingDependency, UsageError: With the name of the extra, or the supported formats.
        """
        ...

    def write(self, program: torch.export.ExportedProgram, folder: Path, metadata: dict[str, str]) -> None:
        """Write the program into a folder, with the metadata in the file where the format has a place for them."""
        ...

    def open(self, folder: Path) -> InferenceFn:
        """The function that runs the file on the CPU in float32."""
        ...

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], metadata: dict[str, str]) -> None:
        """Write the model of ``source`` into another folder with int8 weights and activations.

        Args:
            source: Folder that ``ONNX.write`` wrote.
            folder: Folder to write to.
            images: uint8 (H, W, 3) on which the ranges of activations are measured.
            metadata: As for ``write``.
        """
        ...


def check_dependencies(feature: str, extra: str, *modules: str) -> None:
    """Refuse if one of the modules is not installed.

    Raises:
        MissingDependency: With the name of the extra that installs it.
    """
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingDependency(feature, extra)


def stringify_metadata(metadata: dict[str, Any]) -> dict[str, str]:
    """Values as strings, which is all that the metadata of a file can hold."""
    return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in metadata.items()}
