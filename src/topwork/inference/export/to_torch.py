"""Format ``torch-export``: a ``.pt2`` archive of tensors and JSON, without pickle; torch loads it without topwork."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from topwork.core.errors import TopworkError
from topwork.inference.export.format import ExportFormat, InferenceFn


class TorchExport(ExportFormat):
    """PyTorch's exported program."""

    name, file, supports_int8 = "torch-export", "model.pt2", False

    def write(self, program: torch.export.ExportedProgram, folder: Path, metadata: dict[str, str]) -> None:
        """Write ``model.pt2`` without example inputs, which torch would pickle."""
        program._example_inputs = None
        torch.export.save(
            program, folder / self.file, extra_files={f"{key}.txt": text for key, text in metadata.items()}
        )
        with zipfile.ZipFile(folder / self.file) as archive:
            config = b"".join(archive.read(name) for name in archive.namelist() if name.endswith("_config.json"))
        if b'"use_pickle": true' in config:
            raise TopworkError("torch needs pickle to load this model, which is unsafe. Choose --format onnx.")

    def open(self, folder: Path) -> InferenceFn:
        """By ``torch.export.load``; used only on a file that was just written."""
        module = torch.export.load(folder / self.file).module()

        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            with torch.inference_mode():
                probabilities, scores = module(torch.from_numpy(images))
            return probabilities.numpy(), scores.numpy()

        return run
