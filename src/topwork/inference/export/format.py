"""What a format of export does."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from topwork.core.errors import MissingDependency

Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # uint8 (N, H, W, 3) to probabilities, scores (N, K)


class Format(Protocol):
    """A runtime's file format."""

    name: str
    file: str
    """Name of the file that is opened; others may lie beside it."""
    extra: str
    """Of topwork, that installs what is needed; empty if nothing is."""
    float64: bool
    """Whether its runtimes have float64, which the weights of the resize are computed in."""

    def require(self, quantized: bool) -> None:
        """Refuse if a package is missing, or if the format has no int8.

        Raises:
            MissingExtra, UsageError: Saying which.
        """
        ...

    def write(self, program: torch.export.ExportedProgram, folder: Path, facts: dict[str, str]) -> None:
        """Write the graph into a folder, with facts in the file's own metadata where it has some."""
        ...

    def open(self, folder: Path) -> Run:
        """What a user of the file runs."""
        ...

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], facts: dict[str, str]) -> None:
        """Write the graph of ``source`` into another folder with int8 weights and activations.

        Args:
            source: What ``write`` wrote.
            folder: Where to.
            images: uint8 (H, W, 3) on which the ranges of activations are measured.
            facts: As for ``write``.
        """
        ...


def require(what: str, extra: str, *modules: str) -> None:
    """Refuse if one of the modules is not installed.

    Raises:
        MissingExtra: Naming the extra that brings it.
    """
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingDependency(what, extra)


def plain_facts(facts: dict[str, Any]) -> dict[str, str]:
    """Facts as the strings that metadata of a file can hold."""
    import json

    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for key, value in facts.items()
    }
