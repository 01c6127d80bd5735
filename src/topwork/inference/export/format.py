"""What an export format must provide."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from topwork.core.errors import MissingDependency, UsageError

InferenceFn = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Images uint8 (N, H, W, 3) to probabilities and scores, (N, K) each."""


class ExportFormat(ABC):
    """A runtime's file format."""

    name: str
    file: str
    """Name of the file that a user opens; it may need other files beside it."""
    modules: tuple[str, ...] = ()
    """The modules that it needs, which the extra of its name installs."""
    supports_float64 = True
    """Whether its runtimes support float64, in which the weights of the resize are computed."""
    supports_int8 = True

    def check_dependencies(self, quantized: bool) -> None:
        """Check that the format can be written here.

        Raises:
            MissingDependency: A package is missing.
            UsageError: int8 is requested, but not supported.
        """
        if quantized and not self.supports_int8:
            raise UsageError("--quantize int8 is supported by the formats onnx and openvino only.")
        if any(importlib.util.find_spec(module) is None for module in self.modules):
            raise MissingDependency(f"--format {self.name}", self.name)

    @abstractmethod
    def write(self, program: torch.export.ExportedProgram, folder: Path, metadata: dict[str, str]) -> None:
        """Write the program into a folder, with the metadata in the file."""

    @abstractmethod
    def open(self, folder: Path) -> InferenceFn:
        """The function that runs the file on the CPU in float32."""

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], metadata: dict[str, str]) -> None:
        """Write the model of ``source`` into another folder with int8 weights and activations.

        Args:
            source: Folder that ``ONNX.write`` wrote.
            folder: Folder to write to.
            images: uint8 (H, W, 3) on which the ranges of activations are measured.
            metadata: As for ``write``.
        """
        raise NotImplementedError
