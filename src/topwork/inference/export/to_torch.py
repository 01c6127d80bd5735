"""``torch-export``: a ``.pt2`` archive, which torch opens without this package. Holds tensors and JSON, no pickle."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from topwork.core.errors import TopworkError, UsageError
from topwork.inference.export.format import Run


class TorchExport:
    """PyTorch's exported program."""

    name, file, extra, float64 = "torch-export", "model.pt2", "", True

    def require(self, quantized: bool) -> None:
        """Nothing but torch is needed; int8 is not offered."""
        if quantized:
            raise UsageError("--quantize int8 is for the formats onnx and openvino; torch has no int8 in its export.")

    def write(self, program: torch.export.ExportedProgram, folder: Path, facts: dict[str, str]) -> None:
        """Write ``model.pt2``; what its example inputs would need pickle for is left out."""
        program._example_inputs = None
        torch.export.save(program, folder / self.file, extra_files={f"{key}.txt": text for key, text in facts.items()})
        with zipfile.ZipFile(folder / self.file) as archive:
            config = b"".join(archive.read(name) for name in archive.namelist() if name.endswith("_config.json"))
        if b'"use_pickle": true' in config:
            raise TopworkError("torch would need pickle to open this graph; choose --format onnx.")

    def open(self, folder: Path) -> Run:
        """By ``torch.export.load``; only a file that was just written comes here."""
        module = torch.export.load(folder / self.file).module()

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            with torch.inference_mode():
                probabilities, scores = module(torch.from_numpy(images))
            return probabilities.numpy(), scores.numpy()

        return run

    def quantize(self, source: Path, folder: Path, images: list[np.ndarray], facts: dict[str, str]) -> None:
        """Is not offered."""
        self.require(quantized=True)
